"""A workload in each of six languages, against a real server: health, a certificate for a token, the chain verified by
the language's own library, and the trust bundle over SDS with the certificate just obtained."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WORKLOAD = "spiffe://cluster.local/ns/default/sa/web"


def build(command, folder, **env):
    done = subprocess.run([str(word) for word in command], cwd=folder, env=dict(os.environ, **env), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=600)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}"


def copied(language):
    """The client's sources in build/interop, so that no tool leaves its files in the source tree."""
    folder = ROOT / "build" / "interop" / language
    shutil.copytree(HERE / language, folder, dirs_exist_ok=True)
    return folder


def python_client(build_dir):
    return [sys.executable, HERE / "python" / "client.py"]


def cpp_client(build_dir):
    return [build_dir / "test/interop/clients/cpp/interop_cpp_client"]


def go_client(build_dir):
    folder = copied("go")
    build(["go", "build", "-o", "client", "."], folder)
    return [folder / "client"]


def node_client(build_dir):
    folder = copied("node")
    build(["npm", "install", "--no-audit", "--no-fund", "--silent"], folder)
    return ["node", "--no-deprecation", folder / "client.js", "--proto", ROOT / "proto"]


def java_client(build_dir):
    folder = copied("java")
    build(["mvn", "-q", "-B", "package", f"-Dproto.root={ROOT / 'proto'}"], folder)
    return ["java", "-cp", f"{folder}/target/interop-client-1.jar:{folder}/target/dependency/*", "Client"]


def rust_client(build_dir):
    folder = copied("rust")
    build(["cargo", "build", "--quiet"], folder, CARGO_TARGET_DIR=str(folder / "target"))
    return [folder / "target/debug/client"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("client, verifier", [
    pytest.param(python_client, "pyca/cryptography", id="python"),
    pytest.param(cpp_client, "OpenSSL", id="cpp"),
    pytest.param(go_client, "Go crypto/x509", id="go"),
    pytest.param(node_client, "node:crypto", id="node", marks=pytest.mark.all_only),
    pytest.param(java_client, "Java CertPathValidator", id="java", marks=pytest.mark.all_only),
    pytest.param(rust_client, "rustls-webpki", id="rust", marks=pytest.mark.all_only),
])
def test_a_workload_gets_and_trusts_its_identity(client, verifier, server, build_dir, tmp_path):
    command = client(build_dir)  # compiles, so before the token's time runs
    ca = server("--sds-over-mtls", "true")
    roots = tmp_path / "root.pem"
    roots.write_text(ca.root_pem, encoding="ascii")
    token = ca.cli("token", "create", WORKLOAD).stdout.strip()

    done = subprocess.run([*[str(word) for word in command], "--server", ca.grpc, "--sds", ca.grpc, "--ca", str(roots),
                           "--unix", str(ca.api_socket), "--token", token, "--id", WORKLOAD], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{ca.background.output()}"
    told = json.loads(done.stdout.splitlines()[-1])

    assert told["health"] == "SERVING"
    # Each library has its own :authority for a Unix socket. tonic has none: its caller names a URI.
    assert told.get("unix_health") == (None if "rustls" in verifier else "SERVING")
    assert told["spiffe_ids"] == [WORKLOAD]
    assert told["verified_by"] == verifier
    assert told["elements"] >= 3  # leaf, issuing authority, roots
    assert told["secret"] == "ROOTCA"
    assert told["secret_version"]
    assert told["secret_roots"].strip() == roots.read_text(encoding="ascii").strip()
    listed = {entry["serial"]: entry for entry in json.loads(ca.cli("cert", "list", "-o", "json").stdout)}
    assert listed[told["serial"]]["spiffe_id"] == WORKLOAD
