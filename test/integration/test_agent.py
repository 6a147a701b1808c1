"""A node's agent and its CA as two processes: joining, whose identities it serves, faults of either side, rotations."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error

import pytest
import rotation
from background import Background, wait_until

WEB = "spiffe://cluster.local/ns/default/sa/web"
DB = "spiffe://cluster.local/ns/default/sa/db"
ME = f"unix:uid:{os.geteuid()}"


def status(agent):
    return json.loads(agent.cli("status", "-o", "json").stdout)


def ready(node):
    """What its readiness probe is told; "" where it is ready."""
    try:
        node.get("/readyz")
        return ""
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


def subscribers(ca):
    return json.loads(ca.cli("subscriber", "list", "-o", "json").stdout)


def connected(agent):
    return status(agent)["agent"]["connected_to"]


def facts(agent):
    return {fact["name"]: fact for fact in json.loads(agent.cli("check", "-o", "json", check=False).stdout)["facts"]}


def secret(agent, *args, check=True):
    """What a process of this user gets over SDS; a dict, or the finished command where `check` is false."""
    done = agent.cli("sds", "get", "default", "-o", "json", *args, check=check)
    return json.loads(done.stdout) if check else done


def serial_of(agent):
    """The certificate that this user's process gets now; "" where it gets none."""
    done = secret(agent, check=False)
    return json.loads(done.stdout)["serial"] if done.returncode == 0 else ""


def served(agent):
    """Its entries have come: a process of this user gets an identity."""
    return wait_until(lambda: serial_of(agent), 60, lambda: secret(agent, check=False).stderr + agent.log())


@contextlib.contextmanager
def watching(node, secret):
    """A process of this user that subscribes to a secret of the node's agent, and has it: a line of JSON for each push."""
    watch = Background([node.meshca, "sds", "watch", secret, "-o", "json", "--agent", "--state-dir", node.state_dir],
                       node.folder / "watch.log", node.env)
    try:
        wait_until(lambda: watch.lines, 60, watch.output)
        yield watch
    finally:
        watch.kill()


def test_a_node_joins_by_its_token_and_serves_the_identities_of_its_own_entries(server, agent):
    ca = server()
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-*")
    ca.cli("entry", "create", DB, "--selector", ME, "--node", "db-*")
    node = agent(ca, "web-1")
    assert node.node == "web-1" and node.trust_domain == "cluster.local"
    assert ca.root_fingerprint in "\n".join(node.first_screen)
    served(node)
    assert secret(node)["spiffe_id"] == WEB
    refused = node.cli("sds", "get", DB, check=False)
    assert refused.returncode == 1 and "PermissionDenied" in refused.stderr, refused.stderr
    on_the_ca = ca.cli("sds", "get", WEB, "--api-socket", ca.api_socket, check=False)
    assert on_the_ca.returncode == 1 and "PermissionDenied" in on_the_ca.stderr, "entries for nodes are not for the CA's socket"
    assert counts(ca)['meshca_agents{state="attached"}'] == 1
    assert counts(ca)["meshca_agents_displaced_total"] == 0
    assert counts(ca)['meshca_agent_certificates_total{result="given"}'] >= 1
    record = json.loads(ca.cli("cert", "show", serial_of(node), "-o", "json").stdout)
    assert record["node"] == "web-1" and record["auth_method"] == "agent" and record["origin_kind"] == "entry"


def test_an_entry_that_was_made_after_the_agent_came_is_served_a_second_later(server, agent):
    ca = server()
    node = agent(ca, "web-1")
    wait_until(lambda: connected(node), 60, node.log)
    # Whoever is refused on a node is told the command that helps there: an entry without the node is for the CA's host.
    selected = f"--selector {ME} --node web-1"
    for words in (("sds", "get", "default"), ("workload", "x509"), ("workload", "jwt", "--audience", "db")):
        refused = node.cli(*words, check=False).stderr
        assert f"on the CA's host: meshca entry create spiffe://cluster.local/... {selected}" in refused, refused
    assert f"meshca entry create {WEB} {selected}" in node.cli("sds", "get", WEB, check=False).stderr
    in_time = 0
    for number in range(5):
        ca.cli("entry", "create", f"{WEB}{number}", "--selector", ME, "--node", "web-1")
        time.sleep(1)  # What is promised: a call that begins a second after the entry's commit succeeds.
        in_time += node.cli("sds", "get", f"{WEB}{number}", check=False).returncode == 0
        wait_until(lambda n=number: node.cli("sds", "get", f"{WEB}{n}", check=False).returncode == 0, 60, node.log)
    assert in_time >= 3, "the machine may stand still for a second, but not each time"
    for words in (("sds", "get", DB), ("workload", "jwt", "--audience", "db", "--id", DB)):
        refused = node.cli(*words, check=False).stderr
        assert f"let it, on the CA's host: meshca entry create {DB} {selected}" in refused, refused
    entries = json.loads(ca.cli("entry", "list", "-o", "json").stdout)
    ca.cli("entry", "delete", next(entry["id"] for entry in entries if entry["spiffe_id"] == f"{WEB}0"))
    wait_until(lambda: node.cli("sds", "get", f"{WEB}0", check=False).returncode == 1, 60, node.log)


def counts(ca):
    """What the CA counts of agents, by the metrics' names and labels."""
    samples = (line.rsplit(" ", 1) for line in ca.get("/metrics").splitlines() if line.startswith("meshca_agent"))
    return {name: float(value) for name, value in samples}


def test_a_token_is_for_one_machine(server, agent, tmp_path):
    ca = server()
    token = tmp_path / "token"
    ca.cli("token", "create", "--node", "web-1", "--out", token)
    agent(ca, token=token)
    second = agent(ca, token=token, ready=False)
    assert second.background.process.wait(60) == 1, second.background.output()
    assert "token" in second.log() and "meshca token create" in second.log(), second.log()
    ca.cli("token", "create", "--node", "web-1", "--out", token)
    third = agent(ca, token=token, ready=False)
    assert third.background.process.wait(60) == 1, third.background.output()
    assert "web-1" in third.log() and "--replace" in third.log(), third.log()
    counted = counts(ca)
    assert counted['meshca_agent_joins_total{result="given"}'] == 1
    assert counted['meshca_agent_joins_total{result="refused"}'] == 2


@pytest.mark.parametrize("taken", ["--api-socket", "--admin-socket", "--http-listen"])
def test_an_agent_that_cannot_listen_says_where_and_ends(server, agent, tmp_path, taken):
    ca = server()
    token = tmp_path / "token"
    ca.cli("token", "create", "--node", "web-1", "--out", token)
    place = ca.http if taken == "--http-listen" else ca.api_socket
    refused = agent(ca, None, taken, place, token=token, ready=False)
    assert refused.background.process.wait(60) == 1, refused.background.output()
    assert str(place) in refused.log(), refused.log()
    # It joined before, and what it has is good: the same folder serves once the place is free.
    assert agent(ca, state_dir=refused.state_dir).node == "web-1"


def test_a_program_called_as_its_owner_likes_costs_a_node_nothing(server, agent, tmp_path):
    """Anybody on the node may take a bundle and never answer, from a program whose path is no text, or as long as it gets."""
    ca = server("--rotation-skew", "0s", "--rotation-settle", "300ms")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    served(node)
    folder = os.fsencode(tmp_path / "programs")
    while len(folder) < 3500:
        folder += b"/" + b"\xff" * 200
    os.makedirs(folder)
    program = folder + b"/meshca\n\x1b[31m"
    shutil.copy(os.fsencode(node.meshca), program)
    command = [os.fsdecode(program), "sds", "watch", "ROOTCA", "--agent", "--state-dir", node.state_dir]
    sleeper = Background(command, node.folder / "watch.log", node.env)
    try:
        wait_until(lambda: sleeper.lines, 60, sleeper.output)
        os.kill(sleeper.pid, signal.SIGSTOP)
        ca.cli("root", "rotate", "--detach")
        wait_until(lambda: any("\\xff" in one.get("peer", "") for one in subscribers(ca)), 60,
                   lambda: f"{subscribers(ca)}\n{node.log()}")
        assert connected(node), node.log()
        assert "malformed" not in node.log().lower(), node.log()
    finally:
        sleeper.kill()
    wait_until(lambda: rotation.status(ca)["step"] == "done", 100, lambda: rotation.status(ca))


def test_killed_at_any_moment_of_joining_an_agent_joins_by_the_same_token(server, agent, tmp_path):
    """The CA may have joined it and the answer be lost: it asks again by the key that it kept, and is the same node."""
    ca = server()
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "*")
    began = time.monotonic()
    served(agent(ca, "measured"))
    whole = time.monotonic() - began
    joined = moment = 0
    while joined < 4 and moment < 60:
        token = tmp_path / f"node-{moment}"
        ca.cli("token", "create", "--node", token.name, "--out", token)
        state = tmp_path / f"state-{moment}"
        killed = agent(ca, token=token, state_dir=state, ready=False)
        deadline = time.monotonic() + whole * moment / 12
        wait_until(lambda at=deadline: time.monotonic() >= at, 60, "the moment")
        killed.kill()
        joined += (state / "identity.pem").exists()
        again = agent(ca, token=token, state_dir=state)
        assert again.node == token.name
        record = json.loads(ca.cli("cert", "show", served(again), "-o", "json").stdout)
        assert record["node"] == token.name
        again.terminate()
        moment += 1
    assert joined == 4, f"none of {moment} moments was behind the joining"
    nodes = json.loads(ca.cli("node", "list", "-o", "json").stdout)
    assert sorted(row["name"] for row in nodes) == sorted(["measured", *(f"node-{n}" for n in range(moment))])


def test_a_replaced_machine_is_out(server, agent, tmp_path):
    ca = server()
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    old = agent(ca, "web-1")
    served(old)
    token = tmp_path / "token"
    ca.cli("token", "create", "--node", "web-1", "--replace", "--out", token)
    new = agent(ca, token=token)
    served(new)
    wait_until(lambda: not connected(old), 60, lambda: json.dumps(status(old)))


def test_without_a_token_an_agent_says_how_to_get_one(server, agent):
    ca = server()
    lost = agent(ca, ready=False)
    assert lost.background.process.wait(60) == 1
    assert "meshca token create --node" in lost.log(), lost.log()


def test_an_agent_waits_for_a_ca_that_is_away_and_ends_when_it_is_told_to(server, agent, tmp_path):
    ca = server()
    token = tmp_path / "token"
    ca.cli("token", "create", "--node", "web-1", "--out", token)
    ca.terminate()
    early = agent(ca, token=token, ready=False)
    wait_until(lambda: "not joined yet" in early.log(), 60, early.log)
    assert early.terminate() == 0


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_an_agent_that_starts_again_goes_on_by_its_state_though_the_ca_is_away(server, agent, how):
    ca = server("--listen", "127.0.0.1:0")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    first = served(node)
    wait_until((node.state_dir / "entries.bin").exists, 60, node.log)
    ca.kill()
    getattr(node, how)()
    node.start()
    roots = json.loads(node.cli("sds", "get", "ROOTCA", "-o", "json").stdout)
    assert roots["roots"], "the trust is served at once"
    assert facts(node)["CA"]["state"] == "warning"
    assert "has not reached its CA" in status(node)["not_ready_reason"]
    ca.args += ["--listen", ca.grpc]
    ca.start()
    assert served(node) != first
    assert status(node)["ready"]


def test_the_ca_may_be_away_for_longer_than_half_of_a_lifetime(server, agent):
    ca = server("--leaf-lifetime", "60s", "--leaf-backdate", "0s", "--listen", "127.0.0.1:0")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    served(node)
    with watching(node, "default") as watch:
        first = json.loads(watch.lines[-1])["serial"]
        ca.args += ["--listen", ca.grpc]
        ca.kill()
        away = time.monotonic()
        wait_until(lambda: time.monotonic() - away > 32, 60, "the outage")
        assert serial_of(node) == first, "what is valid goes on being served"
        assert not connected(node)
        ca.start()
        wait_until(lambda: json.loads(watch.lines[-1])["serial"] != first, 60, lambda: watch.output() + node.log())
        assert watch.running(), watch.output()


def test_an_agent_whose_certificate_ended_joins_again_by_a_new_token_without_a_restart(server, agent, tmp_path):
    ca = server("--leaf-lifetime", "30s", "--leaf-backdate", "0s")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    token = tmp_path / "token"
    ca.cli("token", "create", "--node", "web-1", "--out", token)
    node = agent(ca, token=token)
    first = served(node)
    ca.args += ["--listen", ca.grpc]
    ca.kill()
    wait_until(lambda: facts(node)["agent's certificate"]["state"] == "failed", 90, lambda: json.dumps(facts(node)))
    assert not status(node)["ready"]
    assert "meshca token create" in json.dumps(facts(node))
    ca.start()
    # By its key alone it may not, and it says so and where it looks for a token.
    wait_until(lambda: "agents.rejoin_grace is 0" in json.dumps(facts(node)), 90, lambda: json.dumps(facts(node)))
    assert str(token) in json.dumps(facts(node))
    ca.cli("token", "create", "--node", "web-1", "--replace", "--out", token)
    wait_until(lambda: connected(node), 60, lambda: node.log() + json.dumps(status(node)))
    wait_until(lambda: serial_of(node) not in ("", first), 60, node.log)
    wait_until(lambda: status(node)["ready"], 60, lambda: json.dumps(status(node)))
    assert node.background.running()


def test_an_agent_whose_certificate_ended_joins_again_by_its_key_where_the_ca_lets_it(server, agent):
    ca = server("--leaf-lifetime", "30s", "--leaf-backdate", "0s", "--agents-rejoin-grace", "1h")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    first = served(node)
    before = json.loads(ca.cli("node", "show", "web-1", "-o", "json").stdout)
    ca.args += ["--listen", ca.grpc]
    ca.kill()
    wait_until(lambda: facts(node)["agent's certificate"]["state"] == "failed", 90, lambda: json.dumps(facts(node)))
    ca.start()
    wait_until(lambda: connected(node), 90, lambda: node.log() + json.dumps(status(node)))
    wait_until(lambda: serial_of(node) not in ("", first), 60, node.log)
    wait_until(lambda: status(node)["ready"], 60, lambda: json.dumps(status(node)))
    assert node.background.running()
    assert counts(ca)['meshca_agent_joins_by_key_total{result="given"}'] == 1
    after = json.loads(ca.cli("node", "show", "web-1", "-o", "json").stdout)
    assert after["joined_at"] == before["joined_at"] and after["token_id"] == before["token_id"], "it is the same machine"
    audit = [one for one in json.loads(ca.cli("audit", "list", "-o", "json").stdout) if one["action"] == "node.join-by-key"]
    assert [one["target"] for one in audit] == ["node web-1"] and before["certificate_serial"] in audit[0]["detail"], audit
    # Once its node is banned no key of it brings anything.
    ca.cli("node", "ban", "web-1")
    wait_until(lambda: counts(ca)['meshca_agent_joins_by_key_total{result="refused"}'] > 0, 90, node.log)
    wait_until(lambda: "banned" in facts(node)["agent's certificate"]["detail"], 60, lambda: json.dumps(facts(node)))
    assert counts(ca)['meshca_agent_joins_by_key_total{result="given"}'] == 1


def test_a_consumer_that_was_evicted_stays_out_until_it_wakes(server, agent):
    ca = server("--rotation-skew", "0s", "--rotation-settle", "300ms", "--listen", "127.0.0.1:0")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    served(node)
    with watching(node, "ROOTCA") as sleeper:
        sleeper.signal(signal.SIGSTOP)
        ca.cli("root", "rotate", "--detach")
        named = wait_until(lambda: [row for row in rotation.status(ca)["laggards"] if str(sleeper.pid) in json.dumps(row)],
                           60, lambda: json.dumps(rotation.status(ca)))
        instance = named[0]["instance"]
        ca.cli("subscriber", "evict", instance)
        # Neither the agent, which goes on naming it, nor a restart of the CA brings it back.
        ca.args += ["--listen", ca.grpc]
        ca.kill()
        ca.start()
        wait_until(lambda: rotation.status(ca)["step"] == "done", 120, lambda: json.dumps(rotation.status(ca)))
        sleeper.signal(signal.SIGCONT)

        def evicted():
            rows = json.loads(ca.cli("subscriber", "list", "-o", "json").stdout)
            return [row for row in rows if row["instance"] == instance]

        wait_until(lambda: not evicted(), 60, lambda: json.dumps(evicted()))


def test_two_agents_with_one_certificate_are_told_of(server, agent, tmp_path):
    ca = server("--listen", "127.0.0.1:0")
    first = agent(ca, "web-1")
    wait_until(lambda: connected(first), 60, first.log)
    shown = ca.cli("node", "show", "web-1")
    assert "displaced" not in shown.stdout + shown.stderr
    stolen = tmp_path / "stolen"
    shutil.copytree(first.state_dir, stolen, ignore=shutil.ignore_patterns("*.sock", "lock"))
    agent(ca, state_dir=stolen)

    def displaced():
        return json.loads(ca.cli("node", "show", "web-1", "-o", "json").stdout)["displaced"]

    seen = wait_until(lambda: displaced() > 1 and displaced(), 60, first.log)
    shown = ca.cli("node", "show", "web-1")
    assert "displaced" in shown.stdout and "meshca node ban" in shown.stderr.replace("`", ""), shown.stdout + shown.stderr
    assert "web-1" in ca.cli("node", "list").stderr
    ca.args += ["--listen", ca.grpc]
    ca.kill()
    ca.start()
    assert displaced() >= seen


def test_an_agent_takes_its_log_level_anew_and_says_what_waits_for_a_restart(server, agent):
    ca = server()
    node = agent(ca, "web-1", config="log: {level: info}\nlimits: {streams_max: 1000}\n")
    config = node.folder / "meshca.yaml"
    config.write_text("log: {level: debug}\nlimits: {streams_max: 2000}\n", encoding="ascii")
    node.background.signal(signal.SIGHUP)
    wait_until(lambda: "configuration read again" in node.log(), 60, node.log)
    line = next(line for line in node.log().splitlines() if "configuration read again" in line)
    assert "log.level" in line and "limits.streams_max" in line.split("waiting_for_a_restart")[1], line
    config.write_text("log: {level: loud}\n", encoding="ascii")
    node.background.signal(signal.SIGHUP)
    wait_until(lambda: "the configuration stays as it was" in node.log(), 60, node.log)
    assert node.background.running()


def test_a_banned_node_gets_nothing_more_and_comes_back_by_a_new_token(server, agent, tmp_path):
    ca = server()
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    serial = served(node)
    told = ca.cli("node", "ban", "web-1", "--reason", "stolen")
    assert "web-1" in told.stdout + told.stderr
    wait_until(lambda: not connected(node), 60, lambda: json.dumps(status(node)))
    wait_until(lambda: json.loads(ca.cli("cert", "show", serial, "-o", "json").stdout)["revoked_at"], 60, node.log)
    assert "banned" in json.dumps(facts(node)), facts(node)
    refused = ca.cli("token", "create", "--node", "web-1", "--out", tmp_path / "token", check=False)
    assert refused.returncode == 3 and "node forget" in refused.stderr, refused.stderr
    assert "refused" in ready(node), "nothing can be had from it, and probes say so"
    assert "NOT_SERVING" in node.cli("health", check=False).stdout
    ca.cli("node", "forget", "web-1")
    # The same agent, running: a new token where it looks is enough.
    ca.cli("token", "create", "--node", "web-1", "--out", node.folder / "token")
    wait_until(lambda: connected(node), 60, node.log)
    assert served(node) != serial
    # And an agent that is started with the state of before, and a new token.
    ca.cli("node", "ban", "web-1", "--reason", "again")
    wait_until(lambda: not connected(node), 60, lambda: json.dumps(status(node)))
    node.terminate()
    ca.cli("node", "forget", "web-1")
    ca.cli("token", "create", "--node", "web-1", "--out", tmp_path / "token")
    again = agent(ca, state_dir=node.state_dir, token=tmp_path / "token")
    assert "has joined already" in again.log() and str(tmp_path / "token") in again.log(), again.log()
    wait_until(lambda: connected(again), 60, again.log)
    served(again)


def test_a_token_for_another_node_is_not_taken_in_silence(server, agent, tmp_path):
    ca = server()
    node = agent(ca, "web-1")
    node.terminate()
    ca.cli("token", "create", "--node", "other", "--out", tmp_path / "token")
    again = agent(ca, state_dir=node.state_dir, token=tmp_path / "token")
    assert again.node == "web-1"
    assert "has joined already" in again.log() and "another state directory" in again.log(), again.log()


def test_status_check_probes_and_metrics_of_an_agent(server, agent):
    ca = server()
    node = agent(ca, "web-1")
    wait_until(lambda: connected(node), 60, node.log)
    told = node.cli("status").stdout
    assert "agent  ready" in told and "web-1" in told and ca.grpc in told, told
    # Its socket lies in a folder of this test's user alone, which is said.
    states = {name: fact["state"] for name, fact in facts(node).items()}
    assert states.pop("API socket's place") in ("ok", "warning") and set(states.values()) == {"ok"}, facts(node)
    wait_until(lambda: node.cli("health", check=False).returncode == 0, 60, node.log)  # it follows within a second
    assert node.get("/readyz") == "ok\n"
    metrics = node.get("/metrics")
    assert 'meshca_agent_connection{state="attached"} 1' in metrics
    assert "web-1" not in metrics and "spiffe://" not in metrics
    listed = json.loads(ca.cli("node", "list", "-o", "json").stdout)
    assert [row["name"] for row in listed] == ["web-1"]


def test_a_root_rotates_with_the_agents_consumers_as_evidence(server, agent):
    ca = server("--rotation-skew", "0s", "--rotation-settle", "300ms")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    served(node)
    with watching(node, "default") as watch:
        before = json.loads(watch.lines[-1])["serial"]
        ca.cli("root", "rotate", timeout=120)
        wait_until(lambda: json.loads(watch.lines[-1])["serial"] != before, 60, watch.output)
        assert status(node)["bundle_roots"] == 1


LAST_WORDS = """
import sys
import raw_http2
from hyperframe.frame import DataFrame
headers = raw_http2.request_headers(path="/SpiffeWorkloadAPI/FetchX509SVID") + [("workload.spiffe.io", "true")]
connection = raw_http2.Raw(sys.argv[1])
calls = b""
for stream in range(1, 2001, 2):
    data = DataFrame(stream, raw_http2.EMPTY_MESSAGE)
    data.flags.add("END_STREAM")
    calls += connection.headers(stream, headers) + data.serialize()
connection.send(calls)
"""


def test_a_process_that_asks_and_ends_at_once_leaves_nobody_to_wait_for(server, agent):
    """What it wrote last is read when it is dead: no rotation may wait for it."""
    ca = server("--rotation-skew", "0s", "--rotation-settle", "300ms")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    served(node)
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(rotation.__file__)}
    for _ in range(8):
        subprocess.run([sys.executable, "-c", LAST_WORDS, node.api_socket], check=True, timeout=60, env=environment)
    remembered = 'meshca_sds_subscribers{state="remembered"} 0'
    connected_now = 'meshca_sds_subscribers{state="connected"} 0'
    wait_until(lambda: {remembered, connected_now} <= set(node.get("/metrics").splitlines()), 60, lambda: node.get("/metrics"))
    ca.cli("root", "rotate", timeout=120)


def test_a_sleeping_consumer_of_a_node_is_named_with_node_and_process(server, agent):
    ca = server("--rotation-skew", "0s", "--rotation-settle", "300ms")
    ca.cli("entry", "create", WEB, "--selector", ME, "--node", "web-1")
    node = agent(ca, "web-1")
    served(node)
    with watching(node, "ROOTCA") as sleeper:
        sleeper.signal(signal.SIGSTOP)
        ca.cli("root", "rotate", "--detach")
        named = wait_until(lambda: [row for row in rotation.status(ca)["laggards"] if str(sleeper.pid) in json.dumps(row)],
                           60, lambda: json.dumps(rotation.status(ca)))
        assert named[0]["node"] == "web-1" and "meshca" in json.dumps(named[0]), named
        sleeper.signal(signal.SIGCONT)
        wait_until(lambda: rotation.status(ca)["step"] == "done", 120, lambda: json.dumps(rotation.status(ca)))
