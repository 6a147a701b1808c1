// A workload by go-spiffe. `watch` prints one JSON object a line for each X.509 context that it gets, after it has called
// itself by mTLS with it; each side checks the other's SPIFFE ID. `bundles` prints what FetchJWTBundles answers.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

// One line of output.
type told struct {
	Error     string   `json:"error,omitempty"`
	SpiffeIDs []string `json:"spiffe_ids,omitempty"`
	Serial    string   `json:"serial,omitempty"`
	Roots     int      `json:"roots,omitempty"`
	Peer      string   `json:"peer,omitempty"` // whom the call to itself reached
	JWTKeys   *int     `json:"jwt_keys,omitempty"`
}

func tell(line told) {
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(1)
	}
}

// callMyself makes one mTLS connection to a listener of its own.
func callMyself(context *workloadapi.X509Context) (string, error) {
	svid, id := context.DefaultSVID(), context.DefaultSVID().ID
	server := tlsconfig.MTLSServerConfig(svid, context.Bundles, tlsconfig.AuthorizeID(id))
	client := tlsconfig.MTLSClientConfig(svid, context.Bundles, tlsconfig.AuthorizeID(id))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return "", err
	}
	defer listener.Close()
	failed := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			_, err = io.WriteString(connection, "hello")
			connection.Close()
		}
		failed <- err
	}()
	connection, err := tls.DialWithDialer(&net.Dialer{}, "tcp", listener.Addr().String(), client)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if _, err := io.ReadAll(connection); err != nil {
		return "", err
	}
	if err := <-failed; err != nil {
		return "", err
	}
	return connection.ConnectionState().PeerCertificates[0].URIs[0].String(), nil
}

type watcher struct{}

func (watcher) OnX509ContextUpdate(context *workloadapi.X509Context) {
	line := told{Serial: fmt.Sprintf("%x", context.DefaultSVID().Certificates[0].SerialNumber)}
	for _, svid := range context.SVIDs {
		line.SpiffeIDs = append(line.SpiffeIDs, svid.ID.String())
	}
	bundle, err := context.Bundles.GetX509BundleForTrustDomain(context.DefaultSVID().ID.TrustDomain())
	if err == nil {
		line.Roots = len(bundle.X509Authorities())
		line.Peer, err = callMyself(context)
	}
	if err != nil {
		line.Error = err.Error()
	}
	tell(line)
}

func (watcher) OnX509ContextWatchError(err error) { tell(told{Error: err.Error()}) }

func main() {
	ctx := context.Background()
	client, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+os.Args[2]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	switch os.Args[1] {
	case "watch":
		err = client.WatchX509Context(ctx, watcher{})
	case "bundles":
		bundles, failed := client.FetchJWTBundles(ctx)
		err = failed
		if err == nil {
			domain := spiffeid.RequireTrustDomainFromString(os.Args[3])
			bundle, failed := bundles.GetJWTBundleForTrustDomain(domain)
			err = failed
			if err == nil {
				count := len(bundle.JWTAuthorities())
				tell(told{JWTKeys: &count})
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
