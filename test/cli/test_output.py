"""What commands print: all of it or an error, and nothing that a terminal obeys."""

import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess

import pytest
from background import wait_until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WEB = "spiffe://cluster.local/ns/default/sa/web"

# A command that prints needs arguments; what is not here runs without. None: it prints nothing when it succeeds.
ARGUMENTS = {
    "agent": None,  # runs until it is stopped
    "serve": None,  # a test of its own: a server goes on
    "request": [WEB, "--out-dir", "{tmp}/out"],
    "root rotate": ["--plan"],
    "root import": None,  # needs a CA made elsewhere; answers by the table of `root show`
    "root export": ["--out", "{tmp}/exported"],
    "root prepare": None,  # begins a rotation: below
    "root activate": None,
    "root retire": None,
    "root abort": None,
    "root rollback": None,
    "root taint": None,
    "cert show": ["{serial}"],
    "cert renew": None,  # needs a subscriber that is connected and holds a key
    "cert revoke": ["{serial}", "--dry-run"],
    "token create": [WEB],
    "token delete": None,
    "entry create": [WEB, "--selector", "unix:uid:4711"],
    "entry apply": ["-f", "{entries}", "--dry-run"],
    "entry show": ["{entry}"],
    "entry delete": None,
    "jwt mint": [WEB, "--audience", "api"],
    "jwt taint": None,
    "node show": None,  # a node joins by the agent service
    "node ban": None,
    "node forget": None,
    "subscriber show": None,
    "subscriber evict": ["--node", "nobody-*"],
    "sds get": ["default", "--socket", "{api}"],
    "sds watch": ["default", "--socket", "{api}"],
    "workload x509": ["--socket", "{api}"],
    "workload bundles": ["--socket", "{api}"],
    "workload jwt": ["--audience", "api", "--socket", "{api}"],
    "db backup": ["{tmp}/backup.db"],
    "db restore": None,  # wants the server stopped
    "completion": ["bash"],
    "config validate": ["{config}"],
}


def commands(meshca, words=()):
    """Every command there is, as help tells: a new one is among them."""
    text = subprocess.run([meshca, *words, "--help"], capture_output=True, text=True, check=True).stdout
    if "Subcommands:" not in text:
        return [" ".join(words)] if words else []
    names = re.findall(r"^  ([a-z][a-z0-9-]*)(?: |$)", text.split("Subcommands:", 1)[1], re.M)
    return [name for verb in names for name in commands(meshca, (*words, verb))]


def into_full(ca, args):
    with open("/dev/full", "w", encoding="ascii") as full:
        return subprocess.run([str(ca.meshca), *args, "--state-dir", str(ca.state_dir)], stdout=full,
                              stderr=subprocess.PIPE, text=True, env=ca.env, timeout=120, check=False)


def test_no_command_calls_an_answer_on_a_full_disk_a_success(server, tmp_path):
    ca = server()
    ca.cli("request", WEB, "--out-dir", tmp_path / "first")
    entry = ca.cli("entry", "create", WEB, "--selector", f"unix:uid:{os.getuid()}").stdout.strip()
    serial = json.loads(ca.cli("cert", "list", "-o", "json").stdout)[0]["serial"]
    (tmp_path / "entries.yaml").write_text(f"entries:\n- spiffe_id: {WEB}\n  selectors: [unix:uid:1]\n", encoding="ascii")
    (tmp_path / "config.yaml").write_text("log: {level: info}\n", encoding="ascii")
    names = {"tmp": tmp_path, "serial": serial, "entry": entry, "entries": tmp_path / "entries.yaml",
             "config": tmp_path / "config.yaml", "api": ca.api_socket}
    known = commands(ca.meshca)
    assert {"status", "cert list", "entry apply", "version"} <= set(known)
    assert set(ARGUMENTS) <= set(known), "ARGUMENTS names a command that is gone"
    wrong = []
    for command in known:
        args = ARGUMENTS.get(command, [])
        if args is None:
            continue
        done = into_full(ca, [*command.split(), *[arg.format(**names) for arg in args]])
        if done.returncode != 1 or "standard output: not all of the answer could be written: No space left" \
                not in done.stderr:
            wrong.append((command, done.returncode, done.stderr))
    assert not wrong
    for args in ([], ["cert"], ["cert", "list"]):
        assert into_full(ca, [*args, "--help"]).returncode == 1, args


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_full_disk_is_no_success_in_any_form(server, form):
    ca = server()
    for command in (["status"], ["cert", "list"], ["token", "list"], ["audit", "list"], ["check"], ["version"]):
        assert into_full(ca, [*command, "-o", form]).returncode == 1, command


def test_a_server_serves_though_its_first_screen_gets_lost(server, tmp_path):
    ca = server()
    ca.terminate()
    with open("/dev/full", "w", encoding="ascii") as full, open(tmp_path / "log", "w", encoding="ascii") as log:
        with subprocess.Popen([str(word) for word in ca.command()], stdout=full, stderr=log, env=ca.env) as process:
            try:
                wait_until(lambda: "the first screen got lost" in (tmp_path / "log").read_text(encoding="utf8"), 60,
                           "the warning")
                assert ca.cli("status").returncode == 0
            finally:
                process.terminate()
                assert process.wait(60) == 0


@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_pipe_ends_a_list_without_a_word(server, ignored):
    ca = server()
    args = [str(ca.meshca), "audit", "list", "-o", "json", "--state-dir", str(ca.state_dir)]
    before = (lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN)) if ignored else None
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ca.env, preexec_fn=before,
                          restore_signals=not ignored) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == -signal.SIGPIPE


def test_a_closed_stdout_is_said_and_nothing_is_printed_elsewhere(server):
    ca = server()
    done = subprocess.run(["sh", "-c", '"$0" status --state-dir "$1" >&-', str(ca.meshca), str(ca.state_dir)], capture_output=True, text=True, env=ca.env,
                          check=False)
    assert done.returncode == 1 and "Bad file descriptor" in done.stderr


def test_nothing_prints_past_the_one_way_out():
    past = re.compile(r"std::(printf|fprintf|fputs|puts|fwrite|cout|cerr|clog|ofstream)\b")
    found = [f"{path}:{number}" for path in sorted((ROOT / "cli").rglob("*.cc")) if path.name != "output.cc"
             for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), 1) if past.search(line)]
    assert found == []


# What a terminal obeys, or what makes a name look like another: as bytes, so that a raw one is found wherever it is.
BAD = "\x1b[2J\x9b2J\u061c\u200f\u202e\u2066\x7f"
RAW = [character.encode() for character in BAD if ord(character) >= 0x7f or ord(character) < 0x20]


def assert_clean(done):
    for raw in RAW:
        assert raw not in done.stdout, done.stdout
        assert raw not in done.stderr, done.stderr


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_names_that_a_terminal_would_obey_are_escaped_in_every_form(server, tmp_path, form):
    ca = server()
    ca.cli("token", "create", WEB)
    ca.cli("request", WEB, "--out-dir", tmp_path / "out")
    serial = json.loads(ca.cli("cert", "list", "-o", "json").stdout)[0]["serial"]
    ca.terminate()
    # Columns without a MAC or a chain, as whoever fed them could have: a node, a caller, a subscriber, its rejection.
    with sqlite3.connect(ca.state_dir / "meshca.db") as database:
        name = "é" + BAD
        database.execute("UPDATE issuance SET node = ?, instance = ?", (name, name))
        database.execute("UPDATE caller SET subject = subject || ?", (name,))
        database.execute("INSERT INTO subscriber(instance, spiffe_id, node, kind, peer, connected, first_seen, last_seen,"
                         " bundle_sequence, serial, version_info, acknowledged_at, certificate_expires, rejected)"
                         " VALUES(?1, ?1, ?1, ?1, ?1, 0, 0, 0, 1, ?1, ?1, 0, 4102444800000000, ?1)", (name,))
    database.close()
    ca.start()
    shown = b""
    for command in (["entry", "list"], ["token", "list"], ["cert", "list"], ["cert", "show", serial], ["status"],
                    ["audit", "list"], ["subscriber", "list"], ["root", "status"], ["check"],
                    ["token", "delete", BAD], ["entry", "show", BAD], ["cert", "show", BAD], [BAD],
                    ["entry", "apply", "-f", f"/{BAD}"], ["status", "--admin-socket", f"/{BAD}"]):
        done = subprocess.run([str(ca.meshca), *command, "-o", form, "--state-dir", str(ca.state_dir)],
                              capture_output=True, env=ca.env, check=False)
        assert_clean(done)
        shown += done.stdout
        if form == "json" and done.returncode == 0:
            json.loads(done.stdout)
    assert "é".encode() in shown, "letters stay letters"
    assert (rb"\u009b" if form != "table" else rb"\u{9b}") in shown
    log = ca.log().encode("utf8", "surrogateescape")
    assert not any(raw in log for raw in RAW)
