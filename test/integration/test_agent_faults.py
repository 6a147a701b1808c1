"""Faults of a node's agent: killed at every step, its disk full, its clock an hour off, its CA away."""

import contextlib
import datetime
import json
import os
import random
import re
import threading
import time

import certificates
import grpc
import grpc_messages
import pytest
import rotation
from agent_process import AgentProcess
from background import wait_until
from moved_clock import MovedClock
from sds_stream import DISCOVERY, SERVICE
from service_manager import ServiceManager
from small_disk import fill, mounted
from workload_api import jwt_svids, leaf_of, served, svids

WEB = "spiffe://cluster.local/ns/default/sa/web"
DB = "spiffe://cluster.local/ns/default/sa/db"
ME = f"unix:uid:{os.geteuid()}"

SAVED = "agent: after its identity is saved"  # what follows happens in the same process alone
JOINING = {"agent: after its joining key is saved", "agent: before its trust is saved", "agent: before its identity is saved",
           "agent: after its token is marked as spent"}
SIGNING = {"agent: before it asks for certificates", "agent: after certificates have come",
           "agent: after its keys are kept anew"}
RENEWING = {"agent: before its identity is saved", SAVED}


def status(node):
    return json.loads(node.cli("status", "-o", "json").stdout)


def facts(node):
    return {fact["name"]: fact for fact in json.loads(node.cli("check", "-o", "json", check=False).stdout)["facts"]}


def serial_of(chain):
    return certificates.serial_hex(leaf_of(chain))


def recorded(ca):
    return {row["serial"] for row in json.loads(ca.cli("cert", "list", "-o", "json").stdout)}


def own_serial(node):
    pem = (node.state_dir / "identity.pem").read_bytes()
    return certificates.serial_hex(certificates.load_all(pem[pem.index(b"-----BEGIN CERT"):].decode())[0])


def token_for(ca, folder, node="web-1"):
    token = folder / "token"
    ca.cli("token", "create", "--node", node, "--out", token)
    return token


# ---- Killed


class DyingAgent:
    """An agent that dies once at every fault point but those that are spared, and is started again each time."""

    def __init__(self, program, ca, folder, spared):
        assert program.exists(), f"{program} is not built"
        folder.mkdir()
        self.faults = folder / "faults"
        self.faults.mkdir()
        for point in spared:
            (self.faults / point).touch()
        self.spared = spared
        self.manager = ServiceManager(folder, room=2)
        self.node = AgentProcess(program, folder, folder / "state",
                                 ["--server", ca.grpc, "--token-file", token_for(ca, folder, folder.name)],
                                 env={"MESHCA_FAULTS": str(self.faults), **self.manager.env()})
        self.received = set()

    def died_at(self):
        return {path.name for path in self.faults.iterdir()} - self.spared

    def get(self):
        """Whether it lives long enough to give a workload its certificate."""
        if self.node.background is None or not self.node.background.running():
            self.manager.start(self.node, ready=False)
        try:
            self.node.wait_ready(60)
            self.received.update(serial_of(chain) for chain, _ in svids(self.node).values())
        except (AssertionError, grpc.RpcError):
            return False
        return self.node.background.running()

    def what(self):
        return f"{self.died_at()}\n{self.node.log()}"

    def close(self):
        self.node.stop()
        self.manager.close()


@pytest.fixture
def dying(build_dir, tmp_path):
    made = []

    def make(ca, name, spared=frozenset()):
        made.append(DyingAgent(build_dir / "test" / "integration" / "meshca_with_faults", ca, tmp_path / name, spared))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.timeout(600)
def test_killed_at_every_step_of_joining_signing_and_renewing(server, dying):
    """Started again each time it died, it goes on where it was: one node, one identity, no certificate without a record."""
    ca = server()
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-*")
    agent = dying(ca, "web-1", spared={SAVED})
    wait_until(lambda: agent.get() and agent.died_at() >= JOINING | SIGNING, 300, agent.what)
    joined_as = own_serial(agent.node)
    for fault in agent.faults.iterdir():
        fault.unlink()
    agent.spared = frozenset()

    def renewed():
        if agent.get() and agent.died_at() >= RENEWING and own_serial(agent.node) != joined_as:
            return True
        ca.cli("cert", "renew", "--id", "spiffe://cluster.local/meshca/agent/web-1", check=False)
        return False

    wait_until(renewed, 300, agent.what)
    assert agent.received | {own_serial(agent.node), joined_as} <= recorded(ca)
    assert [row["name"] for row in json.loads(ca.cli("node", "list", "-o", "json").stdout)] == ["web-1"]
    # The last order to renew may still be carried out; what a death left behind would stay.
    wait_until(lambda: not leftovers(agent.node), 60, agent.what)
    ca.cli("db", "check")


def test_killed_between_its_certificate_and_the_end_of_joining_it_leaves_no_key_behind(server, dying):
    ca = server()
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-*")
    agent = dying(ca, "web-2", spared=(JOINING | SIGNING) - {SAVED})
    wait_until(lambda: agent.get() and agent.died_at() == {SAVED}, 300, agent.what)
    assert not leftovers(agent.node)


def leftovers(node):
    return [name for name in os.listdir(node.state_dir) if ".new-" in name or name == "joining-key.pem"]


class Workloads:
    """Threads that fetch X.509-SVIDs again and again and remember the serial of each that they received."""

    def __init__(self, node, threads):
        self.serials = set()
        self.messages = 0
        self.failures = set()
        self.changed = threading.Condition()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(node,)) for _ in range(threads)]

    def _run(self, node):
        while not self._stop.is_set():
            try:
                got = [serial_of(chain) for chain, _ in svids(node, timeout=20).values()]
            except grpc.RpcError as error:
                self.failures.add(error.code())
                self._stop.wait(0.05)
                continue
            with self.changed:
                self.serials.update(got)
                self.messages += 1
                self.changed.notify_all()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def wait_for_more(self, count):
        with self.changed:
            target = self.messages + count
            assert self.changed.wait_for(lambda: self.messages >= target, 60), self.failures


def test_killed_while_it_signs_and_renews_it_loses_nothing(server, agent):
    ca = server()
    for number in range(6):
        ca.cli("entry", "create", f"{WEB}{number}", "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    served(node, 6)
    chance = random.Random(5)
    with Workloads(node, threads=3) as workloads:
        for turn in range(6):
            workloads.wait_for_more(3)
            if turn % 2:
                ca.cli("cert", "renew", "--id", "spiffe://cluster.local/*")
            moment = time.monotonic() + chance.uniform(0, 0.3)
            wait_until(lambda at=moment: time.monotonic() >= at, 60, "the moment")
            node.kill()
            node.start()  # on the same socket
        workloads.wait_for_more(3)
    last = served(node, 6)
    missing = workloads.serials - recorded(ca)
    assert not missing, f"{len(missing)} of {len(workloads.serials)} received certificates are not recorded"
    assert len(workloads.serials) >= 6 * 6
    assert {serial_of(chain) for chain, _ in last.values()} <= recorded(ca)
    assert workloads.failures <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED,
                                  grpc.StatusCode.CANCELLED, grpc.StatusCode.PERMISSION_DENIED}, workloads.failures
    ca.cli("db", "check")


# ---- Its CA away


def test_what_it_has_not_is_refused_at_once_while_the_ca_is_away(server, agent):
    """Nobody waits for his own deadline; what was fetched before goes on being served."""
    ca = server("--listen", "127.0.0.1:0")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    before = served(node)
    token = jwt_svids(node, "api")
    ca.cli("entry", "create", DB, "--selector", ME, "--selector", "unix:path:/nowhere", "--node", "web-1")
    ca.kill()
    wait_until(lambda: "without its CA" in status(node)["agent"].get("connection_error", ""), 60, node.log)
    assert svids(node) == before and jwt_svids(node, "api") == token
    # Known to be away once a try has failed; by then this takes no time.
    wait_until(lambda: refused_jwt(node)[1] < 5, 60, node.log)
    (code, words), took = refused_jwt(node)
    assert took < 30 and code == grpc.StatusCode.UNAVAILABLE, (took, words)
    assert re.search(r"without its CA since 20\d\d-", words) and "X.509-SVIDs and bundles are served" in words, words
    ca.args += ["--listen", ca.grpc]
    ca.start()
    wait_until(lambda: status(node)["agent"].get("connected_to"), 60, node.log)
    assert jwt_svids(node, "another")


def refused_jwt(node):
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as refused:
        jwt_svids(node, f"audience-{began}", timeout=60)
    return (refused.value.code(), refused.value.details()), time.monotonic() - began


def test_an_identity_without_a_certificate_is_refused_at_once_while_the_ca_is_away(server, agent):
    ca = server("--listen", "127.0.0.1:0")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    wait_until(lambda: status(node)["agent"].get("entries") == 1, 60, node.log)
    ca.kill()
    wait_until(lambda: refused_jwt(node)[1] < 5, 60, node.log)
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as stream:
        svids(node, timeout=60)
    with grpc_messages.unix_channel(node.api_socket) as channel, pytest.raises(grpc.RpcError) as fetch:
        request = grpc_messages.message(f"{DISCOVERY}.DiscoveryRequest")
        grpc_messages.call(channel, f"{SERVICE}/FetchSecrets")(request(resource_names=[WEB]), timeout=60)
    assert time.monotonic() - began < 30
    for refused in (stream, fetch):
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE, refused.value
        assert "without its CA since 20" in refused.value.details(), refused.value
    assert "the CA is back" in facts(node)["keys"]["detail"]
    # Asked for anew as soon as the CA is back, whenever its own next attempt was.
    ca.args += ["--listen", ca.grpc]
    ca.start()
    served(node)


# ---- Its disk full


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "disk", "1m") as folder:
        yield folder


def test_on_a_full_disk_it_serves_and_holds_a_new_root_up_until_there_is_room(server, agent, small_disk, tmp_path):
    """What cannot be written is said, a new certificate of the agent's own is not used before it is written, and all of it
    is once there is room; no restart brings back the old root."""
    ca = server("--rotation-skew", "0s", "--rotation-settle", "300ms", "--listen", "127.0.0.1:0")
    manager = ServiceManager(tmp_path, room=2)
    with contextlib.closing(manager):
        node = agent(ca, "web-1", state_dir=small_disk / "state", env=manager.env())
        wait_until(lambda: status(node)["agent"].get("connected_to"), 60, node.log)
        ballast = small_disk / "ballast"
        fill(ballast)
        ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
        before = served(node)
        wait_until(lambda: facts(node)["keys over a restart"]["state"] == "warning", 60, lambda: json.dumps(facts(node)))
        old_trust = (node.state_dir / "trust.bin").read_bytes()
        ca.cli("root", "rotate", "--detach")
        # The agent still shows the certificate that the disk has, so the old root stays, and it is named.
        wait_until(lambda: svids(node) and [late["instance"] for late in rotation.status(ca)["laggards"]] == ["agent:web-1"]
                   and rotation.status(ca)["step"] in ("reissue", "drain"), 60,
                   lambda: json.dumps(rotation.status(ca)) + node.log())
        assert "could not be saved" in node.log(), node.log()
        assert (node.state_dir / "trust.bin").read_bytes() == old_trust, "the disk was full all that time"
        os.unlink(ballast)
        # This process is a workload that has the old root until it fetches again.
        wait_until(lambda: svids(node) and rotation.status(ca)["step"] == "done", 180,
                   lambda: json.dumps(rotation.status(ca)) + node.log())
        (root,) = certificates.load_all(ca.root_pem)
        wait_until(lambda: status(node)["bundle_roots"] == 1, 60, lambda: json.dumps(status(node)))
        after = served(node)
        assert after != before and serial_of(after[WEB][0]) in recorded(ca)
        wait_until(lambda: (node.state_dir / "trust.bin").read_bytes() != old_trust, 60, node.log)
        wait_until(lambda: facts(node)["keys over a restart"]["state"] == "ok" and manager.names(), 60,
                   lambda: json.dumps(facts(node)))
        wait_until((node.state_dir / "entries.bin").exists, 60, node.log)
        # It may show no certificate any more that leads to the old root.
        wait_until(lambda: own_serial(node) in recorded(ca) and status(node)["ready"], 60, node.log)
        ca.kill()
        node.kill()
        manager.start(node)
        assert svids(node) == after
        roots = json.loads(node.cli("sds", "get", "ROOTCA", "-o", "json").stdout)["roots"]
        assert certificates.spki_sha256(root) in json.dumps(roots), roots


def test_on_a_full_disk_it_does_not_join_and_does_so_by_the_same_token_once_there_is_room(server, agent, small_disk,
                                                                                          tmp_path):
    ca = server()
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    token = token_for(ca, tmp_path)
    ballast = small_disk / "ballast"
    (small_disk / "state").mkdir(mode=0o700)
    fill(ballast)
    node = agent(ca, token=token, state_dir=small_disk / "state", ready=False)
    wait_until(lambda: "No space left" in node.log(), 60, node.log)
    os.unlink(ballast)
    if not node.background.running() or not joins(node):
        node.start()
    served(node)


def joins(node):
    try:
        node.wait_ready(60)
        return True
    except AssertionError:
        return False


# ---- Its clock


@pytest.fixture
def clock(tmp_path):
    return MovedClock(tmp_path)


@pytest.mark.parametrize("offset", ["+3600", "-3600"])
def test_a_clock_that_is_moved_by_an_hour_ends_nothing(server, agent, clock, offset):
    ca = server("--leaf-lifetime", "30m")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1", env=clock.env())
    node.env = clock.without(node.env)
    before = served(node)
    certificate = own_serial(node)
    clock.set(offset)
    wait_until(lambda: facts(node)["clock"]["state"] == "failed", 60, lambda: json.dumps(facts(node)))
    assert svids(node) == before, "what is valid by the true time goes on being served"
    assert jwt_svids(node, "api")
    assert own_serial(node) == certificate and status(node)["agent"].get("connected_to")
    clock.set("+0")
    wait_until(lambda: facts(node)["clock"]["state"] == "ok", 90, lambda: json.dumps(facts(node)))
    wait_until(lambda: valid_now(svids(node)), 60, node.log)
    ca.cli("entry", "create", DB, "--selector", ME, "--node", "web-1")
    assert valid_now(served(node, 2))


@pytest.mark.parametrize("offset", ["+3600", "-3600"])
def test_started_with_a_clock_an_hour_off_it_serves_as_soon_as_the_clock_is_right(server, agent, clock, offset):
    """By such a clock its own certificate has ended, or has not begun; nothing is thrown away because of it."""
    ca = server("--leaf-lifetime", "30m")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    served(node)
    certificate = own_serial(node)
    node.terminate()
    clock.set(offset)
    node.env.update(clock.env())
    node.start()
    node.env = clock.without(node.env)
    wait_until(lambda: "this machine's clock says" in json.dumps(facts(node)["CA"]), 60, lambda: json.dumps(facts(node)))
    assert not status(node)["agent"].get("connected_to")
    assert own_serial(node) == certificate
    clock.set("+0")
    wait_until(lambda: status(node)["agent"].get("connected_to"), 150, lambda: node.log() + json.dumps(facts(node)))
    wait_until(lambda: facts(node)["clock"]["state"] == "ok", 30, lambda: json.dumps(facts(node)))
    assert valid_now(served(node))


def valid_now(got):
    now = datetime.datetime.now(datetime.timezone.utc)
    leaves = [leaf_of(chain) for chain, _ in got.values()]
    return all(leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc for leaf in leaves)
