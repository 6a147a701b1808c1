"""An agent that starts again while its CA is away serves the keys that the service manager kept, and no others.

The test plays systemd (service_manager.py): it receives what the agent stores, and hands it to the agent's next process.
"""

import contextlib
import datetime
import fcntl
import json
import os

import grpc
import pytest
from background import wait_until
from service_manager import ServiceManager
from workload_api import leaf_of, served, svids

WEB = "spiffe://cluster.local/ns/default/sa/web"
DB = "spiffe://cluster.local/ns/default/sa/db"
ME = f"unix:uid:{os.geteuid()}"


@pytest.fixture
def manager(tmp_path):
    made = ServiceManager(tmp_path, room=2)
    yield made
    made.close()


def kept(node):
    """What `meshca check --agent` says of keys over a restart."""
    facts = json.loads(node.cli("check", "-o", "json", check=False).stdout)["facts"]
    return next(fact for fact in facts if fact["name"] == "keys over a restart")


def wait_kept(node, manager, count):
    """The manager has the newest keys: one file, with `count` of them."""
    wait_until(lambda: f"{count} kept by the service manager" in kept(node)["detail"] and len(manager.names()) == 1,
               60, lambda: json.dumps(kept(node)) + str(manager.heard) + node.log())


@pytest.fixture
def ca(server):
    made = server("--listen", "127.0.0.1:0")
    made.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    return made


@pytest.fixture
def node(ca, agent, manager):
    """An agent with the key of one identity, kept, and the entries of its node on its disk."""
    made = agent(ca, "web-1", env=manager.env())
    served(made)
    wait_until((made.state_dir / "entries.bin").exists, 60, made.log)
    wait_kept(made, manager, 1)
    return made


def test_it_is_told_ready_and_keeps_one_sealed_file(node, manager):
    assert "READY=1" in manager.heard
    (content,) = manager.contents()
    (_, key) = served(node)[WEB]
    assert content.startswith(b"meshca kept keys 1")
    assert key[-40:] not in content and b"PRIVATE KEY" not in content and b"spiffe://" not in content
    assert os.stat(node.state_dir / "kept-keys.key").st_mode & 0o777 == 0o600
    assert "FDPOLL=0" in next(text for text in manager.heard if "FDSTORE=1" in text)


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_while_the_ca_is_away_a_workload_keeps_its_certificate_and_key(ca, node, manager, how):
    before = served(node)
    ca.kill()
    for _ in range(2):  # what came from the process before is kept for the next one too
        getattr(node, how)()
        manager.start(node)
        assert svids(node) == before
        wait_kept(node, manager, 1)
        assert "1 came from the process before" in kept(node)["detail"]
    status = json.loads(node.cli("status", "-o", "json").stdout)
    assert "1 keys that were kept" in status["not_ready_reason"], status
    assert os.path.getsize(node.folder / "stderr.log") and "PRIVATE KEY" not in node.log()
    ca.args += ["--listen", ca.grpc]
    ca.start()
    wait_until(lambda: json.loads(node.cli("status", "-o", "json").stdout)["ready"], 60, node.log)
    assert svids(node) == before, "it is good until its renewal"


@pytest.mark.parametrize("room", [1, 2])
def test_the_newest_keys_are_kept_however_much_room_there_is(ca, agent, tmp_path_factory, room):
    manager = ServiceManager(tmp_path_factory.mktemp("manager"), room)
    with contextlib.closing(manager):
        node = agent(ca, "web-1", env=manager.env())
        served(node)
        wait_kept(node, manager, 1)
        ca.cli("entry", "create", DB, "--selector", ME, "--node", "web-1")
        before = served(node, 2)
        wait_kept(node, manager, 2)
        wait_until((node.state_dir / "entries.bin").exists, 60, node.log)
        ca.kill()
        node.terminate()
        assert len(manager.names()) == 1
        manager.start(node)
        # Entries are written a few seconds after they came.
        assert set(svids(node).items()) <= set(before.items())


def test_without_what_was_kept_a_workload_is_told_at_once(ca, node):
    ca.kill()
    node.terminate()
    node.start()
    with pytest.raises(grpc.RpcError) as told:
        svids(node)
    assert told.value.code() == grpc.StatusCode.UNAVAILABLE, told.value
    assert "without its CA since 20" in told.value.details(), told.value.details()
    assert json.loads(node.cli("sds", "get", "ROOTCA", "-o", "json").stdout)["roots"], "the trust is served"
    keys = next(fact for fact in json.loads(node.cli("check", "-o", "json", check=False).stdout)["facts"]
                if fact["name"] == "keys")
    assert "can be had since 20" in keys["detail"], keys


def test_the_rights_are_those_of_today(ca, node, manager):
    """The entry went while the key was kept: nobody gets it."""
    entry = json.loads(ca.cli("entry", "list", "-o", "json").stdout)[0]["id"]
    stored = manager.contents()
    ca.cli("entry", "delete", entry)
    wait_until(lambda: not manager.names(), 60, lambda: str(manager.heard))
    wait_until(lambda: os.path.getsize(node.state_dir / "entries.bin") < 20, 60, "an empty list of entries on the disk")
    ca.kill()
    node.kill()
    keep_again(manager, "meshca-keys-1", stored[0])
    manager.start(node)
    with pytest.raises(grpc.RpcError) as told:
        svids(node)
    assert told.value.code() == grpc.StatusCode.PERMISSION_DENIED, told.value


def keep_again(manager, name, content, sealed=True):
    """As if the agent had stored these bytes."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    if sealed:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS,
                    fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    manager.put(name, fd)
    os.close(fd)


def changed(content):
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("damage, words", [
    (lambda good: (changed(good), True), "does not open"),
    (lambda good: (good[:len(good) // 2], True), "does not open"),
    (lambda good: (good.replace(b"keys 1", b"keys 9", 1), True), "another version of meshca"),
    (lambda good: (b"", True), "nothing that an agent keeps"),
    (lambda good: (good, False), "not sealed"),
], ids=["changed", "cut", "version", "empty", "unsealed"])
def test_a_damaged_file_is_named_and_the_agent_goes_on_without(ca, node, manager, damage, words):
    (good,) = manager.contents()
    ca.kill()
    node.kill()
    while manager.stored:
        os.close(manager.stored.pop()[1])
    keep_again(manager, "meshca-keys-7", *damage(good))
    manager.start(node)
    assert words in node.log(), node.log()
    with pytest.raises(grpc.RpcError) as told:
        svids(node)
    assert told.value.code() == grpc.StatusCode.UNAVAILABLE
    ca.args += ["--listen", ca.grpc]
    ca.start()
    served(node)
    wait_kept(node, manager, 1)


def test_another_key_in_the_state_directory_opens_nothing(ca, node, manager):
    ca.kill()
    node.kill()
    (node.state_dir / "kept-keys.key").write_bytes(b"k" * 32)
    manager.start(node)
    assert "sealed under another key" in node.log(), node.log()


def test_of_two_that_are_stored_the_newest_that_opens_counts_and_strangers_are_closed(ca, node, manager):
    before = served(node)
    (good,) = manager.contents()
    ca.kill()
    node.kill()
    keep_again(manager, "meshca-keys-90", changed(good))
    reading, writing = os.pipe()
    manager.put("stranger", reading)
    os.close(reading)
    os.close(writing)
    manager.start(node)
    assert svids(node) == before
    assert "stranger" in node.log() and "meshca-keys-90" in node.log(), node.log()
    wait_until(lambda: sorted(manager.names()) == ["meshca-keys-91", "stranger"], 60, lambda: str(manager.names()))


def test_what_ended_meanwhile_is_not_served(server, agent, manager):
    ca = server("--leaf-lifetime", "15s", "--leaf-backdate", "0s")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1", env=manager.env())
    served(node)
    wait_kept(node, manager, 1)
    ca.kill()
    (chain, _) = served(node)[WEB]
    node.kill()
    end = leaf_of(chain).not_valid_after_utc
    wait_until(lambda: datetime.datetime.now(datetime.timezone.utc) > end, 60, "the end")
    manager.start(node)
    assert "its certificate ended 20" in node.log(), node.log()
