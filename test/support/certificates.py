"""Keys, certificate requests and checks for Python tests, on the `cryptography` package: not our code, so a second opinion."""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def csr_pem(key, spiffe_id=None, subject=""):
    """A PEM request for `spiffe_id` (one URI name), or for no name at all."""
    names = [x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    if spiffe_id:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)]),
                                        critical=not subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def load(pem):
    return x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem)


def load_all(pem):
    return x509.load_pem_x509_certificates(pem.encode() if isinstance(pem, str) else pem)


def spiffe_ids(certificate):
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def serial_hex(certificate):
    """As `meshca cert list` writes it: contiguous lower-case hex."""
    text = f"{certificate.serial_number:x}"
    return text.rjust(len(text) + len(text) % 2, "0")


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def spki_sha256(certificate):
    """The fingerprint of its public key, as meshca names authorities."""
    key = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


def load_key(pem):
    return serialization.load_pem_private_key(pem, None)
