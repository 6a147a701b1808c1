"""A thief of authority keys: copies them out of a state folder, and builds every chain that they can sign."""

import datetime
import hashlib
import pathlib
import sqlite3
from dataclasses import dataclass

import certificates
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROLES = {1: "root", 2: "issuing"}


@dataclass
class Authority:
    """One authority with its private key."""

    role: str
    certificate: x509.Certificate
    key: object

    @property
    def id(self):
        return certificates.spki_sha256(self.certificate)


def steal(state_dir):
    """Every authority whose key the database of `state_dir` holds, as whoever copies the folder has them."""
    folder = pathlib.Path(state_dir)
    (kek,) = folder.rglob("*kek*")
    seal_key = HKDF(hashes.SHA256(), 32, salt=None, info=b"meshca seal v1").derive(kek.read_bytes())
    (database,) = folder.rglob("*.db")
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    rows = connection.execute("SELECT id, role, chain, sealed_key FROM authority WHERE key_reference = 'sealed'").fetchall()
    connection.close()
    return [_open(seal_key, *row) for row in rows]


def _open(seal_key, authority_id, role, chain, sealed):
    start = chain.index(b"\x30\x82")  # the first certificate of the row, behind its length
    certificate = x509.load_der_x509_certificate(chain[start:start + 4 + int.from_bytes(chain[start + 2:start + 4], "big")])
    assert certificates.spki_sha256(certificate) == authority_id
    digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    associated = sealed[:1] + f"authority {authority_id} {ROLES[role]} {digest}".encode()
    key = serialization.load_der_private_key(AESGCM(seal_key).decrypt(sealed[1:13], sealed[13:], associated), None)
    return Authority(ROLES[role], certificate, key)


@dataclass
class Forged:
    """A chain that a thief shows, with the key of its leaf."""

    name: str
    chain: list
    key: object

    @property
    def chain_pem(self):
        return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in self.chain)

    @property
    def key_pem(self):
        return certificates.key_pem(self.key)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Thief:
    """`root` and `issuing` are stolen; `honest` is the chain of an honest holder, which anybody sees on the wire;
    `others` are certificates that travel in chains (cross-certificates, new authorities)."""

    def __init__(self, root, issuing, honest, spiffe_id, others=()):
        self.root, self.issuing, self.honest, self.spiffe_id = root, issuing, honest, spiffe_id
        self.others = list(others)
        self.key = certificates.new_key()
        self.ca_key = certificates.new_key()

    def leaf(self, issuer, signer, spiffe_id=None, serial=None, aki=None, days=1):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(issuer.subject)
                   .public_key(self.key.public_key()).serial_number(serial or x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=2 if days < 0 else 0, minutes=2))
                   .not_valid_after(now + datetime.timedelta(days=days))
                   .add_extension(x509.SubjectAlternativeName(
                       [x509.UniformResourceIdentifier(spiffe_id or self.spiffe_id)]), critical=True)
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
                   .add_extension(x509.ExtendedKeyUsage(
                       [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False))
        if aki is not None:
            builder = builder.add_extension(x509.AuthorityKeyIdentifier(aki, None, None), critical=False)
        return builder.sign(signer, hashes.SHA256())

    def authority(self, subject, issuer, signer, ca=True):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
                .public_key(self.ca_key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(minutes=2)).not_valid_after(now + datetime.timedelta(days=2))
                .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
                .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
                .sign(signer, hashes.SHA256()))

    def forgeries(self):
        """The table: every chain that these keys can sign and that tries something of its own."""
        root, issuing = self.root.certificate, self.issuing.certificate
        root_key, issuing_key = self.root.key, self.issuing.key
        skis = [c.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest for c in [issuing, *self.others]]
        made = self.authority(_name("honest looking"), root.subject, root_key)
        named_as_issuing = self.authority(issuing.subject, root.subject, root_key)
        twin = self.authority(issuing.subject, issuing.subject, issuing_key)
        below = self.authority(_name("below"), issuing.subject, issuing_key)
        no_ca = self.authority(_name("below"), issuing.subject, issuing_key, ca=False)
        alone = self.authority(root.subject, root.subject, self.ca_key)
        honest_serial = self.honest[0].serial_number
        table = [
            ("by the issuing key", [self.leaf(issuing, issuing_key, aki=skis[0]), issuing]),
            ("by the root's key itself", [self.leaf(root, root_key)]),
            ("without an authority key identifier", [self.leaf(issuing, issuing_key), issuing]),
            ("under a CA of the stolen root", [self.leaf(made, self.ca_key), made]),
            ("under a CA of the stolen root, with the root", [self.leaf(made, self.ca_key), made, root]),
            ("under a CA of the issuing authority's name", [self.leaf(named_as_issuing, self.ca_key), named_as_issuing]),
            ("under a self-issued twin", [self.leaf(twin, self.ca_key), twin, issuing]),
            ("under a subordinate", [self.leaf(below, self.ca_key), below, issuing]),
            ("under a subordinate that is no CA", [self.leaf(no_ca, self.ca_key), no_ca, issuing]),
            ("under a root of its own", [self.leaf(alone, self.ca_key), alone]),
            ("with an honest serial", [self.leaf(issuing, issuing_key, serial=honest_serial), issuing]),
            ("with an honest serial, another id",
             [self.leaf(issuing, issuing_key, f"{self.spiffe_id}-other", serial=honest_serial), issuing]),
            ("with an honest serial under a CA of its own", [self.leaf(made, self.ca_key, serial=honest_serial), made]),
            ("for an admin", [self.leaf(issuing, issuing_key, "spiffe://cluster.local/meshca/admin/x"), issuing]),
            ("for the CA itself", [self.leaf(made, self.ca_key, "spiffe://cluster.local/meshca/server"), made]),
            ("expired", [self.leaf(issuing, issuing_key, days=-1), issuing]),
            ("two issuers of one name", [self.leaf(issuing, self.ca_key), named_as_issuing, issuing]),
            ("with all that is on the wire", [self.leaf(issuing, issuing_key), *self.others, issuing, root]),
        ]
        for other, ski in zip(self.others, skis[1:]):
            named = self.authority(other.subject, root.subject, root_key)
            table.append((f"with the key identifier of {other.subject.rfc4514_string()}",
                          [self.leaf(made, self.ca_key, aki=ski), made, other]))
            table.append((f"under a CA named {other.subject.rfc4514_string()}",
                          [self.leaf(named, self.ca_key), named, *self.others]))
        return [Forged(name, chain, self.key) for name, chain in table]
