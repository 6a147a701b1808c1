"""No certificate leaves without a durable record, whatever happens to the server or its disk."""

import contextlib
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
from sds_stream import Stream, secrets
from small_disk import fill, mounted

CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
WEB = "spiffe://cluster.local/ns/test/sa/web"


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
            thread.join(timeout=60)
            assert not thread.is_alive()

    def wait_for_more(self, count, timeout=60):
        with self.received:
            target = len(self.serials) + count
            assert self.received.wait_for(lambda: len(self.serials) >= target, timeout), "no certificates arrive"


def recorded_serials(server):
    return {row["serial"] for row in json.loads(server.cli("cert", "list", "-o", "json").stdout)}


def test_kill_under_load_loses_nothing(server):
    """SIGKILL twenty times under load: every chain a client received is listed, and serving resumes."""
    ca = server()
    chance = random.Random(7)
    with Load(ca.admin_socket, threads=4) as load:
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
    with mounted(tmp_path / "disk", "8m") as folder:
        yield folder


def issue(ca, name):
    request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")
    csr = certificates.csr_pem(certificates.new_key(), f"spiffe://cluster.local/{name}")
    with grpc_messages.unix_channel(ca.admin_socket) as channel:
        return grpc_messages.call(channel, CREATE)(request(csr=csr), timeout=60)


def is_ready(ca):
    try:
        ca.get("/readyz")
        return True
    except urllib.error.HTTPError:
        return False


def issue_until_refused(ca, issued):
    """The code of the refusal; adds to `issued`, because SQLite's log may have room of its own for a while."""
    for _ in range(2000):
        name = f"full-{len(issued)}"
        try:
            issue(ca, name)
        except grpc.RpcError as error:
            return error.code()
        issued.add(name)
    return None


@contextlib.contextmanager
def held_stream(ca):
    """(a stream that holds a key and the roots, the response that brought them)."""
    with grpc_messages.unix_channel(ca.api_socket) as channel:
        stream = Stream(channel, "StreamSecrets", timeout=300)
        stream.ask([WEB, "ROOTCA"])
        response = stream.next()
        assert set(secrets(response)) == {WEB, "ROOTCA"}
        stream.ask([WEB, "ROOTCA"], response.nonce)
        yield stream, response
        stream.cancel()


def ask_for_one_more(stream, names, response, name):
    """The stream lives: it subscribes to one more, and is answered with that one."""
    stream.ask([*names, name], response.nonce)
    response = stream.next()
    assert set(secrets(response)) == {name}
    return response


def test_full_disk_answers_unavailable_and_recovers(server, small_disk):
    """A full disk: issuance is Unavailable, SDS goes on with what it has, and the next request after space returned
    works."""
    ca = server(state_dir=small_disk / "state")
    ca.entitle(WEB, "spiffe://cluster.local/late")
    issue(ca, "before")
    issued = {"before"}
    with held_stream(ca) as (held, response):
        ballast = small_disk / "ballast"
        fill(ballast)
        assert issue_until_refused(ca, issued) == grpc.StatusCode.UNAVAILABLE
        ca.get("/livez")
        held_roots = secrets(response)["ROOTCA"].validation_context
        domain = "spiffe://cluster.local"
        response = ask_for_one_more(held, [WEB, "ROOTCA"], response, domain)
        assert secrets(response)[domain].validation_context == held_roots
        with grpc_messages.unix_channel(ca.api_socket) as channel:
            second = Stream(channel, "StreamSecrets")
            second.ask(["ROOTCA"])
            assert secrets(second.next())["ROOTCA"].validation_context == held_roots
            second.cancel()
        assert issue_until_refused(ca, issued) == grpc.StatusCode.UNAVAILABLE, "the disk was full all that time"
        os.unlink(ballast)
        wait_until(lambda: is_ready(ca), 60, "ready again after space returned")
        ask_for_one_more(held, [WEB, "ROOTCA", domain], response, f"{domain}/late")
    issue(ca, "after")
    listed = {row["spiffe_id"] for row in json.loads(ca.cli("cert", "list", "-o", "json").stdout)}
    assert {f"spiffe://cluster.local/{name}" for name in issued | {"after", "late"}} <= listed
    ca.cli("db", "check")


@contextlib.contextmanager
def read_only(*files):
    """The files are immutable, for handles that are open already too; SQLite's shared memory stays as it is."""
    rights = [] if os.geteuid() == 0 else ["sudo", "-n"]

    def change(flag, check):
        return subprocess.run([*rights, "chattr", flag, *[str(file) for file in files]], capture_output=True, text=True,
                              check=check)

    changed = change("+i", check=False)
    if changed.returncode != 0:
        pytest.fail(f"cannot make a file immutable: {changed.stderr.strip()} (as root or with sudo's leave, on ext4, "
                    "xfs or btrfs)")
    try:
        yield
    finally:
        change("-i", check=True)


def refusal(ca, name):
    """(code, sentence) of an issuance that must fail."""
    with pytest.raises(grpc.RpcError) as refused:
        issue(ca, name)
    return refused.value.code(), refused.value.details()


def test_read_only_database_answers_unavailable_and_recovers(server):
    """A database that becomes read-only under a running server: issuance is Unavailable and says why, nothing leaves
    unrecorded, SDS goes on with what it has, readiness says no, and all of it heals by itself."""
    ca = server()
    ca.entitle(WEB, "spiffe://cluster.local/late")
    issue(ca, "before")
    database = ca.state_dir / "meshca.db"
    domain = "spiffe://cluster.local"
    with held_stream(ca) as (held, response):
        with read_only(database, f"{database}-wal"):
            wait_until(lambda: refusal(ca, "frozen")[0] == grpc.StatusCode.UNAVAILABLE, 60, "issuance refused")
            wait_until(lambda: "read-only" in refusal(ca, "frozen")[1], 60, lambda: refusal(ca, "frozen")[1])
            wait_until(lambda: not is_ready(ca), 60, "not ready")
            ca.get("/livez")
            held_roots = secrets(response)["ROOTCA"].validation_context
            response = ask_for_one_more(held, [WEB, "ROOTCA"], response, domain)
            assert secrets(response)[domain].validation_context == held_roots
            assert refusal(ca, "frozen")[0] == grpc.StatusCode.UNAVAILABLE, "all that time"
        wait_until(lambda: is_ready(ca), 60, "ready again once it can be written")
        ask_for_one_more(held, [WEB, "ROOTCA", domain], response, f"{domain}/late")
    issue(ca, "after")
    listed = {row["spiffe_id"] for row in json.loads(ca.cli("cert", "list", "-o", "json").stdout)}
    assert {f"{domain}/{name}" for name in ("before", "after", "late")} <= listed
    assert f"{domain}/frozen" not in listed, "what was refused left no certificate and no record"
    ca.cli("db", "check")


def test_second_server_on_the_same_state_is_refused(server, meshca):
    """SQLite has one writer: a second server says who holds the file, and the first goes on."""
    ca = server()
    second = subprocess.run([meshca, "serve", "--state-dir", ca.state_dir, "--listen", "127.0.0.1:0", "--http-listen",
                             "127.0.0.1:0"], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "another" in second.stderr and str(ca.pid) in second.stderr, second.stderr
    issue(ca, "still-serving")


def test_a_folder_that_others_use_is_refused_as_state(server, meshca, tmp_path):
    """Keys live there: the refusal names the folder and the chmod that mends it. Its mode is not ours to change."""
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "somebody's").write_text("x", encoding="ascii")
    folder.chmod(0o755)
    started = subprocess.run([meshca, "serve", "--state-dir", folder, "--listen", "127.0.0.1:0", "--http-listen",
                              "127.0.0.1:0"], capture_output=True, text=True, timeout=60)
    assert started.returncode == 1
    assert f"chmod 700 {folder}" in started.stderr, started.stderr
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_restore_on_a_fresh_host_asks_for_the_key_encryption_key_first(server, meshca, tmp_path):
    ca = server()
    issue(ca, "before")
    backup = tmp_path / "backup.db"
    ca.cli("db", "backup", backup)
    key = next(path for path in ca.state_dir.iterdir() if path.is_file() and path.stat().st_size == 32)
    fresh = tmp_path / "fresh"
    restore = [meshca, "db", "restore", backup, "--state-dir", fresh]
    refused = subprocess.run(restore, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert f"the key-encryption key {fresh / key.name} is not there" in refused.stderr, refused.stderr
    assert "put your copy of that file there first" in refused.stderr and "--kek-file" in refused.stderr
    fresh.mkdir(mode=0o700)
    (fresh / key.name).write_bytes(key.read_bytes())
    (fresh / key.name).chmod(0o600)
    done = subprocess.run(restore, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
