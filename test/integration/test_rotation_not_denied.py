"""One workload must not be able to keep a root: not by silence, and not by making up names."""

import json
import os

import grpc
import grpc_messages
import pytest
import rotation
from background import wait_until
from many_subscribers import ManySubscribers
from sds_stream import DISCOVERY, SERVICE, Stream

QUICK = ("--rotation-skew", "0s", "--rotation-settle", "300ms")
GRACE = ("--rotation-emergency-grace", "2s")
NAMES = 2000
# The most a uid may have counted, so that a test need not make thousands; a quarter of it comes at once.
ROOM = 600


WEB = "spiffe://cluster.local/ns/test/sa/web"


@pytest.fixture
def serving(server):
    """A server whose API socket knows the user of this test."""

    def start(*args):
        ca = server(*args)
        ca.cli("entry", "create", WEB, "--selector", f"unix:uid:{os.getuid()}")
        return ca

    return start


def subscribers(server):
    return json.loads(server.cli("subscriber", "list", "-o", "json").stdout)


def evict(server, *selection):
    return json.loads(server.cli("subscriber", "evict", *selection, "-o", "json").stdout)


def audit_of(server, action):
    return [entry for entry in json.loads(server.cli("audit", "list", "-o", "json").stdout) if entry["action"] == action]


def open_channel(server):
    return grpc.insecure_channel(f"unix:{server.api_socket}", options=[("grpc.default_authority", "localhost")])


class Silent:
    """A proxy that takes what it is sent without a word, until the block ends."""

    def __init__(self, server, node="silent"):
        self._channel = open_channel(server)
        self.stream = Stream(self._channel, "StreamSecrets", timeout=300)
        node_message = b"\x0a" + bytes([len(node)]) + node.encode()
        self.stream.ask(["ROOTCA"], node=node_message)
        self.stream.next()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.cancel()
        self._channel.close()


def make_up_names(server):
    """2,000 node ids of one process in a moment, and gone again. How many were refused."""
    with ManySubscribers(server.api_socket, NAMES) as proxies:
        wait_until(lambda: all(count > 0 or node in proxies.ended for node, count in proxies.received.items()), 60,
                   lambda: f"{len(proxies.ended)} refused")
        return sum(code == "StatusCode.RESOURCE_EXHAUSTED" for code in list(proxies.ended.values()))


@pytest.mark.alone
def test_names_that_one_uid_makes_up_are_bounded_and_evicted_in_one_go(serving):
    ca = serving(*QUICK, "--rotation-instances-per-caller-max", str(ROOM))
    refused = make_up_names(ca)
    wait_until(lambda: not any(row["connected"] for row in subscribers(ca)), 60, "the server has seen all of them go")
    remembered = [row for row in subscribers(ca) if row["node"].startswith("node-")]
    assert len(remembered) + refused == NAMES
    assert ROOM // 4 <= len(remembered) <= ROOM, len(remembered)
    uid = remembered[0]["uid"]
    assert {row["uid"] for row in remembered} == {uid}

    ca.cli("root", "prepare")
    kept = ca.cli("root", "activate", check=False)
    assert kept.returncode == 3 and f"of {len(remembered)} subscribers" in kept.stderr, kept.stderr
    evicted = evict(ca, "--uid", str(uid))
    assert len(evicted) == len(remembered) and all(row["evicted_at"] for row in evicted)
    (audited,) = audit_of(ca, "subscriber.evict")
    assert audited["target"] == f"uid {uid}" and audited["detail"].startswith(f"{len(remembered)} subscribers, 0 connected")
    ca.cli("root", "activate")
    ca.stop()
    ca.start()
    assert all(row["evicted_at"] for row in subscribers(ca)), "it outlives a restart"


def test_one_silent_stream_is_named_by_a_plain_rotation_and_evicted_while_it_is_connected(serving):
    ca = serving(*QUICK)
    with Silent(ca) as silent:
        ca.cli("root", "rotate", "--detach")
        named = wait_until(lambda: rotation.status(ca)["laggards"], 60, lambda: rotation.status(ca))
        assert [laggard["node"] for laggard in named] == ["silent"]
        assert "meshca subscriber evict" in named[0]["detail"]
        assert rotation.status(ca)["step"] == "distribute"
        (evicted,) = evict(ca, "--node", "sil*")
        assert not evicted["connected"] and evicted["evicted_at"], evicted
        silent.stream.next()  # the bundle with both roots was on its way
        code, details = silent.stream.end()
        assert code == grpc.StatusCode.UNAVAILABLE and "evicted" in details
        ended = wait_until(lambda: (now := rotation.status(ca))["step"] == "done" and now, 60,
                           lambda: rotation.status(ca))
        assert ended["forced"] == ""
    (audited,) = audit_of(ca, "subscriber.evict")
    assert audited["target"] == "node sil*" and "on silent" in audited["detail"]


@pytest.mark.parametrize("selection", ["instance", "--id", "--uid"])
def test_an_evicted_stream_may_come_back_and_counts_anew(serving, selection):
    ca = serving(*QUICK)
    with Silent(ca) as silent:
        (row,) = subscribers(ca)
        words = {"instance": [row["instance"]], "--id": ["--id", row["spiffe_id"] or "*"],
                 "--uid": ["--uid", str(row["uid"])]}
        ca.cli("subscriber", "evict", *words[selection])
        assert silent.stream.end()[0] == grpc.StatusCode.UNAVAILABLE
    with Silent(ca):
        (back,) = subscribers(ca)
        assert back["instance"] == row["instance"]
        assert back["connected"] and not back["evicted_at"] and back["bundle_sequence"] == 0


def test_an_emergency_names_the_silent_and_goes_on_by_itself(serving):
    ca = serving(*QUICK, *GRACE)
    old_root = ca.root_fingerprint
    with Silent(ca):
        done = ca.cli("root", "rotate", "--emergency", "-o", "json", timeout=120)
        ended = json.loads(done.stdout.splitlines()[-1])
        assert "2 s after a step began are named, and it goes on without them" in done.stderr, done.stderr
        assert ended["step"] == "done" and ended["emergency"], ended
        for step in ("activation", "retirement", "the end"):
            assert f"the emergency grace forced {step}" in ended["forced"], ended["forced"]
        assert "on silent" in ended["forced"]
        assert ended["forced"] in ca.cli("root", "status").stdout
        for action in ("root.activate", "root.retire", "root.done"):
            entry = audit_of(ca, action)[-1]  # the first start has activated a root too
            assert "on silent" in entry["detail"], entry
    assert rotation.root_states(ca)[old_root] == "retired"


def test_an_emergency_with_wait_waits_for_the_silent(serving):
    ca = serving(*QUICK, *GRACE)
    with Silent(ca), Silent(ca, "other"):
        told = ca.cli("root", "rotate", "--emergency", "--wait", "--detach").stderr
        assert "it waits for every subscriber, however long one is silent" in told
        begun = rotation.status(ca)
        assert begun["emergency_grace"] is None and begun["deadline"] is None, begun
        # Several graces long: each look is one of the server's own, later than the one before.
        wait_until(lambda: looked_for(rotation.status(ca)) > 6, 60, lambda: rotation.status(ca))
        waiting = rotation.status(ca)
        assert waiting["step"] == "distribute" and waiting["subscribers_behind"] == 2, waiting
        assert evict(ca, "--node", "*")
        wait_until(lambda: rotation.status(ca)["step"] == "done", 60, lambda: rotation.status(ca))


def looked_for(status):
    """Seconds between the beginning of the step and the last look at it."""
    return rotation.seconds(status["as_of"]) - rotation.seconds(status["step_at"])


def test_an_emergency_takes_over_a_rotation_that_somebody_silent_holds_up(serving):
    ca = serving(*QUICK, *GRACE)
    old_root = ca.root_fingerprint
    with Silent(ca):
        ca.cli("root", "rotate", "--detach")
        ended = rotation.rotate(ca, "--emergency")
        assert ended["step"] == "done" and ended["emergency"], ended
    (old,) = [root for root in rotation.status(ca)["roots"] if root["id"] == old_root]
    assert old["tainted"] and old["state"] == "retired"


def test_who_fetched_is_behind_until_it_fetches_again_or_is_evicted(serving):
    ca = serving(*QUICK)
    with grpc_messages.unix_channel(ca.api_socket) as channel:
        fetching_holds_up_a_step(ca, channel)


def fetching_holds_up_a_step(ca, channel):
    request = grpc_messages.message(f"{DISCOVERY}.DiscoveryRequest")(resource_names=["ROOTCA"])
    request.node.id = "once"
    fetch = grpc_messages.call(channel, f"{SERVICE}/FetchSecrets")
    fetch(request, timeout=60)
    (row,) = subscribers(ca)
    assert row["kind"] == "sds-fetch-unix" and row["bundle_sequence"] == 1 and row["acknowledged_at"] is None, row
    ca.cli("root", "prepare")
    kept = ca.cli("root", "activate", check=False)
    assert kept.returncode == 3 and row["instance"] in kept.stderr, kept.stderr
    ca.cli("sds", "get", "ROOTCA")  # another process: it holds both roots, speaks for nobody else, and ends
    request.node.id = "again"
    for _ in range(2):
        fetch(request, timeout=60)
    assert ca.cli("root", "activate", check=False).returncode == 3
    assert {row["node"] for row in evict(ca, "--uid", str(row["uid"]))} == {"once", "again"}
    ca.cli("root", "activate")
