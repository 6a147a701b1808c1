"""The keys of a Kubernetes cluster of one test: its authority, its server's certificate, its users' certificates and the key
that signs its service accounts' tokens."""

import base64
import datetime
import hashlib
import ipaddress
import time
import uuid

import certificates
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUER = "https://kubernetes.default.svc.cluster.local"
LIFETIME = datetime.timedelta(days=7)
SERVER_NAMES = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local"]


class ClusterKeys:
    """Files in `folder`: ca.crt, ca.key, server.crt, server.key, accounts.key, and NAME.crt and NAME.key of each user."""

    def __init__(self, folder):
        self.folder = folder
        self._ca_key = certificates.new_key()
        # Its end lies behind those of all certificates of it, whenever they are made.
        self._ca = self._sign(self._name("kubernetes"), self._ca_key, [
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (self._usage(key_cert_sign=True, crl_sign=True, digital_signature=True), True)], lifetime=2 * LIFETIME)
        self.ca_pem = self._ca.public_bytes(serialization.Encoding.PEM).decode()
        self._write("ca", self._ca, self._ca_key)
        self._issue("server", self._name("kube-apiserver"), ExtendedKeyUsageOID.SERVER_AUTH, [
            *(x509.DNSName(name) for name in SERVER_NAMES),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.IPAddress(ipaddress.ip_address("10.96.0.1"))])
        # RSA, as installers choose: most tokens that a CA meets are RS256.
        self.accounts_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self.folder / "accounts.key").write_bytes(certificates.key_pem(self.accounts_key))

    def user(self, name, *groups):
        """(certificate file, key file) by which the API server takes whoever shows them for this user."""
        file = "-".join((name, *groups)).replace(":", "-")  # one name can be asked for in other groups
        if not self.path(f"{file}.crt").exists():
            self._issue(file, self._name(name, *groups), ExtendedKeyUsageOID.CLIENT_AUTH)
        return self.path(f"{file}.crt"), self.path(f"{file}.key")

    def path(self, name):
        return self.folder / name

    def account_token(self, namespace, account, account_uid, audience, pod=None, node=None, lifetime_s=3600, key=None, **claims):
        """A token as the API server makes them, made without asking it. `pod`, `node`: (name, uid) that it is bound to. `key`: a
        stranger's, which signs in the place of the cluster's, under its name."""
        now = int(time.time())
        told = {"namespace": namespace, "serviceaccount": {"name": account, "uid": account_uid}}
        told.update({kind: {"name": what[0], "uid": what[1]} for kind, what in (("pod", pod), ("node", node)) if what})
        payload = {"aud": [audience], "exp": now + lifetime_s, "iat": now, "nbf": now, "iss": ISSUER, "jti": str(uuid.uuid4()),
                   "sub": f"system:serviceaccount:{namespace}:{account}", "kubernetes.io": told, **claims}
        return jwt.encode(payload, key or self.accounts_key, "RS256", {"kid": self.accounts_key_id, "typ": ""})

    @property
    def accounts_key_id(self):
        """As the API server's JWKS names the key: the SHA-256 of its public half."""
        public = self.accounts_key.public_key().public_bytes(serialization.Encoding.DER,
                                                             serialization.PublicFormat.SubjectPublicKeyInfo)
        return base64.urlsafe_b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")

    def _issue(self, file, subject, purpose, names=()):
        key = certificates.new_key()
        extensions = [(self._usage(digital_signature=True), True), (x509.ExtendedKeyUsage([purpose]), False)]
        extensions += [(x509.SubjectAlternativeName(names), False)] if names else []
        self._write(file, self._sign(subject, key, extensions, issuer=self._ca), key)

    def _sign(self, subject, key, extensions, issuer=None, lifetime=LIFETIME):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + lifetime))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._ca_key, hashes.SHA256())

    def _write(self, file, certificate, key):
        self.path(f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.path(f"{file}.key").write_bytes(certificates.key_pem(key))

    @staticmethod
    def _name(name, *groups):
        return x509.Name([*(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
                          x509.NameAttribute(NameOID.COMMON_NAME, name)])

    @staticmethod
    def _usage(**given):
        fields = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                  "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
        return x509.KeyUsage(**{field: given.get(field, False) for field in fields})
