"""The SPIFFE libraries, unmodified, against the API socket of a real server: go-spiffe and Python's spiffe."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import pytest
from background import Background, wait_until
from cryptography import x509
from spiffe import TrustDomain, WorkloadApiClient, X509Source

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WEB = "spiffe://cluster.local/ns/default/sa/web"
API = "spiffe://cluster.local/ns/default/sa/api"
UID = f"unix:uid:{os.geteuid()}"


@pytest.fixture(scope="session")
def go_workload(tmp_path_factory):
    """The Go workload, built in build/interop, so that no tool leaves its files in the source tree."""
    folder = ROOT / "build" / "interop" / "workload-go"
    shutil.copytree(HERE / "go", folder, dirs_exist_ok=True)
    # The workers of one run do not overwrite each other's program.
    program = tmp_path_factory.mktemp("workload-go") / "workload"
    done = subprocess.run(["go", "build", "-o", str(program), "."], cwd=folder, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, timeout=900)
    assert done.returncode == 0, done.stdout
    return program


def serial_of(certificate):
    return f"{certificate.serial_number:x}"


def test_python_gets_every_identity_with_its_key_and_the_bundles(server):
    ca = server()
    ca.entitle(WEB, API)
    root = x509.load_pem_x509_certificate(ca.root_pem.encode())
    with WorkloadApiClient(f"unix://{ca.api_socket}") as client:
        assert str(client.fetch_x509_svid().spiffe_id) == WEB, "the first entry's is the default"
        svids = client.fetch_x509_svids()
        assert [str(svid.spiffe_id) for svid in svids] == [WEB, API]
        for svid in svids:
            assert svid.private_key.public_key() == svid.leaf.public_key()
            for signed, signer in zip(svid.cert_chain, [*svid.cert_chain[1:], root]):
                signed.verify_directly_issued_by(signer)
        domain = TrustDomain("cluster.local")
        bundle = client.fetch_x509_bundles().get_bundle_for_trust_domain(domain)
        assert bundle.x509_authorities == {root}
        assert client.fetch_x509_context().x509_bundle_set.get_bundle_for_trust_domain(domain).x509_authorities == {root}
        assert client.fetch_jwt_bundles().get_bundle_for_trust_domain(domain) is not None
        with pytest.raises(Exception, match="INVALID_ARGUMENT"):
            client.validate_jwt_svid("eyJhbGciOiJub25lIn0.e30.", "db")


def test_python_started_before_its_entry_gets_its_identity_by_itself_and_follows_renewals(server):
    ca = server()
    updated = threading.Event()
    made = []

    def start():
        made.append(X509Source(socket_path=f"unix://{ca.api_socket}", timeout_in_seconds=120))

    starting = threading.Thread(target=start)
    starting.start()
    try:
        refused = re.compile(r'meshca_rpc_calls_total\{(?=.*PermissionDenied)(?=.*/FetchX509SVID)')
        wait_until(lambda: refused.search(ca.get("/metrics")), 60, "the first refusal")
        ca.entitle(WEB)
    finally:
        starting.join(timeout=150)
    assert made, "it came back by itself"
    with made[0] as source:
        assert str(source.get_x509_context().default_svid.spiffe_id) == WEB
        before = serial_of(source.get_x509_context().default_svid.leaf)
        source.subscribe_for_updates(updated.set)
        ca.cli("cert", "renew", f"{int(before, 16):032x}")
        assert updated.wait(60)
        wait_until(lambda: serial_of(source.get_x509_context().default_svid.leaf) != before, 60, "the renewed key")


def lines_of(watch):
    return [json.loads(line) for line in list(watch.lines)]


@pytest.mark.timeout(900)
def test_go_follows_its_rights_and_calls_itself_through_a_rotation(server, go_workload):
    ca = server("--rotation-delivered-after", "1s", "--rotation-settle", "0s")
    watch = Background([go_workload, "watch", ca.api_socket], ca.folder / "go.err", ca.env)
    try:
        def last(condition, what):
            wait_until(lambda: watch.lines and condition(lines_of(watch)[-1]), 120,
                       lambda: f"{what}: {watch.lines[-3:]}")
            return lines_of(watch)[-1]

        last(lambda line: "PermissionDenied" in line.get("error", "") and "meshca entry create" in line["error"],
             "a refusal that says what helps")
        entry = ca.cli("entry", "create", WEB, "--selector", UID).stdout.strip()
        last(lambda line: line.get("spiffe_ids") == [WEB] and line["peer"] == WEB, "the client comes back by itself")
        ca.cli("entry", "create", API, "--selector", UID)
        first = last(lambda line: line.get("spiffe_ids") == [WEB, API], "a second identity on the open stream")

        # From here on no update and no call to itself may fail.
        seen = len(watch.lines)
        ca.cli("root", "rotate", timeout=300)
        end = last(lambda line: line.get("roots") == 1 and line.get("serial") != first["serial"], "the new root alone")
        told = lines_of(watch)[seen:]
        assert not [line for line in told if line.get("error")], told
        assert all(line["peer"] == WEB for line in told)
        assert any(line["roots"] == 2 for line in told), "both roots for a while"

        ca.cli("entry", "delete", entry)
        last(lambda line: line.get("spiffe_ids") == [API] and line["peer"] == API, "what is left")
        assert end["spiffe_ids"] == [WEB, API]
    finally:
        watch.kill()


def test_go_reads_the_jwt_bundles(server, go_workload):
    ca = server()
    ca.entitle(WEB)
    done = subprocess.run([go_workload, "bundles", ca.api_socket, "cluster.local"], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["jwt_keys"] >= 0
