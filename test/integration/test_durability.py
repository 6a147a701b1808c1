"""No certificate leaves without a durable record, whatever happens to the server or its disk."""

import errno
import json
import os
import random
import subprocess
import threading
import urllib.error

import certificates
import grpc
import grpc_messages
import pytest
from background import wait_until

CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"


class Load:
    """Threads that ask for certificates until told to stop, and remember the serial of every chain they received."""

    def __init__(self, socket, threads):
        self.serials = set()
        self.failures = []
        self.received = threading.Condition()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(socket, n)) for n in range(threads)]

    def _run(self, socket, number):
        request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")
        spiffe_id = f"spiffe://cluster.local/ns/load/sa/client-{number}"
        csr = certificates.csr_pem(certificates.new_key(), spiffe_id)
        while not self._stop.is_set():
            with grpc_messages.unix_channel(socket) as channel:
                create = grpc_messages.call(channel, CREATE)
                while not self._stop.is_set():
                    try:
                        answer = create(request(csr=csr), timeout=5)
                    except grpc.RpcError as error:
                        with self.received:
                            self.failures.append(error.code())
                        # The server is gone; only these may be seen, and a new channel tries again at once.
                        break
                    with self.received:
                        self.serials.add(certificates.serial_hex(certificates.load(answer.cert_chain[0])))
                        self.received.notify_all()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive()

    def wait_for_more(self, count, timeout=30):
        with self.received:
            target = len(self.serials) + count
            assert self.received.wait_for(lambda: len(self.serials) >= target, timeout), "no certificates arrive"


def recorded_serials(server):
    return {row["serial"] for row in json.loads(server.cli("cert", "list", "-o", "json").stdout)}


def test_kill_under_load_loses_nothing(server):
    """SIGKILL twenty times under load: every chain a client received is listed, and serving resumes."""
    ca = server()
    chance = random.Random(7)
    with Load(ca.api_socket, threads=4) as load:
        for _ in range(20):
            load.wait_for_more(chance.randrange(1, 40))
            ca.kill()
            ca.restart()
        load.wait_for_more(10)
    missing = load.serials - recorded_serials(ca)
    assert not missing, f"{len(missing)} of {len(load.serials)} received certificates are not recorded: {sorted(missing)[:3]}"
    assert len(load.serials) >= 30
    assert set(load.failures) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED,
                                  grpc.StatusCode.CANCELLED}, load.failures
    ca.cli("db", "check")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, 8 MiB, to fill. Needs the right to mount, as CI has."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(folder)],
                             capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.fail(f"cannot mount a tmpfs to fill: {mounted.stderr.strip()} (run as root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def issue(ca, name):
    request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")
    csr = certificates.csr_pem(certificates.new_key(), f"spiffe://cluster.local/{name}")
    with grpc_messages.unix_channel(ca.api_socket) as channel:
        return grpc_messages.call(channel, CREATE)(request(csr=csr), timeout=10)


def is_ready(ca):
    try:
        ca.get("/readyz")
        return True
    except urllib.error.HTTPError:
        return False


def test_full_disk_answers_unavailable_and_recovers(server, small_disk):
    """A full disk: issuance is Unavailable, health of the process stays, and the next request after space returns works."""
    ca = server(state_dir=small_disk / "state")
    issue(ca, "before")
    ballast = small_disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096) == 4096:
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
    codes = set()
    issued = {"before"}
    for attempt in range(2000):  # SQLite's log may have room of its own for a while
        try:
            issue(ca, f"full-{attempt}")
            issued.add(f"full-{attempt}")
        except grpc.RpcError as error:
            codes.add(error.code())
            break
    assert codes == {grpc.StatusCode.UNAVAILABLE}, codes
    ca.get("/livez")
    os.unlink(ballast)
    wait_until(lambda: is_ready(ca), 30, "ready again after space returned")
    issue(ca, "after")
    listed = {row["spiffe_id"] for row in json.loads(ca.cli("cert", "list", "-o", "json").stdout)}
    assert {f"spiffe://cluster.local/{name}" for name in issued | {"after"}} <= listed
    ca.cli("db", "check")


def test_second_server_on_the_same_state_is_refused(server, meshca):
    """SQLite has one writer: a second server says who holds the file, and the first goes on."""
    ca = server()
    second = subprocess.run([meshca, "serve", "--state-dir", ca.state_dir, "--listen", "127.0.0.1:0", "--http-listen",
                             "127.0.0.1:0"], capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert "another" in second.stderr and str(ca.pid) in second.stderr, second.stderr
    issue(ca, "still-serving")


def test_state_that_others_can_read_is_refused(server, meshca, tmp_path):
    """Keys live there: the refusal names the folder and the chmod that mends it."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    started = subprocess.run([meshca, "serve", "--state-dir", folder, "--listen", "127.0.0.1:0", "--http-listen",
                              "127.0.0.1:0"], capture_output=True, text=True, timeout=30)
    assert started.returncode == 1
    assert f"chmod 700 {folder}" in started.stderr, started.stderr
