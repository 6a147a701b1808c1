"""`meshca-bench agents` and `jwt` against real processes: every certificate is counted, and a rotation waits for a sleeper."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import rotation
from background import wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "suite"))

import nodes  # noqa: E402

AGENTS, ENTRIES = 50, 3
WEB = "spiffe://cluster.local/ns/test/sa/web"


@pytest.fixture
def bench(build_dir):
    """Runs `meshca-bench ARGS --json`: exit code, report, what it said on stderr."""

    def run(*args):
        done = subprocess.run([build_dir / "test" / "bench" / "meshca-bench", *[str(arg) for arg in args], "--json"],
                              capture_output=True, text=True, timeout=280, check=False, stdin=subprocess.DEVNULL)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    return run


@pytest.fixture
def ca(server):
    started = server()
    nodes.entries_of_nodes(started, ENTRIES)
    started.root_file = started.folder / "root.pem"
    started.root_file.write_text(started.root_pem)
    return started


def agents(bench, ca, *args, tokens=None):
    address = [] if "--address" in args else ["--address", ca.grpc]
    return bench("agents", *address, "--root", ca.root_file, "--tokens", tokens or nodes.join_tokens(ca, AGENTS),
                 *args)


def counted(ca):
    samples = (line.rsplit(" ", 1) for line in ca.get("/metrics").splitlines() if line.startswith("meshca_agent"))
    return {name: float(value) for name, value in samples}


@pytest.mark.alone
def test_a_rotation_waits_for_the_agents_sleeper_and_replaces_every_certificate(bench, ca):
    root = f"{ca.meshca} root %s --state-dir {ca.state_dir}"
    code, report, errors = agents(
        bench, ca, "--trigger", root % "rotate", "--asleep", 1,
        "--asleep-until", f"{root % 'status'} | grep -q 'agent:bench-0/4242/'", "--restarts", 1)
    assert code == 0, errors
    assert report["held"] == AGENTS * ENTRIES
    assert report["asleep_seconds"] > 0
    change = report["change"]
    assert change["own_renewals"] == AGENTS
    assert change["certificates"] == AGENTS * (ENTRIES + 1)
    assert change["connections"] == AGENTS, "each shows its new certificate, once"
    assert change["seconds"] > report["asleep_seconds"]
    (restart,) = report["restarts"]
    assert (restart["connections"], restart["certificates"]) == (AGENTS, AGENTS * ENTRIES)
    for phase in (report["join"], report["connect"], report["attach"], change, restart):
        assert phase["errors"] == {}, phase["first_error"]
    assert report["attach"]["checked_whole"] == 2, "one in a hundred"
    assert rotation.status(ca)["step"] == "done"
    assert counted(ca)["meshca_agents_displaced_total"] == 0
    records = json.loads(ca.cli("cert", "list", "-o", "json").stdout)
    assert len([one for one in records if "/sa/service-" in one["spiffe_id"]]) == 3 * AGENTS * ENTRIES


@pytest.mark.alone
def test_certificates_in_batches_cost_the_ca_less_than_one_by_one(bench, ca):
    tokens = nodes.join_tokens(ca, AGENTS)
    cost = {}
    for batch, calls in ((1, 1500), (64, 40)):
        code, report, errors = agents(bench, ca, "--sign-rounds", 3, "--sign-batch", batch, "--sign-calls", calls, "--idle", "1s",
                                      "--server-pid", ca.pid, tokens=tokens)
        assert code == 0, errors
        for phase in report["sign"]:
            assert phase["certificates"] == batch * calls and phase["errors"] == {}
        cost[batch] = min(phase["ratio"] for phase in report["sign"])
        assert report["idle"]["cpu_ms_per_agent_hour"] >= 0
        tokens = nodes.join_tokens(ca, AGENTS, replace=True)
    assert cost[64] < 0.8 * cost[1], cost


@pytest.mark.parametrize(("flags", "words"), [
    (["--address", "127.0.0.1:1"], "is the CA running"),
    (["--trigger", "exit 7"], "`exit 7` exited with 7"),
    (["--server-pid", "2147483000"], "no process 2147483000"),
], ids=["nobody-there", "trigger-fails", "no-server-process"])
def test_failures_say_what_happened(bench, ca, flags, words):
    code, _, errors = agents(bench, ca, *flags, tokens=nodes.join_tokens(ca, 2))
    assert code == 1
    assert words in errors


def test_a_token_that_was_used_is_refused_and_said(bench, ca):
    tokens = nodes.join_tokens(ca, 1)
    assert agents(bench, ca, tokens=tokens)[0] == 0
    code, _, errors = agents(bench, ca, "--wait", "3s", tokens=tokens)
    assert code == 1
    assert "0 of 1 agents have joined" in errors and "token" in errors


def test_tokens_and_svids_from_an_agents_socket(bench, ca, agent):
    ca.cli("entry", "create", WEB, "--selector", f"unix:uid:{os.geteuid()}", "--node", "web-1")
    node = agent(ca, "web-1")
    wait_until(lambda: node.cli("workload", "x509", check=False).returncode == 0, 60, node.log)
    code, report, errors = bench("jwt", "--address", f"unix:{node.api_socket}", "--calls", 200, "--rounds", 2, "--server-pid",
                                 node.pid)
    assert code == 0, errors
    assert [one["tokens"] for one in report["rounds"]] == [200, 200]
    minted = 'meshca_agent_jwt_svids_total{result="given"}'
    assert counted(ca)[minted] == 1, "a token that the agent has is not asked for again"
    change = [word for step in ("prepare", "abort")
              for word in ("--trigger", f"{ca.meshca} root {step} --state-dir {ca.state_dir}")]
    code, report, errors = bench("sds", "--workload-api", "--address", f"unix:{node.api_socket}", "--streams", 20, "--changes", 2,
                                 "--server-pid", node.pid, *change)
    assert code == 0, errors
    assert [one["streams"] for one in report["changes"]] == [20, 20]
    assert report["responses"] == 20 * 3 and report["protocol"] == "Workload API"
    code, report, errors = bench("jwt", "--address", f"unix:{node.api_socket}", "--new-each", "--calls", 30)
    assert code == 0, errors
    assert report["rounds"][0]["tokens"] == 30
    assert counted(ca)[minted] == 1 + 100 + 30, "a hundred calls warm up"
