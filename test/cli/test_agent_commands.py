"""What somebody types beside an agent: by which socket a command goes, and what it says when it does not work."""

import json
import os
import subprocess

import pytest
from background import Background, wait_until

WEB = "spiffe://cluster.local/ns/default/sa/web"
UID = f"unix:uid:{os.geteuid()}"


def next_command(process):
    """The command that the last line of a first screen suggests, as words."""
    line = next(line for line in process.first_screen if line.startswith("next"))
    return line.split()[1:]


def run(process, words, **options):
    """A command as it stands, without the places that process.cli adds."""
    options = {"env": process.env, **options}
    return subprocess.run([str(process.meshca), *[str(word) for word in words]], capture_output=True, text=True,
                          timeout=60, check=False, stdin=subprocess.DEVNULL, **options)


def test_a_token_comes_by_a_pipe_and_is_read_once(server, meshca, tmp_path, agent):
    ca = server()
    token = ca.cli("token", "create", "--node", "web-1").stdout
    (tmp_path / "-").write_text("a file of that name is not meant", encoding="ascii")
    words = [meshca, "agent", "--server", ca.grpc, "--state-dir", tmp_path / "state", "--http-listen", "127.0.0.1:0",
             "--token-file", "-"]
    node = Background(words, tmp_path / "stderr.log", ca.env, tmp_path, stdin=subprocess.PIPE)
    try:
        node.process.stdin.write(token)
        node.process.stdin.close()
        assert "(joined now)" in node.wait_for_line("next")[0]
        node.terminate()
        again = Background(words, tmp_path / "stderr.log", ca.env, tmp_path)
        try:
            assert "(joined now)" not in again.wait_for_line("next")[0], "it has joined, and asks for no token"
        finally:
            again.kill()
    finally:
        if node.running():
            node.kill()


def test_agent_goes_before_the_variable_of_other_programs(server, agent):
    ca = server()
    node = agent(ca, "web-1")
    ca.cli("entry", "create", WEB, "--selector", UID, "--node", "web-1")
    by_variable = dict(node.env, SPIFFE_ENDPOINT_SOCKET=f"unix://{ca.api_socket}")
    by_agent = dict(by_variable, MESHCA_AGENT_API_SOCKET=str(node.api_socket))
    assert "on the CA's host" not in run(node, ["workload", "x509"], env=by_variable).stderr, "that is the CA's socket"
    shown = wait_until(lambda: run(node, ["workload", "x509", "--agent"], env=by_agent).stdout, 60, node.log)
    assert WEB in shown


@pytest.mark.parametrize("words", [
    ("node", "list"), ("root", "status"), ("entry", "list"), ("subscriber", "list"), ("token", "list"),
    ("bundle", "show"), ("jwt", "keys"), ("check", "--accept-clock"), ("cert", "list"), ("audit", "list"),
    ("request", WEB, "--out-dir", "out"),
], ids=" ".join)
def test_what_is_the_cas_to_answer_is_said_to_be(one_agent, words):
    refused = one_agent.cli(*words, check=False, cwd=one_agent.folder)
    assert refused.returncode == 1
    assert "ask the CA, on its host and without --agent" in refused.stderr and "no method" not in refused.stderr


@pytest.fixture(scope="module")
def one_agent(meshca, tmp_path_factory):
    """One agent for tests that only ask it."""
    import agent_process
    import meshca_process
    folder = tmp_path_factory.mktemp("one")
    ca = meshca_process.MeshcaProcess(meshca, folder, folder / "ca")
    node = None
    try:
        ca.start()
        ca.cli("token", "create", "--node", "web-1", "--out", folder / "token")
        node = agent_process.AgentProcess(meshca, folder, folder / "agent",
                                          ["--server", ca.grpc, "--token-file", folder / "token"])
        yield node.start()
    finally:
        for process in (node, ca):
            if process is not None:
                process.stop()


def test_the_next_command_of_a_first_screen_finds_the_socket(server, agent, tmp_path):
    moved = server("--admin-socket", tmp_path / "ca" / "admin.sock")
    words = next_command(moved)
    assert words[-2:] == ["--admin-socket", str(tmp_path / "ca" / "admin.sock")]
    done = run(moved, words[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ca = server()
    node = agent(ca, "web-1", "--api-socket", tmp_path / "node" / "api.sock")
    ca.cli("entry", "create", WEB, "--selector", UID, "--node", "web-1")
    words = next_command(node)
    assert words == ["meshca", "workload", "x509", "--agent", "--api-socket", str(tmp_path / "node" / "api.sock")]
    assert WEB in wait_until(lambda: run(node, words[1:]).stdout, 60, node.log)


def facts(process):
    return {fact["name"]: fact for fact in json.loads(process.cli("check", "-o", "json", check=False).stdout)["facts"]}


def test_a_socket_that_no_other_user_reaches_is_noted_and_explained(server, agent, tmp_path):
    ca = server()
    open_folder = tmp_path / "open"
    for folder in [*tmp_path.parents, tmp_path]:  # pytest's own folders are shut
        if folder.stat().st_uid == os.geteuid() and folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    open_folder.mkdir(mode=0o755)
    open_folder.chmod(0o755)
    for shut, process in ((ca.state_dir, ca), (tmp_path / "shut", agent(ca, "web-1", state_dir=tmp_path / "shut"))):
        note = next(line for line in process.first_screen if line.startswith("note"))
        assert "--api-socket PATH" in note and "lets no other user pass" in note
        fact = facts(process)["API socket's place"]
        assert fact["state"] == "warning" and "--api-socket" in fact["mend"]
        if os.geteuid() != 0 or process is ca:
            continue
        words = ["workload", "x509", "--agent", "--state-dir", shut]
        refused = run(process, words, user=54321, group=54321, extra_groups=[])
        assert refused.returncode == 1 and f"{shut} (mode 0700) lets no other user pass" in refused.stderr, refused.stderr
        assert "start the agent with --api-socket PATH" in refused.stderr and "group meshca" not in refused.stderr
    node = agent(ca, "web-2", "--api-socket", open_folder / "api.sock", state_dir=tmp_path / "other")
    assert not any(line.startswith("note") for line in node.first_screen), node.first_screen
    assert "API socket's place" not in facts(node)


def test_a_start_that_fails_says_why_and_nothing_else(server, agent, tmp_path):
    ca = server()
    nothing = agent(ca, state_dir=tmp_path / "state", ready=False)
    assert nothing.background.process.wait(60) == 1
    assert "stopping" not in nothing.log() and "meshca token create --node NODE" in nothing.log(), nothing.log()


def test_an_agents_configuration_names_its_ca(one_agent, tmp_path):
    file = tmp_path / "agent.yaml"
    file.write_text("log: {level: debug}\n", encoding="ascii")
    refused = run(one_agent, ["config", "validate", "--agent", file])
    assert refused.returncode == 1 and f"{file}: server: no CA is named" in refused.stderr
    assert facts(one_agent)["configuration"]["state"] == "ok", "the one that runs was told by a flag"
    away = run(one_agent, ["check", "--agent", "--state-dir", tmp_path / "none", "-o", "json"])
    fact = next(fact for fact in json.loads(away.stdout)["facts"] if fact["name"] == "configuration")
    assert fact["state"] == "failed" and "no CA is named" in fact["detail"]


def test_consumers_are_counted_as_what_they_are(one_agent):
    text = one_agent.cli("status").stdout
    assert "0 known, 0 behind" in text and "streams" not in text


def test_a_token_says_where_the_ca_is_found_and_who_can_reach_it(server, tmp_path):
    ca = server()
    port = ca.grpc.rsplit(":", 1)[1]
    for words in (("--node", "web-1"), (WEB,)):
        advice = ca.cli("token", "create", *words, "--out", tmp_path / "token").stderr
        assert f"--server {ca.grpc} --token-file" in advice
        assert "listens on this host only" in advice and f"meshca serve --listen :{port}" in advice
