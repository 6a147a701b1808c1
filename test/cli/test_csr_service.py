"""What strangers and mistaken clients get from the CSR service: exact codes, and the words that help."""

import base64
import json
import socket
import subprocess
import time

import certificates
import grpc
import grpc_messages
import pytest
from background import wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
WEB = "spiffe://cluster.local/ns/default/sa/web"
ISSUER = "https://issuer.test"


def b64(data):
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Somebody whose JWTs the server accepts."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())

    def jwks(self):
        numbers = self.key.public_key().public_numbers()
        return json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "kid": "one", "alg": "ES256", "use": "sig",
                                     "x": b64(numbers.x.to_bytes(32, "big")),
                                     "y": b64(numbers.y.to_bytes(32, "big"))}]})

    @staticmethod
    def claims(**changes):
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "istio-ca", "sub": "web", "ns": "default", "sa": "web", "iat": now,
                  "nbf": now - 10, "exp": now + 300}
        claims.update(changes)
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims, key=None):
        text = b64({"alg": "ES256", "kid": "one", "typ": "JWT"}) + "." + b64(claims)
        r, s = decode_dss_signature((key or self.key).sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return text + "." + b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def unsigned(self, claims):
        return b64({"alg": "none"}) + "." + b64(claims) + "."

    def by_public_key(self, claims):
        """HMAC whose secret is the public key that everybody knows."""
        text = b64({"alg": "HS256", "kid": "one"}) + "." + b64(claims)
        mac = hmac.HMAC(self.key.public_key().public_bytes(serialization.Encoding.PEM,
                                                           serialization.PublicFormat.SubjectPublicKeyInfo),
                        hashes.SHA256())
        mac.update(text.encode())
        return text + "." + b64(mac.finalize())


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture
def ca(server, issuer, tmp_path):
    (tmp_path / "jwks.json").write_text(issuer.jwks(), encoding="utf-8")
    return server(config=f"""
trust_domain: cluster.local
authenticators:
- jwt:
    issuer: {ISSUER}
    audiences: [istio-ca]
    jwks_file: {tmp_path}/jwks.json
    spiffe_id: spiffe://{{trust_domain}}/ns/{{claims.ns}}/sa/{{claims.sa}}
""")


def ask(ca, token, csr=None, validity=0, channel=None, **fields):
    """The answer, or the RpcError."""
    request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")
    if csr is None:
        csr = certificates.csr_pem(certificates.new_key(), WEB)
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with channel or grpc_messages.tls_channel(ca.grpc, ca.root_pem.encode()) as open_channel:
        try:
            return grpc_messages.call(open_channel, CREATE)(request(csr=csr, validity_duration=validity, **fields),
                                                            metadata=metadata, timeout=60)
        except grpc.RpcError as error:
            return error


def refused(answer, code, words):
    assert isinstance(answer, grpc.RpcError), "it was issued"
    assert answer.code() == code, answer.details()
    assert words.lower() in answer.details().lower()


def test_a_jwt_gives_the_identity_its_claims_name(ca, issuer):
    answer = ask(ca, issuer.sign(issuer.claims()))
    assert len(answer.cert_chain) == 3
    leaf, issuing, root = (certificates.load(element) for element in answer.cert_chain)
    assert certificates.spiffe_ids(leaf) == [WEB]
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(root)
    record = json.loads(ca.cli("cert", "show", certificates.serial_hex(leaf), "-o", "json").stdout)
    assert record["auth_method"] == "jwt" and "sub=web" in record["caller"] and ISSUER in record["caller"]


NOW = time.time


@pytest.mark.parametrize("name, token, words", [
    ("none", lambda i: "", "join token"),
    ("garbage", lambda i: "garbage", "join token"),
    ("expired", lambda i: i.sign(i.claims(exp=int(NOW()) - 600)), "expired"),
    ("not_yet_valid", lambda i: i.sign(i.claims(nbf=int(NOW()) + 600)), "not"),
    ("no_expiry", lambda i: i.sign(i.claims(exp=None)), "exp"),
    ("wrong_audience", lambda i: i.sign(i.claims(aud="somebody-else")), "aud"),
    ("wrong_issuer", lambda i: i.sign(i.claims(iss="https://other.test")), "https://other.test"),
    ("other_key", lambda i: i.sign(i.claims(), ec.generate_private_key(ec.SECP256R1())), "signature"),
    ("alg_none", lambda i: i.unsigned(i.claims()), "none"),
    ("hmac_with_public_key", lambda i: i.by_public_key(i.claims()), "HS256"),
    ("payload_changed", lambda i: i.sign(i.claims())[:-90] + "A" + i.sign(i.claims())[-89:], ""),
    ("unknown_token", lambda i: "meshca-jt1." + "A" * 43 + "." + "A" * 43, "token"),
    ("broken_token", lambda i: "meshca-jt1.short", "token"),
], ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "")
def test_an_invalid_credential_is_unauthenticated(ca, issuer, name, token, words):
    refused(ask(ca, token(issuer)), grpc.StatusCode.UNAUTHENTICATED, words)


def test_a_valid_credential_does_not_give_other_names(ca, issuer):
    token = issuer.sign(issuer.claims())
    denied = grpc.StatusCode.PERMISSION_DENIED
    other = "spiffe://cluster.local/ns/default/sa/other"
    refused(ask(ca, token, certificates.csr_pem(certificates.new_key(), other)), denied, other)
    foreign = "spiffe://other.test/ns/default/sa/web"
    refused(ask(ca, token, certificates.csr_pem(certificates.new_key(), foreign)), denied, foreign)
    csr = csr_with(certificates.new_key(), [x509.UniformResourceIdentifier(WEB), x509.DNSName("bank.test")])
    refused(ask(ca, token, csr), denied, "bank.test")
    # A claim fills one segment: no caller climbs out of its template.
    refused(ask(ca, issuer.sign(issuer.claims(sa="../../meshca/admin"))), grpc.StatusCode.PERMISSION_DENIED, "sa")


def csr_with(key, names=(), ca_true=False, digest=hashes.SHA256()):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=True)
    if ca_true:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM).decode()


def openssl_csr(*args):
    """What the `cryptography` package refuses to make."""
    return subprocess.run(["openssl", "req", "-new", "-nodes", "-subj", "/CN=web", "-keyout", "/dev/null", *args],
                          capture_output=True, text=True, check=True).stdout


def resigned(csr):
    """The CSR with a signature that does not fit: its last byte, part of the number s, is another one."""
    der = x509.load_pem_x509_csr(csr.encode()).public_bytes(serialization.Encoding.DER)
    changed = der[:-1] + bytes([der[-1] ^ 1])
    body = base64.encodebytes(changed).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


def good():
    return csr_with(certificates.new_key(), [x509.UniformResourceIdentifier(WEB)])


@pytest.mark.parametrize("name, csr, words", [
    ("empty", lambda: "", "empty"),
    ("truncated", lambda: good()[:200], "CSR"),
    ("oversized", lambda: "A" * (64 * 1024 + 1), "65537"),
    ("trailing_garbage", lambda: good() + "garbage", "follows"),
    ("two_requests", lambda: good() + good(), "exactly one"),
    ("wrong_pem", lambda: good().replace("CERTIFICATE REQUEST", "CERTIFICATE"), "CERTIFICATE"),
    ("private_key", lambda: good().replace("CERTIFICATE REQUEST", "PRIVATE KEY"), "PRIVATE KEY"),
    ("signature_of_another", lambda: resigned(good()), "signature"),
    ("rsa_1024", lambda: csr_with(rsa.generate_private_key(65537, 1024)), "1024"),
    ("dsa", lambda: csr_with(dsa.generate_private_key(2048)), "DSA"),
    ("secp256k1", lambda: csr_with(ec.generate_private_key(ec.SECP256K1())), "key"),
    ("p224", lambda: csr_with(ec.generate_private_key(ec.SECP224R1())), "key"),
    ("sha1", lambda: openssl_csr("-newkey", "rsa:2048", "-sha1"), "SHA-1"),
    ("ca_true", lambda: csr_with(certificates.new_key(), [x509.UniformResourceIdentifier(WEB)], ca_true=True), "CA"),
    ("two_uris", lambda: csr_with(certificates.new_key(), [x509.UniformResourceIdentifier(WEB),
                                                          x509.UniformResourceIdentifier(WEB + "2")]), "URI"),
    ("not_spiffe", lambda: csr_with(certificates.new_key(), [x509.UniformResourceIdentifier("https://a.test/")]),
     "SPIFFE ID"),
    ("dot_segment", lambda: csr_with(certificates.new_key(), [x509.UniformResourceIdentifier(
        "spiffe://cluster.local/ns/../sa")]), "dot segment"),
    ("port", lambda: csr_with(certificates.new_key(), [x509.UniformResourceIdentifier(
        "spiffe://cluster.local:443/a")]), "trust domain has a byte"),
    ("query", lambda: csr_with(certificates.new_key(), [x509.UniformResourceIdentifier(
        "spiffe://cluster.local/a?b")]), "byte"),
], ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "")
def test_a_bad_csr_is_an_invalid_argument(ca, issuer, name, csr, words):
    refused(ask(ca, issuer.sign(issuer.claims()), csr()), grpc.StatusCode.INVALID_ARGUMENT, words)


@pytest.mark.parametrize("validity", [-1, 10 * 365 * 86400, 2**63 - 1])
def test_an_impossible_lifetime_is_an_invalid_argument(ca, issuer, validity):
    refused(ask(ca, issuer.sign(issuer.claims()), validity=validity), grpc.StatusCode.INVALID_ARGUMENT, "")


def test_a_lifetime_of_zero_is_the_default_and_another_is_kept(ca, issuer):
    for validity, expected in ((0, 24 * 3600), (600, 600)):
        leaf = certificates.load(ask(ca, issuer.sign(issuer.claims()), validity=validity).cert_chain[0])
        begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        assert (end - begin).total_seconds() == pytest.approx(expected + 120, abs=2), "back-dated by 2 min"


def test_nothing_refused_is_recorded_and_nothing_leaves_unrecorded(ca, issuer):
    before = len(json.loads(ca.cli("cert", "list", "-o", "json").stdout))
    ask(ca, issuer.sign(issuer.claims()), "garbage")
    ask(ca, "garbage")
    ask(ca, issuer.sign(issuer.claims()))
    assert len(json.loads(ca.cli("cert", "list", "-o", "json").stdout)) == before + 1
    metrics = ca.get("/metrics")
    for line in ("citadel_server_csr_count 3", "citadel_server_success_cert_issuance_count 1",
                 "citadel_server_authentication_failure_count 1", "citadel_server_csr_parsing_err_count 1"):
        assert line in metrics


def test_a_stop_answers_whoever_waits_for_keys_that_never_come(server, issuer):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        ca = server(config=f"""
limits: {{shutdown_grace: 100ms}}
authenticators:
- jwt:
    issuer: {ISSUER}
    audiences: [istio-ca]
    jwks_url: http://127.0.0.1:{port}/jwks
    spiffe_id: spiffe://{{trust_domain}}/ns/{{claims.ns}}/sa/{{claims.sa}}
""")
        request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")(
            csr=certificates.csr_pem(certificates.new_key(), WEB))
        with grpc_messages.tls_channel(ca.grpc, ca.root_pem.encode()) as channel:
            calls = [grpc_messages.call(channel, CREATE).future(
                request, metadata=[("authorization", f"Bearer {issuer.sign(issuer.claims(sub=str(number)))}")], timeout=60)
                for number in range(50)]
            wait_until(lambda: "citadel_server_csr_count 50" in ca.get("/metrics"), 60, ca.log)
            assert ca.terminate() == 0, ca.log()
            assert {call.exception().code() for call in calls} == {grpc.StatusCode.UNAVAILABLE}
