"""`meshca entry apply`: one transaction of any size, from files and pipes."""

import json
import os
import signal
import subprocess
import sys

from background import wait_until

ENTRY = "- spiffe_id: spiffe://cluster.local/ns/a/sa/w{0}\n  selectors: [unix:uid:{1}]\n"


def entries(first, count):
    return "entries:\n" + "".join(ENTRY.format(i, 100000 + i) for i in range(first, first + count))


def apply(ca, *args, **options):
    return subprocess.run([str(ca.meshca), "entry", "apply", *[str(arg) for arg in args], "--state-dir",
                           str(ca.state_dir)], capture_output=True, text=True, env=ca.env, timeout=300, check=False,
                          **options)


def listed(ca):
    return {one["spiffe_id"].rsplit("/w", 1)[1]: one for one in json.loads(ca.cli("entry", "list", "-o", "json").stdout)}


def test_a_file_above_a_megabyte_is_applied_at_once_and_a_second_time_changes_nothing(server, tmp_path):
    ca = server()
    file = tmp_path / "entries.yaml"
    file.write_text(entries(0, 15000), encoding="ascii")
    assert file.stat().st_size > 1024 * 1024
    done = apply(ca, "-f", file)
    assert (done.returncode, done.stdout, done.stderr) == \
        (0, "15000 created, 0 replaced, 0 unchanged, 0 deleted\n", "")
    assert len(listed(ca)) == 15000
    lines = rows(ca, "audit")
    assert rows(ca, "audit WHERE action = 'entry.apply'") == 15001, "one for each, and one that says how many"
    assert apply(ca, "-f", file).stdout == "0 created, 0 replaced, 15000 unchanged, 0 deleted\n"
    assert rows(ca, "audit") == lines
    ca.cli("db", "check")


def test_standard_input_devices_pipes_and_several_files(server, tmp_path):
    ca = server()
    assert apply(ca, "-f", "-", input=entries(0, 2)).stdout.startswith("2 created")
    assert apply(ca, "-f", "/dev/stdin", input=entries(2, 2)).stdout.startswith("2 created")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f"cat > {pipe}"], stdin=subprocess.PIPE, text=True) as writer:
        writer.stdin.write(entries(4, 2))
        writer.stdin.close()
        assert apply(ca, "-f", pipe).stdout.startswith("2 created")
    one, two = tmp_path / "one.yaml", tmp_path / "two.json"
    one.write_text(entries(0, 3), encoding="ascii")
    two.write_text(json.dumps({"entries": [{"spiffe_id": "spiffe://cluster.local/ns/a/sa/w9",
                                            "selectors": ["unix:uid:9"], "ttl": "10m"}]}), encoding="ascii")
    done = apply(ca, "-f", one, "-f", two, "--prune", "-o", "json")
    answer = json.loads(done.stdout)
    assert [len(answer[key]) for key in ("created", "replaced", "unchanged", "deleted")] == [1, 0, 3, 3]
    assert set(listed(ca)) == {"0", "1", "2", "9"}
    assert listed(ca)["9"]["ttl"] == "600s"
    assert apply(ca, "-f", "-", "-f", "-", input="").returncode == 2


def test_a_fault_names_file_line_and_entry_and_nothing_is_changed(server, tmp_path):
    ca = server()
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(entries(0, 700), encoding="ascii")
    cases = {
        # In the file itself; told by the server; two of one kind in two files; broken syntax behind much that is good.
        "- spiffe_id: spiffe://cluster.local/x\n  selectrs: [a]\n": f"{bad}:1203:3: entries[600].selectrs: unknown key",
        "- spiffe_id: nonsense\n  selectors: [unix:uid:1]\n": f"{bad}:1202:3: entries[600]: ",
        ENTRY.format(5, 100005): f"{bad}:1202:3: entries[600]: a second entry",
        "- {spiffe_id: [\n": f"{bad}:1203:",
    }
    for text, words in cases.items():
        bad.write_text(entries(1000, 600) + text, encoding="ascii")
        done = apply(ca, "-f", good, "-f", bad)
        assert done.returncode == 1 and words in done.stderr, done.stderr
        assert done.stdout == ""
        assert listed(ca) == {}
    assert apply(ca, "-f", good, "-f", tmp_path).stderr.startswith(f"meshca: {tmp_path}: is a folder")


def test_a_client_that_dies_in_the_midst_changes_nothing(server, tmp_path):
    ca = server()
    with subprocess.Popen([str(ca.meshca), "entry", "apply", "-f", "-", "-f", tmp_path / "pipe", "--state-dir",
                           str(ca.state_dir)], stdin=subprocess.PIPE, text=True, env=ca.env) as client:
        os.mkfifo(tmp_path / "pipe")
        client.stdin.write(entries(0, 1500))
        client.stdin.close()
        with open(tmp_path / "pipe", "w", encoding="ascii"):
            # It has sent the first file's parts and reads the second.
            wait_until(lambda: staged(ca) >= 1500, 60, "the parts to arrive")
            assert listed(ca) == {}
            client.send_signal(signal.SIGKILL)
            client.wait(60)
    wait_until(lambda: staged(ca) == 0, 60, "the server to forget them")
    assert listed(ca) == {}
    assert apply(ca, "-f", "-", input=entries(0, 2)).stdout.startswith("2 created")


def rows(ca, what):
    """How many the database has; a process of its own, because SQLite's locks are a process's."""
    program = "import sqlite3, sys; print(sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True).execute(" \
              "f'SELECT count(*) FROM {sys.argv[2]}').fetchone()[0])"
    text = subprocess.run([sys.executable, "-c", program, str(ca.state_dir / "meshca.db"), what], capture_output=True,
                          text=True, check=True).stdout
    return int(text)


def staged(ca):
    """Rows of entries, whether or not they count."""
    return rows(ca, "entry")


def test_a_server_killed_in_the_midst_starts_with_none_of_it(server, tmp_path):
    ca = server()
    ca.cli("entry", "create", "spiffe://cluster.local/ns/a/sa/w7", "--selector", "unix:uid:7")
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen([str(ca.meshca), "entry", "apply", "--prune", "-f", "-", "-f", tmp_path / "pipe",
                           "--state-dir", str(ca.state_dir)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=ca.env) as client:
        client.stdin.write(entries(1000, 1500))
        client.stdin.close()
        with open(tmp_path / "pipe", "w", encoding="ascii"):
            wait_until(lambda: staged(ca) >= 1501, 60, "the parts to arrive")
            ca.kill()
        assert client.wait(60) == 1
    ca.restart()
    assert set(listed(ca)) == {"7"}
    wait_until(lambda: staged(ca) == 1, 60, "the staging to be cleared away")
    ca.cli("db", "check")
