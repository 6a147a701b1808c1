"""Nodes on the command line: tokens for agents, entries that agents serve, the inventory."""

import json
import os
import subprocess

import pytest

WEB = "spiffe://cluster.local/ns/default/sa/web"


def test_a_token_for_a_node_alone_comes_with_the_whole_line_of_its_agent(server, tmp_path):
    ca = server()
    file = tmp_path / "token"
    made = ca.cli("token", "create", "--node", "web-1", "--out", file)
    token = file.read_text(encoding="ascii").strip()
    assert made.stdout == "" and token not in made.stderr
    assert f"next, on node web-1: meshca agent --server {ca.grpc} --token-file {file}" in made.stderr
    replacing = json.loads(ca.cli("token", "create", "--node", "web-1", "--replace", "-o", "json").stdout)["record"]
    assert replacing["spiffe_id"] == "spiffe://cluster.local/meshca/agent/web-1"
    assert (replacing["node"], replacing["replace"]) == ("web-1", True)
    listed = ca.cli("token", "list").stdout
    assert "web-1 (replaces)" in listed
    # Only the agent service takes it; whoever comes to another door is told where to go.
    done = subprocess.run([str(ca.meshca), "request", replacing["spiffe_id"], "--server", ca.grpc, "--token-file",
                           str(file), "--out-dir", str(tmp_path / "out")], capture_output=True, text=True, timeout=60,
                          env=ca.env, check=False)
    assert done.returncode == 1
    assert "meshca agent --server" in done.stderr and "AGENT_SERVICE" in done.stderr
    assert token not in done.stderr + ca.log()
    states = {one["id"]: one["state"] for one in json.loads(ca.cli("token", "list", "-o", "json").stdout)}
    assert set(states.values()) == {"fresh"}, "nothing was redeemed"


def test_a_token_for_a_workload_may_name_its_node_as_before(server):
    ca = server()
    record = json.loads(ca.cli("token", "create", WEB, "--node", "Rack 7", "-o", "json").stdout)["record"]
    assert (record["spiffe_id"], record["node"], record["replace"]) == (WEB, "Rack 7", False)


@pytest.mark.parametrize("args, code, words", [
    ((), 2, "--node NAME"),
    ((WEB, "--replace"), 2, "--replace"),
    (("--node", "Web"), 1, "lower-case"),
    (("spiffe://cluster.local/meshca/agent/web-1", "--node", "web-2"), 1, "agent of node web-1"),
])
def test_what_a_token_may_be_for(server, args, code, words):
    done = server().cli("token", "create", *args, check=False)
    assert done.returncode == code and words in done.stderr


def test_an_entry_says_who_serves_it(server, tmp_path):
    ca = server()
    uid = f"unix:uid:{os.getuid()}"
    entry = ca.cli("entry", "create", WEB, "--selector", uid, "--node", "web-*", "--node", "db-1", "--hint", "public",
                   "--jwt-ttl", "1m").stdout.strip()
    shown = json.loads(ca.cli("entry", "show", entry, "-o", "json").stdout)
    assert (shown["nodes"], shown["hint"], shown["jwt_ttl"]) == (["db-1", "web-*"], "public", "60s")
    text = ca.cli("entry", "show", entry).stdout
    assert "agents of db-1, web-*" in text and "public" in text
    # It is for agents: on the CA's own socket it gives nothing, and the refusal says why.
    refused = ca.cli("sds", "get", "default", "--socket", ca.api_socket, check=False)
    assert refused.returncode == 1
    assert "is for nodes (db-1, web-*)" in refused.stderr and f"meshca entry create {WEB} --selector {uid}" in refused.stderr
    own = ca.cli("entry", "create", WEB, "--selector", uid).stdout.strip()
    assert own != entry, "the same rights may stand side by side"
    lines = {line.split()[0]: line for line in ca.cli("entry", "list").stdout.splitlines()[1:]}
    assert "agents of db-1, web-*" in lines[entry] and "this host" in lines[own]
    assert ca.cli("sds", "get", "default", "--socket", ca.api_socket, "-o", "json").returncode == 0

    # A file says the same of both.
    file = tmp_path / "entries.yaml"
    file.write_text(f"entries:\n- {{spiffe_id: {WEB}, selectors: [{uid!r}], nodes: [web-*, db-1], hint: public, jwt_ttl: 1m}}\n"
                    f"- {{spiffe_id: {WEB}, selectors: [{uid!r}]}}\n", encoding="ascii")
    applied = json.loads(ca.cli("entry", "apply", "-f", file, "--prune", "-o", "json").stdout)
    assert sorted(applied["unchanged"]) == sorted([entry, own]), applied
    file.write_text(f"entries:\n- {{spiffe_id: {WEB}, selectors: [{uid!r}], nodes: [Web]}}\n", encoding="ascii")
    done = ca.cli("entry", "apply", "-f", file, check=False)
    assert done.returncode == 1 and "entries.yaml:2:3: entries[0]: node \"Web\"" in done.stderr


@pytest.mark.parametrize("args, words", [
    (("--node", "Web"), "lower-case"),
    (("--hint", "h" * 256), "255"),
    (("--jwt-ttl", "6m"), "jwt_ttl 6m is outside"),
])
def test_what_an_entry_may_say_of_nodes(server, args, words):
    done = server().cli("entry", "create", WEB, "--selector", "unix:uid:1", *args, check=False)
    assert done.returncode == 1 and words in done.stderr


def test_no_entry_gives_the_identity_of_an_agent(server):
    done = server().cli("entry", "create", "spiffe://cluster.local/meshca/agent/web-1", "--selector", "unix:uid:1",
                        check=False)
    assert done.returncode == 1 and "meshca token create --node" in done.stderr


def test_the_inventory_of_nodes_answers_before_any_has_joined(server):
    ca = server()
    assert json.loads(ca.cli("node", "list", "-o", "json").stdout) == []
    for verb in ("show", "ban", "forget"):
        done = ca.cli("node", verb, "web-1", check=False)
        assert done.returncode == 1
        assert "no node \"web-1\" has joined" in done.stderr and "meshca node list" in done.stderr
    actions = [one["action"] for one in json.loads(ca.cli("audit", "list", "-o", "json").stdout)]
    assert not [action for action in actions if action.startswith("node.")]
