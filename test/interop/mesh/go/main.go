// A service in a mesh, in Go: identity and mTLS by go-spiffe. README.md in the folder above has the contract; report.go
// counts for it.
//
//	SPIFFE_ENDPOINT_SOCKET=unix:///run/meshca/api.sock service SPIFFE_ID...
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
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
	lineBytesMax = 16384
)

type peer struct {
	id      spiffeid.ID
	address string
}

type service struct {
	id     spiffeid.ID
	x509   *workloadapi.X509Source // both follow the Workload API by themselves
	jwt    *workloadapi.JWTSource
	report *report

	mutex sync.Mutex // guards peers
	peers []peer
}

// newService waits until the process has an identity.
func newService(ctx context.Context) (*service, error) {
	x509, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return nil, err
	}
	jwt, err := workloadapi.NewJWTSource(ctx)
	if err != nil {
		return nil, err
	}
	svid, err := x509.GetX509SVID()
	if err != nil {
		return nil, err
	}
	return &service{id: svid.ID, x509: x509, jwt: jwt, report: newReport()}, nil
}

// --- the server

// listen serves whoever presents one of the SPIFFE IDs in letIn; returns the address.
func (s *service) listen(letIn []spiffeid.ID) (string, error) {
	config := tlsconfig.MTLSServerConfig(s.x509, s.x509, tlsconfig.AuthorizeOneOf(letIn...))
	// A resumed connection would be let in by a certificate of the past.
	config.SessionTicketsDisabled = true
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return "", err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				if err := s.serve(connection); err != nil {
					s.report.countRefusal(err)
				}
			}()
		}
	}()
	return listener.Addr().String(), nil
}

func (s *service) serve(connection net.Conn) error {
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

func readLine(connection net.Conn) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(connection, lineBytesMax)).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("no line from the peer: %w", err)
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// --- what it does all day

// callPeers calls one peer after the other until ctx ends.
func (s *service) callPeers(ctx context.Context) {
	for round := 0; ; round++ {
		s.mutex.Lock()
		peers := s.peers
		s.mutex.Unlock()
		for _, to := range peers {
			byJWT := round%jwtEvery == 0
			if byJWT {
				s.report.count(to.id.String(), byJWT, s.helloByJWT(to))
			} else {
				s.report.count(to.id.String(), byJWT, s.hello(to))
			}
			if !wait(ctx) {
				return
			}
		}
		if len(peers) == 0 && !wait(ctx) {
			return
		}
	}
}

// wait is false when ctx has ended.
func wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

func (s *service) addPeer(to peer) {
	s.report.addPeer(to.id.String())
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.peers = append(s.peers[:len(s.peers):len(s.peers)], to)
}

// reportUpdates tells the report of each renewed key and each new root.
func (s *service) reportUpdates(ctx context.Context) {
	for {
		svid, err := s.x509.GetX509SVID()
		if err != nil {
			return
		}
		bundle, err := s.x509.GetX509BundleForTrustDomain(s.id.TrustDomain())
		if err != nil {
			return
		}
		var roots []string
		for _, root := range bundle.X509Authorities() {
			roots = append(roots, fmt.Sprintf("%x", sha256.Sum256(root.Raw)))
		}
		s.report.sawUpdate(fmt.Sprintf("%x", svid.Certificates[0].SerialNumber), roots)
		if s.x509.WaitUntilUpdated(ctx) != nil {
			return
		}
	}
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
	s, err := newService(ctx)
	if err != nil {
		return err
	}
	address, err := s.listen(letIn)
	if err != nil {
		return err
	}
	tell(map[string]string{"spiffe_id": s.id.String(), "address": address})

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go s.reportUpdates(ctx)
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
			s.report.tell()
		default:
			return errors.New("cannot read this line: " + input.Text())
		}
	}
	stop()
	<-calls
	s.report.tell()
	return input.Err()
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
