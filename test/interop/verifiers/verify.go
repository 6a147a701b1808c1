// Verify checks a chain of certificates (PEM, leaf first) with Go's crypto/x509: `verify ROOTS CHAIN`, exit code 0 when
// it leads to one of the roots.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func main() {
	if err := verify(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func verify(rootsPath, chainPath string) error {
	rootsPEM, err := os.ReadFile(rootsPath)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(rootsPEM) {
		return fmt.Errorf("%s: no certificate", rootsPath)
	}
	rest, err := os.ReadFile(chainPath)
	if err != nil {
		return err
	}
	var leaf *x509.Certificate
	intermediates := x509.NewCertPool()
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		if leaf == nil {
			leaf = certificate
		} else {
			intermediates.AddCert(certificate)
		}
	}
	if leaf == nil {
		return fmt.Errorf("%s: no certificate", chainPath)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}
