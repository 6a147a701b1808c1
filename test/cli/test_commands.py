"""The commands an operator types, against a real server."""

import json
import os
import pathlib
import signal
import subprocess

import certificates
import grpc_messages
import pytest
import sds_stream
from background import Background, wait_until

WEB = "spiffe://cluster.local/ns/default/sa/web"


def verify(folder):
    """What openssl thinks of the three files."""
    folder = pathlib.Path(folder)
    return subprocess.run(["openssl", "verify", "-CAfile", folder / "root-cert.pem", "-untrusted",
                           folder / "cert-chain.pem", folder / "cert-chain.pem"],
                          capture_output=True, text=True, check=False)


def request(server, *args, **options):
    """`meshca request` as on another host: nothing but the address says where the server is."""
    return subprocess.run([str(server.meshca), "request", *[str(arg) for arg in args], "--server", server.grpc],
                          capture_output=True, text=True, timeout=60, env=server.env, check=False, **options)


def test_a_fresh_server_is_usable_with_what_its_first_screen_says(server, tmp_path):
    ca = server()
    hint = next(line for line in ca.first_screen if line.startswith("next")).split(None, 1)[1]
    words = hint.split()
    assert words[:2] == ["meshca", "request"]
    done = subprocess.run([str(ca.meshca), *words[1:]], capture_output=True, text=True, env=ca.env, cwd=tmp_path,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert verify(tmp_path / "demo").returncode == 0


def test_a_token_alone_is_enough_on_another_host(server, tmp_path):
    ca = server()
    made = ca.cli("token", "create", WEB)
    token = made.stdout.strip()
    assert made.stdout == token + "\n" and made.stderr == "", "only the token is on stdout"
    done = request(ca, WEB, "--token", token, "--out-dir", tmp_path / "out", "-o", "json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert verify(tmp_path / "out").returncode == 0
    for name in ("key.pem", "cert-chain.pem", "root-cert.pem"):
        assert (tmp_path / "out" / name).stat().st_mode & 0o777 == 0o600
    leaf = certificates.load((tmp_path / "out" / "cert-chain.pem").read_bytes())
    assert certificates.spiffe_ids(leaf) == [WEB]
    assert certificates.serial_hex(leaf) == answer["serial"]

    record = next(one for one in json.loads(ca.cli("cert", "list", "-o", "json").stdout)
                  if one["serial"] == answer["serial"])
    assert record["spiffe_id"] == WEB
    assert record["auth_method"] == "join-token"
    assert record["caller"].startswith("token ")
    issuing = json.loads(ca.cli("status", "-o", "json").stdout)["issuing"]
    assert record["authority_id"] == issuing["id"]
    assert json.loads(ca.cli("cert", "show", answer["serial"], "-o", "json").stdout) == record


def test_a_certificate_renews_itself(server, tmp_path):
    ca = server()
    out = tmp_path / "out"
    token = ca.cli("token", "create", WEB).stdout.strip()
    assert request(ca, WEB, "--token", token, "--out-dir", out).returncode == 0
    before = certificates.serial_hex(certificates.load((out / "cert-chain.pem").read_bytes()))
    done = request(ca, WEB, "--cert", out / "cert-chain.pem", "--key", out / "key.pem", "--out-dir", out)
    assert done.returncode == 0, done.stderr
    after = certificates.serial_hex(certificates.load((out / "cert-chain.pem").read_bytes()))
    assert after != before
    record = json.loads(ca.cli("cert", "show", after, "-o", "json").stdout)
    assert (record["auth_method"], record["parent_serial"]) == ("client-certificate", before)
    done = request(ca, "spiffe://cluster.local/ns/default/sa/other", "--cert", out / "cert-chain.pem", "--key",
                   out / "key.pem", "--out-dir", tmp_path / "other")
    assert done.returncode == 1
    assert "PermissionDenied" in done.stderr and "sa/other" in done.stderr
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("way", ["fingerprint", "colons", "ca-cert", "localhost"])
def test_the_ca_is_known_by_its_root(server, tmp_path, way):
    ca = server()
    fingerprint = ca.root_fingerprint
    if way == "colons":
        fingerprint = ":".join(fingerprint[i:i + 2] for i in range(0, 64, 2)).upper()
    root = tmp_path / "root.pem"
    root.write_text(ca.root_pem, encoding="ascii")
    trust = ["--ca-cert", root] if way == "ca-cert" else ["--ca-fingerprint", fingerprint]
    token = ca.cli("token", "create", WEB).stdout.strip()
    if way == "localhost":
        ca.grpc = ca.grpc.replace("127.0.0.1", "localhost")
    done = request(ca, WEB, *trust, "--token", token, "--out-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr


def test_another_ca_is_not_believed(server, tmp_path):
    ca, impostor = server(), server()
    token = ca.cli("token", "create", WEB).stdout.strip()
    done = request(impostor, WEB, "--token", token, "--out-dir", tmp_path / "out")
    assert done.returncode == 1
    assert "ROOT_FINGERPRINT" in done.stderr and impostor.root_fingerprint in done.stderr
    root = tmp_path / "root.pem"
    root.write_text(ca.root_pem, encoding="ascii")
    done = request(impostor, WEB, "--ca-cert", root, "--token", token, "--out-dir", tmp_path / "out")
    assert done.returncode == 1
    assert not (tmp_path / "out").exists()


def test_a_token_is_good_for_one_key(server, tmp_path):
    ca = server("--leaf-lifetime", "1h")
    token = ca.cli("token", "create", WEB).stdout.strip()
    assert request(ca, WEB, "--token", token, "--out-dir", tmp_path / "first").returncode == 0
    done = request(ca, WEB, "--token", token, "--out-dir", tmp_path / "second")
    assert done.returncode == 1
    assert "(Unauthenticated, TOKEN_USED)" in done.stderr
    listed = json.loads(ca.cli("token", "list", "-o", "json").stdout)
    assert [one["state"] for one in listed] == ["used"]
    assert token not in json.dumps(listed)

    fresh = ca.cli("token", "create", WEB).stdout.strip()
    other = next(one for one in json.loads(ca.cli("token", "list", "-o", "json").stdout) if one["state"] == "fresh")
    ca.cli("token", "delete", other["id"])
    done = request(ca, WEB, "--token", fresh, "--out-dir", tmp_path / "third")
    assert "(Unauthenticated, TOKEN_UNKNOWN)" in done.stderr

    short = ca.cli("token", "create", WEB, "--ttl", "1s").stdout.strip()
    wait_until(lambda: "expired" in ca.cli("token", "list").stdout, 60, "the token to expire")
    done = request(ca, WEB, "--token", short, "--out-dir", tmp_path / "fourth")
    assert "(Unauthenticated, TOKEN_EXPIRED)" in done.stderr
    assert token not in ca.log() and fresh not in ca.log() and short not in ca.log(), "no token in the log"


@pytest.mark.parametrize("key_type, openssl_name", [("ec-p256", "prime256v1"), ("ec-p384", "secp384r1"),
                                                    ("ed25519", "ED25519"), ("rsa-2048", "2048 bit")])
def test_keys_of_every_kind(server, tmp_path, key_type, openssl_name):
    ca = server()
    ca.cli("request", WEB, "--key-type", key_type, "--ttl", "1h", "--out-dir", tmp_path)
    shown = subprocess.run(["openssl", "pkey", "-in", tmp_path / "key.pem", "-noout", "-text"], capture_output=True,
                           text=True, check=True).stdout
    assert openssl_name.lower() in shown.lower()
    assert verify(tmp_path).returncode == 0


def test_entries_by_file(server, tmp_path):
    ca = server()
    file = tmp_path / "entries.yaml"
    file.write_text("entries:\n"
                    f"- spiffe_id: {WEB}\n  selectors: [\"unix:uid:1000\", \"unix:gid:1000\"]\n  ttl: 1h\n"
                    "- spiffe_id: spiffe://cluster.local/ns/default/sa/db\n  selectors:\n  - unix:path:/usr/bin/db\n"
                    "  dns_names: [db.default.svc]\n", encoding="utf-8")
    applied = json.loads(ca.cli("entry", "apply", "-f", file, "-o", "json").stdout)
    assert len(applied["created"]) == 2
    assert len(json.loads(ca.cli("entry", "apply", "-f", file, "-o", "json").stdout)["unchanged"]) == 2
    listed = json.loads(ca.cli("entry", "list", "-o", "json").stdout)
    web = next(one for one in listed if one["spiffe_id"] == WEB)
    assert (web["selectors"], web["ttl"]) == (["unix:gid:1000", "unix:uid:1000"], "3600s")
    assert json.loads(ca.cli("entry", "show", web["id"], "-o", "json").stdout) == web
    ca.cli("entry", "delete", web["id"])
    assert ca.cli("entry", "show", web["id"], check=False).returncode == 1

    file.write_text("entries:\n- spiffe_id: nonsense\n  selector: [x]\n", encoding="utf-8")
    done = ca.cli("entry", "apply", "-f", file, check=False)
    assert done.returncode == 1
    assert "entries.yaml:3:3" in done.stderr and "selector" in done.stderr


def test_what_a_subscriber_gets_and_when_it_changes(server):
    ca = server()
    refused = ca.cli("sds", "get", "default", check=False)
    assert refused.returncode == 1
    assert "meshca entry create" in refused.stderr, "says what would help"
    ca.cli("entry", "create", WEB, "--selector", f"unix:uid:{pathlib.Path('/proc/self').stat().st_uid}")
    shown = ca.cli("sds", "get", "default", "-o", "json").stdout
    assert "PRIVATE KEY" not in shown
    assert json.loads(shown)["spiffe_id"] == WEB
    roots = json.loads(ca.cli("sds", "get", "ROOTCA", "-o", "json").stdout)["roots"]
    assert roots[0]["fingerprints"] == [ca.root_fingerprint]

    watch = Background([ca.meshca, "sds", "watch", "default", "-o", "json", "--state-dir", ca.state_dir],
                       ca.folder / "watch.err", ca.env)
    try:
        first = json.loads(watch.wait_for_line("{")[-1])

        def subscriber():
            rows = json.loads(ca.cli("subscriber", "list", "-o", "json").stdout)
            return [row for row in rows if row["connected"] and row["serial"] == first["serial"]]

        row = wait_until(subscriber, 60, "the watch to be listed with what it acknowledged")[0]
        assert row["spiffe_id"] == WEB and row["kind"] == "sds-unix"
        assert json.loads(ca.cli("subscriber", "show", row["instance"], "-o", "json").stdout)["serial"] == row["serial"]
        renewed = json.loads(ca.cli("cert", "renew", first["serial"], "-o", "json").stdout)
        assert renewed == {"renewed": 1, "spiffe_ids": [WEB]}
        wait_until(lambda: len(watch.lines) > 1, 60, "the renewed secret")
        second = json.loads(watch.lines[1])
        assert second["serial"] != first["serial"] and second["version"] != first["version"]
    finally:
        watch.signal(signal.SIGINT)
        watch.process.wait(60)


def test_a_subscriber_that_left_can_be_evicted(server):
    """One whose process lives on: it may still use what it was given. Who has ended is forgotten by itself."""
    ca = server()
    ca.cli("entry", "create", WEB, "--selector", f"unix:uid:{os.geteuid()}")

    def only(condition):
        return [row for row in json.loads(ca.cli("subscriber", "list", "-o", "json").stdout) if condition(row)]

    with grpc_messages.unix_channel(ca.api_socket) as channel:
        stream = sds_stream.Stream(channel, "StreamSecrets")
        stream.ask(["default"])
        response = stream.next()
        stream.ask(["default"], response.nonce)
        row = wait_until(lambda: only(lambda row: row["connected"] and row["serial"]), 60, "the stream to be listed")[0]
        assert row["authority_id"] == json.loads(ca.cli("status", "-o", "json").stdout)["issuing"]["id"]
        assert row["evicted_at"] is None
        assert row["uid"] == os.geteuid()
        stream.cancel()
    wait_until(lambda: only(lambda row: not row["connected"]), 60, "the stream to have left")
    evicted = json.loads(ca.cli("subscriber", "evict", row["instance"], "-o", "json").stdout)
    assert evicted["instance"] == row["instance"] and evicted["evicted_at"]
    assert "no, evicted" in ca.cli("subscriber", "list").stdout
    assert ca.cli("subscriber", "evict", "nobody", check=False).returncode == 1
    nobody = ca.cli("subscriber", "evict", "--id", "spiffe://*")
    assert "nobody was evicted" in nobody.stdout, "it is evicted already"
    assert ca.cli("subscriber", "evict", "--uid", "4294967294", "-o", "json").stdout.strip() == "[]"


def test_the_doctor_and_the_status(server):
    ca = server()
    done = ca.cli("check", "-o", "json")
    facts = {fact["name"]: fact["state"] for fact in json.loads(done.stdout)["facts"]}
    assert facts["CSR service"] == facts["API socket"] == facts["HTTP"] == facts["database writes"] == "ok"
    assert set(facts.values()) <= {"ok", "warning"}
    status = json.loads(ca.cli("status", "-o", "json").stdout)
    assert status["trust_domain"] == "cluster.local" and status["ready"] is True
    assert {one["name"]: one["address"] for one in status["listeners"]}["grpc"] == ca.grpc
    assert ca.cli("health").stdout == "SERVING\n"
    ca.terminate()
    done = ca.cli("check", check=False)
    assert done.returncode == 1
    assert "meshca serve" in done.stdout
    assert ca.cli("status", check=False).returncode == 1
    assert ca.cli("health", check=False).returncode == 1


def test_backup_check_and_restore(server, tmp_path):
    ca = server()
    ca.cli("request", WEB, "--out-dir", tmp_path / "before")
    serial = certificates.serial_hex(certificates.load((tmp_path / "before" / "cert-chain.pem").read_bytes()))
    backup = tmp_path / "backup.db"
    ca.cli("db", "backup", backup)
    assert backup.stat().st_mode & 0o777 == 0o600
    assert "database.backup" in ca.cli("audit", "list").stdout
    taken = ca.cli("db", "backup", backup, check=False)
    assert taken.returncode == 1 and str(backup) in taken.stderr
    refused = ca.cli("db", "restore", backup, check=False)
    assert refused.returncode != 0, "not under a running server"
    assert "ok" in ca.cli("db", "check").stdout
    ca.terminate()
    assert "ok" in ca.cli("db", "check").stdout, "without a server too"
    ca.cli("db", "restore", backup)
    ca.start()
    assert serial in ca.cli("cert", "list").stdout
    assert verify(tmp_path / "before").returncode == 0
    assert "database.restore" in ca.cli("audit", "list").stdout


def test_roots_and_bundle(server, tmp_path):
    ca = server()
    root = certificates.load(ca.root_pem)
    assert certificates.spiffe_ids(root) == ["spiffe://cluster.local"]
    assert ca.cli("bundle", "show", "--format", "pem").stdout == ca.root_pem
    jwks = json.loads(ca.cli("bundle", "show", "--format", "spiffe").stdout)
    assert jwks["spiffe_sequence"] >= 1 and jwks["keys"][0]["use"] == "x509-svid"
    assert ca.root_fingerprint in ca.cli("cert", "tree").stdout
    missing = ca.cli("root", "import", tmp_path / "nowhere", check=False)
    assert missing.returncode == 1 and "nowhere" in missing.stderr
    empty = ca.cli("root", "import", tmp_path, check=False)
    assert empty.returncode == 1 and str(tmp_path) in empty.stderr


@pytest.mark.parametrize("words, code, said", [
    ("rotate --plan --detach", 2, "--plan excludes --detach"),
    ("rotate --deadline 1h", 2, "--deadline requires --emergency"),
    ("rotate --emergency --deadline soon", 2, "--deadline: "),
    ("abort --force", 2, "--force"),
    ("taint", 2, "ID"),
    ("taint abc", 1, "at least 8"),
    ("taint root-of-all", 1, "not hexadecimal"),
])
def test_mistakes_about_rotation_change_nothing(server, words, code, said):
    ca = server()
    before = ca.cli("audit", "list").stdout
    done = ca.cli("root", *words.split(), check=False)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr
    assert ca.cli("audit", "list").stdout == before


def test_the_tree_counts_what_is_alive_under_each_authority(server, tmp_path):
    ca = server()

    def live(mark):
        line = next(line for line in ca.cli("cert", "tree").stdout.splitlines() if mark in line)
        return int(line.split(" live")[0].split()[-1])

    before = live(ca.root_fingerprint)
    ca.cli("request", WEB, "--out-dir", tmp_path)
    assert live(ca.root_fingerprint) == live("└─") == before + 1


def test_configuration_is_checked_without_a_server(meshca, tmp_path):
    file = tmp_path / "meshca.yaml"
    file.write_text("trust_domain: a.test\nlisten: 127.0.0.1:1\nsds:\n  over_mtsl: true\n", encoding="utf-8")
    done = subprocess.run([meshca, "config", "validate", file], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "meshca.yaml:4:3" in done.stderr and "over_mtls" in done.stderr
    file.write_text("trust_domain: a.test\nlisten: 127.0.0.1:1\n", encoding="utf-8")
    assert subprocess.run([meshca, "config", "validate", file], capture_output=True, check=False).returncode == 0
    shown = subprocess.run([meshca, "config", "show", "--config", file, "--origin", "--listen", "127.0.0.1:2"],
                           capture_output=True, text=True, check=True).stdout
    assert "a.test" in shown and "meshca.yaml:1" in shown
    assert "127.0.0.1:2" in shown and "--listen" in shown
    shown = subprocess.run([meshca, "config", "show", "--origin", "--rotation-skew", "1h"], capture_output=True,
                           text=True, check=True, env={"HOME": "/home/u", "MESHCA_ROTATION_SETTLE": "5s"}).stdout
    assert "settle: 5s  # MESHCA_ROTATION_SETTLE" in shown
    assert "skew: 1h  # --rotation-skew" in shown
    assert "reissue_per_second: 0  # default" in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(meshca, tmp_path, shell):
    script = subprocess.run([meshca, "completion", shell], capture_output=True, text=True, check=True).stdout
    assert "ca-fingerprint" in script
    if shell != "bash":
        return
    (tmp_path / "meshca.bash").write_text(script, encoding="utf-8")

    def complete(*words):
        line = " ".join(f"'{word}'" for word in words)
        done = subprocess.run(["bash", "-c", f". {tmp_path}/meshca.bash; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}"
                               "; _meshca; echo \"${COMPREPLY[*]}\""], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert "token" in complete("meshca", "tok")
    assert complete("meshca", "token", "cr") == ["create"]
    assert complete("meshca", "--state-dir", "x", "db", "back") == ["backup"]
    assert "--ttl" in complete("meshca", "token", "create", "--t")
    assert complete("meshca", "root", "ro") == ["rotate", "rollback"]
    assert complete("meshca", "root", "rotate", "--em") == ["--emergency"]
    assert complete("meshca", "root", "retire", "--f") == ["--force"]
    assert complete("meshca", "subscriber", "e") == ["evict"]
    assert complete("meshca", "cert", "rev") == ["revoke"]
    assert complete("meshca", "cert", "revoke", "--e") == ["--entry"]
    assert "--state-dir" in complete("meshca", "token", "create", "--st")


def test_a_program_alone_is_no_proof_of_who_runs_it(server):
    ca = server()
    alone = ca.cli("entry", "create", WEB, "--selector", "unix:path:/usr/bin/true")
    assert "any user who may run unix:path:/usr/bin/true" in alone.stderr and "unix:uid:N" in alone.stderr
    both = ca.cli("entry", "create", WEB, "--selector", "unix:path:/usr/bin/true", "--selector", "unix:uid:1000")
    assert both.stderr == ""


def test_a_key_encryption_key_is_made_for_a_server_that_has_no_state_yet(meshca, server, tmp_path):
    """As a Secret of Kubernetes wants it: before the first start, by a pipe or as a file."""
    file = tmp_path / "kek"
    subprocess.run([meshca, "kek", "create", "--out", file], check=True, capture_output=True)
    assert len(file.read_bytes()) == 32 and file.stat().st_mode & 0o777 == 0o600
    piped = subprocess.run([meshca, "kek", "create"], check=True, capture_output=True)
    assert len(piped.stdout) == 32 and piped.stdout != file.read_bytes()
    again = subprocess.run([meshca, "kek", "create", "--out", file], check=False, capture_output=True, text=True)
    assert again.returncode == 1 and str(file) in again.stderr
    master, terminal = os.openpty()
    shown = subprocess.run([meshca, "kek", "create"], check=False, stdout=terminal, stderr=subprocess.PIPE, text=True)
    os.close(terminal)
    os.close(master)
    assert shown.returncode == 2 and "--out FILE" in shown.stderr

    ca = server("--kek-file", file)
    assert ca.cli("status").returncode == 0
    ca.terminate()
    file.write_bytes(piped.stdout)
    ca.start(ready=False)
    wait_until(lambda: not ca.background.running(), 60, ca.log)
    assert "key" in ca.log()
