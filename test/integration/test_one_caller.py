"""One local user with every trick at once: what it costs the server, its operator and another caller."""

import contextlib
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import certificates
import hostile
import jwt
import paced_caller
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

WEB = "spiffe://cluster.local/ns/default/sa/web"
ISSUER = "https://issuer.test"
SECONDS = 12
MIB = 1024 * 1024
BYTES_A_CONNECTION = 14 * 1024
# Two cores run seven attackers beside the server: below this the figure tells of the machine, not of the server.
P99_AT_LEAST = 0.01
CONNECTIONS = 4000
CONFIG = f"""
trust_domain: cluster.local
authenticators:
- jwt:
    issuer: {ISSUER}
    audiences: [istio-ca]
    jwks_file: %s
    spiffe_id: spiffe://{{trust_domain}}/ns/{{claims.ns}}/sa/{{claims.sa}}
"""


def jwks_of_four():
    keys = [json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key()))
            for _ in range(4)]
    return json.dumps({"keys": [{**key, "kid": str(number), "alg": "ES384"} for number, key in enumerate(keys)]})


def tokens_of_nobody(number):
    """Well-formed JWTs that no key of the issuer has signed and that name none."""
    key, now = ec.generate_private_key(ec.SECP384R1()), int(time.time())
    claims = {"iss": ISSUER, "aud": "istio-ca", "sub": "web", "ns": "default", "sa": "web", "exp": now + 3000}
    return [jwt.encode({**claims, "jti": str(one)}, key, algorithm="ES384") for one in range(number)]


def chain_of_one_name(path, not_before):
    """Eight P-384 certificates that all have one name, each signed by a key that is in none of them, and the leaf's key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the same")])
    signer = ec.generate_private_key(ec.SECP384R1())
    keys = [ec.generate_private_key(ec.SECP384R1()) for _ in range(8)]
    chain = [x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
             .serial_number(x509.random_serial_number()).not_valid_before(not_before)
             .not_valid_after(not_before + datetime.timedelta(days=300))
             .add_extension(x509.BasicConstraints(number > 0, None), critical=True)
             .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(WEB)]), critical=False)
             .sign(signer, hashes.SHA384()) for number, key in enumerate(keys)]
    pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)
    path.write_bytes(certificates.key_pem(keys[0]) + pem)
    path.chmod(0o600)


def certificate_of(ca):
    """A key of the workload and its certificate chain, PEM, as the operator hands them out."""
    folder = ca.folder / "web"
    ca.cli("request", WEB, "--out-dir", folder)
    return (folder / "key.pem").read_text(encoding="utf-8"), (folder / "cert-chain.pem").read_text(encoding="utf-8")


def program(module, *words):
    return subprocess.Popen([sys.executable, module.__file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)


@contextlib.contextmanager
def running(process):
    """From "ready" on until the block ends; `.result` holds what it printed last."""
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
        process.result = json.loads(process.stdout.readline())
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def p99(seconds):
    return sorted(seconds)[int(len(seconds) * 0.99)]


def open_connections(ca):
    return sum(float(line.rsplit(" ", 1)[1]) for line in ca.get("/metrics").splitlines()
               if line.startswith("meshca_rpc_connections_open"))


def watch(ca, peak):
    """The operator's commands and the probes for SECONDS; `peak` gets the most memory beside what connections cost."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        status = json.loads(ca.cli("status", "-o", "json").stdout)
        ready = ca.get("/readyz")
        assert ready, "the page says what it looked at"
        # Their number grows by thousands within seconds: what is taken off for them is the larger of before and after.
        before, resident = open_connections(ca), ca.background.resident_bytes()
        peak.append(resident - max(before, open_connections(ca)) * BYTES_A_CONNECTION)
        assert status["trust_domain"] == "cluster.local"
    return peak


@pytest.fixture
def open_folder():
    """A folder that every user of the host may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


def test_every_trick_at_once_costs_neither_memory_nor_the_others(server, build_dir, open_folder, tmp_path):
    (tmp_path / "jwks.json").write_text(jwks_of_four(), encoding="utf-8")
    ca = server("--api-socket", open_folder / "api.sock", config=CONFIG % (tmp_path / "jwks.json"))
    host, port = ca.grpc.rsplit(":", 1)
    key, certificate = certificate_of(ca)
    chain_of_one_name(tmp_path / "chain.pem", certificates.load(certificate).not_valid_before_utc)
    target = {"host_port": [host, int(port)], "roots": ca.root_pem, "api_socket": str(ca.api_socket),
              "csr": certificates.csr_pem(certificates.new_key(), WEB), "tokens": tokens_of_nobody(200),
              "chain_file": str(tmp_path / "chain.pem"), "connections": CONNECTIONS,
              "key_update_flood": str(build_dir / "test" / "integration" / "key_update_flood")}
    caller = json.dumps({"host_port": target["host_port"], "roots": ca.root_pem, "key": key, "certificate": certificate,
                         "csr": certificates.csr_pem(certificates.new_key(), WEB)})

    with running(program(paced_caller, caller)) as quiet:
        watch(ca, [])
    with running(program(paced_caller, caller)) as attacked, contextlib.ExitStack() as tricks:
        attackers = {name: tricks.enter_context(running(program(hostile, name, json.dumps(target))))
                     for name in hostile.TRICKS}
        peak = watch(ca, [])
    did = {name: process.result for name, process in attackers.items()}
    figures = {
        "p99 of a call, ms": [round(1000 * p99(one.result["calls"]), 1) for one in (quiet, attacked)],
        "p99 of a new connection, ms": [round(1000 * p99(one.result["new_connections"]), 1) for one in (quiet, attacked)],
        "memory beside connections, MiB": round(max(peak) / MIB, 1), "attackers": did}
    print(json.dumps(figures, indent=1))
    assert max(peak) < 100 * MIB, figures
    assert p99(attacked.result["calls"]) < max(5 * p99(quiet.result["calls"]), P99_AT_LEAST), figures
    assert p99(attacked.result["new_connections"]) < max(5 * p99(quiet.result["new_connections"]), 0.5), figures
    assert all(did.values()), f"each trick was tried: {did}"
