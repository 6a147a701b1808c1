#!/bin/sh
# Makes the certificate requests in ../csr anew, each by the tool in its name. Needs go, keytool and openssl; what it
# makes is kept beside it, so that the tests need none of them.
set -eu
cd "$(dirname "$0")"
out=$(cd .. && pwd)/csr
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

cp main.go go.mod "$work/"
(cd "$work" && go mod tidy && go run . "$out")

id=spiffe://cluster.local/ns/default/sa/web
for kind in "p256 -keyalg EC -groupname secp256r1" "rsa2048 -keyalg RSA -keysize 2048"; do
  name=${kind%% *}
  # shellcheck disable=SC2086
  keytool -genkeypair -alias "$name" ${kind#* } -dname "CN=web,OU=mesh,O=Example" -keystore "$work/store.p12" \
    -storepass changeit -storetype PKCS12
  keytool -certreq -alias "$name" -keystore "$work/store.p12" -storepass changeit -ext "san=uri:$id" \
    -file "$out/keytool-$name.pem"
done

req() {
  file=$1
  shift
  openssl req -new -nodes -keyout /dev/null -out "$out/$file" -subj "${subject:-/CN=web}" "$@"
}
p256="-newkey ec -pkeyopt ec_paramgen_curve:P-256"
san="subjectAltName=URI:$id"
# shellcheck disable=SC2086
{
  req openssl-p256.pem $p256 -addext "$san"
  req openssl-p256-text.pem $p256 -addext "$san" -text
  req openssl-p256-no-names.pem $p256
  subject=/ req openssl-p256-empty-subject.pem $p256 -addext "subjectAltName=critical,URI:$id"
  req openssl-p384.pem -newkey ec -pkeyopt ec_paramgen_curve:P-384 -addext "$san"
  req openssl-rsa2048.pem -newkey rsa:2048 -addext "$san"
  req openssl-rsa4096.pem -newkey rsa:4096 -addext "$san"
  req openssl-ed25519.pem -newkey ed25519 -addext "$san"
  req asks-ca.pem $p256 -addext "$san" -addext "basicConstraints=critical,CA:TRUE"
  req asks-keycertsign.pem $p256 -addext "$san" -addext "keyUsage=digitalSignature,keyCertSign"
  req two-uris.pem $p256 -addext "$san,URI:spiffe://cluster.local/ns/default/sa/db"
  req other-names.pem $p256 -addext "$san,IP:10.0.0.1,email:web@a.test,DNS:web.a.test"
  req bad-p224.pem -newkey ec -pkeyopt ec_paramgen_curve:P-224 -addext "$san"
  req bad-secp256k1.pem -newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -addext "$san"
  req bad-p256-explicit.pem $p256 -pkeyopt ec_param_enc:explicit -addext "$san"
  req bad-p256-sha1.pem $p256 -addext "$san" -sha1
  req bad-ed448.pem -newkey ed448 -addext "$san"
  req bad-rsa1024.pem -newkey rsa:1024 -addext "$san"
  req bad-rsa8192.pem -newkey rsa:8192
  req bad-rsa2048-sha1.pem -newkey rsa:2048 -addext "$san" -sha1
  req bad-rsa2048-md5.pem -newkey rsa:2048 -addext "$san" -md5
}
openssl dsaparam -out "$work/dsa-parameters.pem" 2048
openssl gendsa -out "$work/dsa.pem" "$work/dsa-parameters.pem"
openssl req -new -key "$work/dsa.pem" -subj /CN=web -out "$out/bad-dsa2048.pem"

keys=$(cd .. && pwd)/keys
mkdir -p "$keys"
openssl ecparam -name prime256v1 -genkey -noout -out "$keys/ec-sec1.pem"
openssl ecparam -name prime256v1 -genkey -out "$keys/ec-sec1-with-parameters.pem"
openssl genrsa -traditional -out "$keys/rsa-pkcs1.pem" 2048
