module meshca/fixtures

go 1.20

require github.com/cloudflare/cfssl v1.6.5

require (
	github.com/google/certificate-transparency-go v1.1.7 // indirect
	golang.org/x/crypto v0.19.0 // indirect
)
