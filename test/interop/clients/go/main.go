// A workload in Go: grpc-go, Istio's and Envoy's own Go packages, and crypto/x509 to make the CSR and verify the chain.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	istio "istio.io/api/security/v1alpha1"
)

const secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

// must ends the program on an error: a test reads what it printed.
func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func dial(address string, config *tls.Config) *grpc.ClientConn {
	return must(grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config))))
}

func createCertificate(ctx context.Context, conn *grpc.ClientConn, key *ecdsa.PrivateKey, id, token string) []string {
	csr := must(x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{URIs: []*url.URL{must(url.Parse(id))}}, key))
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	response := must(istio.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &istio.IstioCertificateRequest{
		Csr:              string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})),
		ValidityDuration: 3600,
	}))
	return response.CertChain
}

// verify validates the path with crypto/x509; returns the chain, leaf first.
func verify(elements []string, roots *x509.CertPool) []*x509.Certificate {
	var chain []*x509.Certificate
	intermediates := x509.NewCertPool()
	for i, element := range elements[:len(elements)-1] {
		block, rest := pem.Decode([]byte(element))
		if block == nil || len(rest) != 0 {
			log.Fatalf("element %d is not one PEM block", i)
		}
		chain = append(chain, must(x509.ParseCertificate(block.Bytes)))
		if i > 0 {
			intermediates.AddCert(chain[i])
		}
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		must(chain[0].Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{usage}}))
	}
	return chain
}

// firstSecret subscribes, acknowledges the first answer, and leaves.
func firstSecret(ctx context.Context, conn *grpc.ClientConn, name string) (string, *tlsv3.Secret) {
	stream := must(secretv3.NewSecretDiscoveryServiceClient(conn).StreamSecrets(ctx))
	request := &discovery.DiscoveryRequest{
		Node: &core.Node{Id: "go"}, TypeUrl: secretType, ResourceNames: []string{name}}
	must(0, stream.Send(request))
	response := must(stream.Recv())
	secret := &tlsv3.Secret{}
	must(0, response.Resources[0].UnmarshalTo(secret))
	must(0, stream.Send(&discovery.DiscoveryRequest{TypeUrl: secretType, ResourceNames: []string{name},
		VersionInfo: response.VersionInfo, ResponseNonce: response.Nonce}))
	must(0, stream.CloseSend())
	return response.VersionInfo, secret
}

func main() {
	server := flag.String("server", "", "host:port of the CSR service")
	sds := flag.String("sds", "", "host:port of SDS over mTLS")
	unix := flag.String("unix", "", "path of the API socket")
	ca := flag.String("ca", "", "file with the roots, PEM")
	token := flag.String("token", "", "bearer token")
	id := flag.String("id", "", "SPIFFE ID to ask for")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()

	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(must(os.ReadFile(*ca))) {
		log.Fatalf("%s holds no certificate", *ca)
	}
	conn := dial(*server, &tls.Config{RootCAs: roots})
	local := must(grpc.Dial("unix:"+*unix, grpc.WithTransportCredentials(insecure.NewCredentials())))
	localState := must(health.NewHealthClient(local).Check(ctx, &health.HealthCheckRequest{}))
	state := must(health.NewHealthClient(conn).Check(ctx, &health.HealthCheckRequest{}))
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	elements := createCertificate(ctx, conn, key, *id, *token)
	chain := verify(elements, roots)

	own := tls.Certificate{PrivateKey: key}
	for _, certificate := range chain {
		own.Certificate = append(own.Certificate, certificate.Raw)
	}
	version, secret := firstSecret(ctx,
		dial(*sds, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}}), "ROOTCA")

	var ids []string
	for _, uri := range chain[0].URIs {
		ids = append(ids, uri.String())
	}
	trusted := secret.GetValidationContext().GetTrustedCa()
	must(0, json.NewEncoder(os.Stdout).Encode(map[string]any{
		"health":         state.Status.String(),
		"unix_health":    localState.Status.String(),
		"spiffe_ids":     ids,
		"serial":         fmt.Sprintf("%032x", chain[0].SerialNumber),
		"elements":       len(elements),
		"verified_by":    "Go crypto/x509",
		"secret":         secret.Name,
		"secret_version": version,
		"secret_roots":   string(trusted.GetInlineBytes()) + trusted.GetInlineString(),
	}))
}
