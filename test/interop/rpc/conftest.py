"""The edge's test server, and certificates for it."""

import subprocess

import pytest
from edge_server import InteropServer


@pytest.fixture(scope="session")
def edge_certificate(tmp_path_factory):
    """(certificate, key) in PEM files, for foo.test.google.fr and 127.0.0.1."""
    folder = tmp_path_factory.mktemp("edge-certificate")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=edge",
                    "-addext", "subjectAltName=DNS:foo.test.google.fr,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def edge(build_dir, tmp_path, edge_certificate):
    """Starts interop servers: `edge()` plaintext, `edge(tls=True)`."""
    started = []

    def start(tls=False):
        cert, key = edge_certificate
        folder = tmp_path / f"edge{len(started)}"
        folder.mkdir()
        arguments = ["--cert", cert, "--key", key] if tls else []
        started.append(InteropServer(build_dir / "test/interop/rpc/interop_server", folder, arguments))
        return started[-1]

    yield start
    for server in started:
        server.stop()
