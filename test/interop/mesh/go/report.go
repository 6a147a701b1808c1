package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sync"
)

const errorsMax = 5

// counts is what came of the calls to one peer.
type counts struct {
	OK        int      `json:"ok"`
	Failed    int      `json:"failed"`
	JWTOK     int      `json:"jwt_ok"`
	JWTFailed int      `json:"jwt_failed"`
	Errors    []string `json:"errors"`
}

// report is what the mesh is told about this service; no service needs it.
type report struct {
	mutex    sync.Mutex         // guards what is below
	Peers    map[string]*counts `json:"peers"`
	Refused  int                `json:"refused"`
	Refusals []string           `json:"refusals"`
	Serials  []string           `json:"serials"`
	Roots    []string           `json:"roots"`
}

func newReport() *report {
	return &report{Peers: map[string]*counts{}, Refusals: []string{}, Serials: []string{}, Roots: []string{}}
}

func (r *report) addPeer(id string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.Peers[id] = &counts{Errors: []string{}}
}

func (r *report) count(peer string, byJWT bool, err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	c := r.Peers[peer]
	switch {
	case byJWT && err == nil:
		c.JWTOK++
	case byJWT:
		c.JWTFailed++
		note(&c.Errors, fmt.Errorf("jwt: %w", err))
	case err == nil:
		c.OK++
	default:
		c.Failed++
		note(&c.Errors, err)
	}
}

func (r *report) countRefusal(err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.Refused++
	note(&r.Refusals, err)
}

// sawUpdate keeps which serial numbers and roots there were.
func (r *report) sawUpdate(serial string, roots []string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	remember(&r.Serials, serial)
	for _, root := range roots {
		remember(&r.Roots, root)
	}
}

func (r *report) tell() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	tell(r)
}

func tell(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		log.Fatal(err)
	}
}

func remember(seen *[]string, value string) {
	for _, known := range *seen {
		if known == value {
			return
		}
	}
	*seen = append(*seen, value)
}

func note(texts *[]string, err error) {
	if len(*texts) < errorsMax {
		*texts = append(*texts, err.Error())
	}
}
