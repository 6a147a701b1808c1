"""The CA of an istiod, as its Secrets hold it; made by the `cryptography` package."""

import datetime

import certificates
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding


class IstioAuthority:
    """A root of istiod's kind, which is its own issuing authority."""

    def __init__(self, name="istiod root", path_length=None, days=365, ca=True):
        self.key = certificates.new_key()
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        self.certificate = (
            x509.CertificateBuilder().subject_name(self.name).issuer_name(self.name).public_key(self.key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=400))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=True)
            .sign(self.key, hashes.SHA256()))

    @property
    def pem(self):
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def id(self):
        return certificates.spki_sha256(self.certificate)

    def istio_ca_secret(self, **changed):
        return {"ca-cert.pem": self.pem, "ca-key.pem": certificates.key_pem(self.key).decode(), "cert-chain.pem": "",
                "root-cert.pem": "", "key.pem": "", **changed}
