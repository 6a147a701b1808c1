// A service in a mesh, in Go: identity and mTLS by go-spiffe. README.md in the folder above has the contract.
//
//	SPIFFE_ENDPOINT_SOCKET=unix:///run/meshca/api.sock service SPIFFE_ID...
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const (
	pause        = 100 * time.Millisecond // between two calls
	jwtEvery     = 10                     // rounds over all peers
	timeout      = 30 * time.Second
	errorsMax    = 5
	lineBytesMax = 16384
)

// counts is what came of the calls to one peer.
type counts struct {
	OK        int      `json:"ok"`
	Failed    int      `json:"failed"`
	JWTOK     int      `json:"jwt_ok"`
	JWTFailed int      `json:"jwt_failed"`
	Errors    []string `json:"errors"`
}

type report struct {
	Peers    map[string]*counts `json:"peers"`
	Refused  int                `json:"refused"`
	Refusals []string           `json:"refusals"`
	Serials  []string           `json:"serials"`
	Roots    []string           `json:"roots"`
}

type peer struct {
	id      spiffeid.ID
	address string
}

type service struct {
	id   spiffeid.ID
	x509 *workloadapi.X509Source // both follow the Workload API by themselves
	jwt  *workloadapi.JWTSource

	mutex    sync.Mutex // guards what is below
	peers    []peer
	reported report
}

// --- the server

// listen serves whoever presents one of the SPIFFE IDs in letIn.
func (s *service) listen(letIn []spiffeid.ID) (net.Listener, error) {
	config := tlsconfig.MTLSServerConfig(s.x509, s.x509, tlsconfig.AuthorizeOneOf(letIn...))
	// A resumed connection would be let in by a certificate of the past.
	config.SessionTicketsDisabled = true
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				if err := s.serve(tls.Server(connection, config)); err != nil {
					s.noteRefusal(err)
				}
			}()
		}
	}()
	return listener, nil
}

func (s *service) serve(connection *tls.Conn) error {
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(timeout))
	request, err := readLine(connection) // the handshake comes with it
	if err != nil {
		return err
	}
	_, err = io.WriteString(connection, s.answer(request)+"\n")
	return err
}

func (s *service) answer(request string) string {
	word, token, _ := strings.Cut(request, " ")
	if word != "jwt" {
		return s.id.String()
	}
	svid, err := jwtsvid.ParseAndValidate(token, s.jwt, []string{s.id.String()})
	if err != nil {
		return "error " + err.Error()
	}
	return svid.ID.String()
}

// --- the client

// call sends one request by a new connection, and fails unless the server's certificate has the SPIFFE ID of the peer.
func (s *service) call(to peer, request string) (string, error) {
	config := tlsconfig.MTLSClientConfig(s.x509, s.x509, tlsconfig.AuthorizeID(to.id))
	connection, err := tls.DialWithDialer(&net.Dialer{Timeout: timeout}, "tcp", to.address, config)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(timeout))
	if _, err := io.WriteString(connection, request+"\n"); err != nil {
		return "", err
	}
	return readLine(connection)
}

func (s *service) hello(to peer) error {
	return expect(to.id)(s.call(to, "hello"))
}

func (s *service) helloByJWT(to peer) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	svid, err := s.jwt.FetchJWTSVID(ctx, jwtsvid.Params{Audience: to.id.String()})
	if err != nil {
		return err
	}
	return expect(s.id)(s.call(to, "jwt "+svid.Marshal()))
}

// expect checks that a peer told the SPIFFE ID `id`.
func expect(id spiffeid.ID) func(string, error) error {
	return func(told string, err error) error {
		if err == nil && told != id.String() {
			err = fmt.Errorf("answered %q", told)
		}
		return err
	}
}

func (s *service) callPeers(ctx context.Context) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for round := 0; ; round++ {
		s.mutex.Lock()
		peers := s.peers
		s.mutex.Unlock()
		for _, to := range peers {
			if round%jwtEvery == 0 {
				s.count(to, true, s.helloByJWT(to))
			} else {
				s.count(to, false, s.hello(to))
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		if len(peers) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}

// --- what it is told and tells

func (s *service) addPeer(to peer) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.peers = append(s.peers[:len(s.peers):len(s.peers)], to)
	s.reported.Peers[to.id.String()] = &counts{Errors: []string{}}
}

func (s *service) count(to peer, byJWT bool, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	c := s.reported.Peers[to.id.String()]
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

func (s *service) noteRefusal(err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.reported.Refused++
	note(&s.reported.Refusals, err)
}

// rememberUpdates keeps which serial numbers and roots there were; nothing of the mesh needs it.
func (s *service) rememberUpdates(ctx context.Context) {
	for {
		svid, err := s.x509.GetX509SVID()
		if err != nil {
			return
		}
		bundle, err := s.x509.GetX509BundleForTrustDomain(s.id.TrustDomain())
		if err != nil {
			return
		}
		s.mutex.Lock()
		remember(&s.reported.Serials, fmt.Sprintf("%x", svid.Certificates[0].SerialNumber))
		for _, root := range bundle.X509Authorities() {
			remember(&s.reported.Roots, fmt.Sprintf("%x", sha256.Sum256(root.Raw)))
		}
		s.mutex.Unlock()
		if s.x509.WaitUntilUpdated(ctx) != nil {
			return
		}
	}
}

func (s *service) tellReport() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	tell(s.reported)
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

func readLine(connection net.Conn) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(connection, lineBytesMax)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("no line from the peer: %w", err)
	}
	return strings.TrimSuffix(line, "\n"), nil
}

func run(ctx context.Context) error {
	var letIn []spiffeid.ID
	for _, word := range os.Args[1:] {
		id, err := spiffeid.FromString(word)
		if err != nil {
			return err
		}
		letIn = append(letIn, id)
	}

	// Both wait until the process has an identity.
	x509, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer x509.Close()
	jwt, err := workloadapi.NewJWTSource(ctx)
	if err != nil {
		return err
	}
	defer jwt.Close()
	svid, err := x509.GetX509SVID()
	if err != nil {
		return err
	}

	s := &service{id: svid.ID, x509: x509, jwt: jwt, reported: report{
		Peers: map[string]*counts{}, Refusals: []string{}, Serials: []string{}, Roots: []string{}}}
	listener, err := s.listen(letIn)
	if err != nil {
		return err
	}
	defer listener.Close()
	tell(map[string]string{"spiffe_id": s.id.String(), "address": listener.Addr().String()})

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go s.rememberUpdates(ctx)
	calls := make(chan struct{})
	go func() {
		defer close(calls)
		s.callPeers(ctx)
	}()
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		words := strings.Fields(input.Text())
		switch {
		case len(words) == 3 && words[0] == "peer":
			id, err := spiffeid.FromString(words[1])
			if err != nil {
				return err
			}
			s.addPeer(peer{id, words[2]})
		case len(words) == 1 && words[0] == "report":
			s.tellReport()
		default:
			return errors.New("cannot read this line: " + input.Text())
		}
	}
	stop()
	<-calls
	s.tellReport()
	return input.Err()
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
