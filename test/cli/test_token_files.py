"""A join token is a password: no command line, environment or readable file of the documented flow shows it."""

import json
import os
import pathlib
import resource
import subprocess
import threading

import pytest
from background import wait_until

WEB = "spiffe://cluster.local/ns/default/sa/web"


class ProcessList:
    """What any user of the host may read of every process, over and over, until the block ends."""

    def __init__(self):
        self.lines = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.is_set():
            for folder in pathlib.Path("/proc").iterdir():
                if not folder.name.isdigit():
                    continue
                try:
                    self.lines.add((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)


def shown(pid):
    """Command line and environment of a process."""
    folder = pathlib.Path(f"/proc/{pid}")
    return (folder / "cmdline").read_bytes().decode() + (folder / "environ").read_bytes().decode()


def request(ca, *args, **options):
    return subprocess.run([str(ca.meshca), "request", WEB, "--server", ca.grpc, *[str(arg) for arg in args]],
                          capture_output=True, text=True, timeout=60, env=ca.env, check=False, **options)


def test_the_documented_flow_by_a_file_shows_the_token_to_nobody(server, tmp_path):
    ca = server()
    file, made, tokens = tmp_path / "web.token", [], []

    def looked_at_while_one_is_made():
        made.append(ca.cli("token", "create", WEB, "--out", file))
        tokens.append(file.read_text(encoding="ascii").strip())
        return any("token create" in line for line in seen.lines.copy())

    with ProcessList() as seen:
        wait_until(looked_at_while_one_is_made, 60, "the process list to be looked at while a token is made")
        done = request(ca, "--token-file", file, "--out-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    for one in made:
        assert one.stdout == "" and f"meshca request {WEB} --server {ca.grpc} --token-file {file}" in one.stderr
    said = "".join(one.stdout + one.stderr for one in [*made, done]) + ca.log()
    for token in tokens:
        assert token.startswith("meshca-jt1.")
        assert token not in said
        assert not any(token in line for line in seen.lines)


def allow_cores():
    """As far as this process may: root may raise the limit."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    most = resource.RLIM_INFINITY if os.geteuid() == 0 else hard
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def test_a_token_by_a_pipe_never_stands_in_the_process_list(server, tmp_path):
    """Deterministic: the command is held while it waits for the token, and looked at again when it has it."""
    ca = server()
    token = ca.cli("token", "create", WEB).stdout.strip()
    command = [str(ca.meshca), "request", WEB, "--server", ca.grpc, "--out-dir", str(tmp_path / "out"), "--token-file"]
    with subprocess.Popen([*command, "-"], stdin=subprocess.PIPE, text=True, env=ca.env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        process.stdin.write(token)
        process.stdin.flush()
        assert token not in shown(process.pid)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == "", "nothing to warn of"

    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    second = ca.cli("token", "create", WEB).stdout
    with subprocess.Popen([*command, str(fifo)], text=True, env=ca.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=allow_cores) as process:
        with open(fifo, "w", encoding="ascii") as writer:  # opens when the command reads
            assert second.strip() not in shown(process.pid)
            assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (0, 0), "it may hold a key when it crashes"
            writer.write(second)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def test_the_documented_pipeline_works_in_a_plain_shell(server, tmp_path):
    ca = server()
    line = (f"{ca.meshca} token create {WEB} --state-dir {ca.state_dir} | "
            f"{ca.meshca} request {WEB} --server {ca.grpc} --token-file - --out-dir {tmp_path}/out")
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, env=ca.env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_token_on_the_command_line_is_taken_with_a_warning(server, tmp_path):
    ca = server()
    token = ca.cli("token", "create", WEB).stdout.strip()
    done = request(ca, "--token", token, "--out-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "process list" in done.stderr and "--token-file" in done.stderr
    assert token not in done.stderr


def test_a_token_file_is_never_readable_by_others_whatever_was_there(server, tmp_path):
    ca = server()
    file = tmp_path / "token"
    file.write_text("old", encoding="ascii")
    file.chmod(0o644)
    before = file.stat().st_ino
    ca.cli("token", "create", WEB, "--out", file, umask=0)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_ino != before, "a new file: whoever held the old one open reads nothing"
    assert [path.name for path in tmp_path.iterdir()] == ["token"], "nothing is left beside it"


def test_another_local_user_cannot_read_the_token_file(server, tmp_path):
    """As root, really tried as another user; a user who is not root has only the mode to show."""
    ca = server()
    file = tmp_path / "token"
    ca.cli("token", "create", WEB, "--out", file)
    assert file.stat().st_mode & 0o077 == 0
    if os.geteuid() == 0:
        for folder in [tmp_path, *tmp_path.parents]:  # only the file itself keeps the other one out
            if folder.stat().st_mode & 0o005 != 0o005:
                folder.chmod(folder.stat().st_mode | 0o055)
        readable = tmp_path / "readable"
        readable.write_text("anybody", encoding="ascii")
        readable.chmod(0o644)
        other = {"user": 54321, "group": 54321, "extra_groups": [], "capture_output": True, "check": False}
        assert subprocess.run(["cat", readable], **other).returncode == 0, "the folder lets it in"
        assert subprocess.run(["cat", file], **other).returncode != 0


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "folder"])
def test_a_token_is_written_through_nothing(server, tmp_path, kind):
    ca = server()
    target, file = tmp_path / "target", tmp_path / "token"
    if kind == "link":
        target.write_text("mine", encoding="ascii")
    if kind in ("link", "dangling"):
        file.symlink_to(target)
    elif kind == "fifo":
        os.mkfifo(file)
    else:
        file.mkdir()
    refused = ca.cli("token", "create", WEB, "--out", file, check=False)
    assert refused.returncode == 1 and str(file) in refused.stderr
    assert "meshca-jt1." not in refused.stdout + refused.stderr
    assert not target.exists() or target.read_text(encoding="ascii") == "mine"
    assert json.loads(ca.cli("token", "list", "-o", "json").stdout) == [], "a token that nobody has is taken back"


def test_with_out_no_format_prints_the_token(server, tmp_path):
    ca = server()
    for form in ("json", "yaml"):
        made = ca.cli("token", "create", WEB, "--out", tmp_path / form, "-o", form)
        assert "meshca-jt1." not in made.stdout and WEB in made.stdout


@pytest.mark.parametrize("text, said", [("", "no token in it"), (" \n", "no token in it"), ("x" * 70_000, "no token"),
                                        ("meshca-jt1.broken", "join token")])
def test_a_file_that_holds_no_token_says_so(server, tmp_path, text, said):
    ca = server()
    file = tmp_path / "token"
    file.write_text(text, encoding="ascii")
    file.chmod(0o600)
    done = request(ca, "--token-file", file, "--out-dir", tmp_path / "out")
    assert done.returncode in (1, 2)
    assert said in done.stderr


def test_a_readable_token_file_is_used_with_a_warning(server, tmp_path):
    ca = server()
    file = tmp_path / "token"
    ca.cli("token", "create", WEB, "--out", file)
    file.chmod(0o644)
    done = request(ca, "--token-file", file, "--out-dir", tmp_path / "out")
    assert done.returncode == 0 and "other users" in done.stderr


@pytest.mark.parametrize("flag", ["--token-file", "--jwt-file"])
@pytest.mark.parametrize("before, after, encoding, said", [
    ('"', '"\n', "utf-8", "quotation marks"), ("'", "'", "utf-8", "quotation marks"),
    ("", "\n", "utf-8-sig", "byte order mark"), ("", "\r\n", "utf-16", "UTF-16"), ("", "\r\n", "utf-16-be", "UTF-16")])
def test_what_an_editor_left_around_a_token_is_named_and_the_token_is_not(server, tmp_path, flag, before, after,
                                                                          encoding, said):
    ca = server()
    token = ca.cli("token", "create", WEB).stdout.strip()
    file = tmp_path / "token"
    file.write_bytes((before + token + after).encode(encoding))
    file.chmod(0o600)
    done = request(ca, flag, file, "--ca-fingerprint", ca.root_fingerprint, "--out-dir", tmp_path / "out")
    assert done.returncode == 1 and str(file) in done.stderr and said in done.stderr
    assert token[12:] not in done.stderr.replace("\0", "")
