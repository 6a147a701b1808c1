// Makes the requests that Go clients send, with the libraries they use.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"log"
	"net/url"
	"os"
	"path/filepath"

	"github.com/cloudflare/cfssl/csr"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func write(dir, name, label string, der []byte) {
	check(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}), 0o644))
}

func request(dir, name string, template *x509.CertificateRequest, key crypto.Signer) {
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	check(err)
	write(dir, name, "CERTIFICATE REQUEST", der)
}

func main() {
	dir := os.Args[1]
	id, _ := url.Parse("spiffe://cluster.local/ns/default/sa/web")
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	rsa2048, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)

	plain := &x509.CertificateRequest{URIs: []*url.URL{id}}
	request(dir, "go-p256.pem", plain, p256)
	request(dir, "go-p384.pem", plain, p384)
	request(dir, "bad-p521.pem", plain, p521)
	request(dir, "go-rsa2048.pem", plain, rsa2048)
	request(dir, "go-ed25519.pem", plain, edKey)
	pss := &x509.CertificateRequest{URIs: []*url.URL{id}, SignatureAlgorithm: x509.SHA256WithRSAPSS}
	request(dir, "go-rsa2048-pss.pem", pss, rsa2048)
	names := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "web"}, URIs: []*url.URL{id},
		DNSNames: []string{"web.default.svc", "web.default.svc.cluster.local"}}
	request(dir, "go-p256-dns.pem", names, p256)

	// What istio's Citadel client sends (security/pkg/pki/util): a subject of one empty organisation, and the SPIFFE ID in
	// a critical subjectAltName.
	type generalName struct {
		URI string `asn1:"tag:6,ia5"`
	}
	san, err := asn1.Marshal(generalName{id.String()})
	check(err)
	citadel := &x509.CertificateRequest{
		Subject:         pkix.Name{Organization: []string{""}},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: san}},
	}
	request(dir, "istio-citadel-p256.pem", citadel, p256)
	request(dir, "istio-citadel-rsa2048.pem", citadel, rsa2048)

	for name, ca := range map[string]*csr.CAConfig{"cfssl-p256.pem": nil, "cfssl-ca-p256.pem": {PathLength: 1}} {
		text, _, err := csr.ParseRequest(&csr.CertificateRequest{
			CN: "web", Names: []csr.Name{{O: "Example", C: "DE"}}, Hosts: []string{id.String(), "web.default.svc"},
			KeyRequest: &csr.KeyRequest{A: "ecdsa", S: 256}, CA: ca})
		check(err)
		check(os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
}
