"""A CA that comes out of a Secret in Kubernetes, and an issuing authority that is handed out for istiod."""

import base64
import contextlib
import datetime
import http.server
import json
import os
import pathlib
import re
import resource
import stat
import subprocess
import threading

import certificates
import pytest
import rotation
from background import wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from istio_authority import IstioAuthority
from meshca_process import MeshcaProcess

WEB = "spiffe://cluster.local/ns/test/sa/web"
ISTIO_FILES = {"ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"}
QUICK = ("--rotation-skew", "0s", "--rotation-settle", "300ms")
TOKEN = "an-operator's-token"


@contextlib.contextmanager
def api_server(folder, secrets, refused=""):
    """An API server that has `secrets` ({"namespace/name": {file: text}}) and is asked for nothing else; yields a kubeconfig
    of it. `refused`: its words to whoever has no right."""
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            _, _, _, _, namespace, kind, name = self.path.split("/")
            assert kind == "secrets"
            data = secrets.get(f"{namespace}/{name}")
            if refused or data is None:
                code, reason, said = (403, "Forbidden", refused) if refused else (404, "NotFound", f'secrets "{name}" not found')
                return self.answer(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
                                          "message": said})
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
            return self.answer(200, {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}, "data": encoded})

        def answer(self, code, thing):
            body = json.dumps(thing).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        kubeconfig = folder / "kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(f"""
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters: [{{name: test, cluster: {{server: "http://127.0.0.1:{listening.server_port}"}}}}]
users: [{{name: test, user: {{token: "{TOKEN}"}}}}]
""", encoding="ascii")
        yield kubeconfig
        listening.shutdown()


def import_secret(ca, kubeconfig, secret, *args, check=True):
    return ca.cli("root", "import", "--from-kubernetes", secret, "--kubeconfig", kubeconfig, *args, check=check)


def listed(ca):
    return {row["id"]: row for row in json.loads(ca.cli("root", "show", "-o", "json").stdout)["authorities"]}


def test_istiods_own_root_goes_on_here_and_is_left_by_a_rotation(server, tmp_path):
    istiod = IstioAuthority()
    ca = server(*QUICK)
    with api_server(tmp_path, {"istio-system/istio-ca-secret": istiod.istio_ca_secret()}) as kubeconfig:
        import_secret(ca, kubeconfig, "istio-system/istio-ca-secret")
        assert ca.root_pem == istiod.pem, "nothing lived under the first root"
        assert "to it" not in import_secret(ca, kubeconfig, "istio-system/istio-ca-secret").stderr, "once more, and it is there"
    ca.cli("request", WEB, "--out-dir", tmp_path / "web", "--ttl", "10s")
    assert openssl_verifies(istiod.pem, tmp_path / "web" / "cert-chain.pem", tmp_path)
    assert 'import secret istio-system/istio-ca-secret' in ca.cli("audit", "list", "-o", "json").stdout
    assert_secret_stays_secret(ca, istiod.key)
    # What is needed of it is in the database, sealed.
    ca.terminate()
    ca.start()
    ended = rotation.rotate(ca)
    assert ended["step"] == "done"
    assert rotation.root_states(ca)[istiod.id] == "retired"


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_the_import_the_old_root_is_trusted_before_it_or_never_again(build_dir, tmp_path, when):
    program = build_dir / "test" / "integration" / "meshca_with_faults"
    assert program.exists(), f"{program} is not built"
    faults = tmp_path / "faults"
    faults.mkdir()
    first = MeshcaProcess(program, tmp_path, tmp_path / "state", QUICK).start()
    fresh = first.root_pem
    first.terminate()
    # What rotations and keys do is no part of it.
    ca = MeshcaProcess(program, tmp_path, tmp_path / "state", QUICK,
                       env={"MESHCA_FAULTS": str(faults), "MESHCA_FAULT": f"authority.activate.{when}"}).start()
    try:
        istiod = IstioAuthority()
        with api_server(tmp_path, {"istio-system/istio-ca-secret": istiod.istio_ca_secret()}) as kubeconfig:
            killed = import_secret(ca, kubeconfig, "istio-system/istio-ca-secret", check=False)
            assert killed.returncode != 0
            wait_until(lambda: not ca.background.running(), 60, ca.log)
            assert [path.name for path in faults.iterdir()] == [f"authority.activate.{when}"]
            ca.start()
            assert ca.root_pem == {"before": fresh, "after": istiod.pem}[when]
            import_secret(ca, kubeconfig, "istio-system/istio-ca-secret")
            assert ca.root_pem == istiod.pem
        assert rotation.root_states(ca) == {first.root_fingerprint: "retired", istiod.id: "active"}
        ca.cli("request", WEB, "--out-dir", tmp_path / "web")
        assert openssl_verifies(istiod.pem, tmp_path / "web" / "cert-chain.pem", tmp_path)
        ca.cli("db", "check")
    finally:
        ca.stop()


def test_a_root_is_not_left_while_what_it_signed_elsewhere_may_renew(server, tmp_path):
    """The inventory knows nothing of istiod's certificates, so it proves nothing by having none."""
    istiod, other = IstioAuthority(), IstioAuthority("another")
    ca = server(*QUICK)
    secrets = {"istio-system/istio-ca-secret": istiod.istio_ca_secret(), "other/cacerts": other.istio_ca_secret()}
    with api_server(tmp_path, secrets) as kubeconfig:
        import_secret(ca, kubeconfig, "istio-system/istio-ca-secret", "--renew-unrecorded")
        assert ca.root_pem == istiod.pem
        plan = ca.cli("root", "rotate", "--plan").stdout
        assert "this root is not retired before" in plan, plan
        done = import_secret(ca, kubeconfig, "other/cacerts")
    assert "rotation 1 runs" in done.stderr and other.id[:12] in done.stderr, done.stderr
    wait_until(lambda: "this root is not retired before" in json.dumps(rotation.status(ca)), 60, lambda: json.dumps(rotation.status(ca)))
    assert rotation.root_states(ca)[istiod.id] == "old"
    held = rotation.status(ca)
    assert rotation.seconds(held["ends_about"]) - rotation.seconds(held["now"]) > 3600, held
    refused = ca.cli("root", "retire", check=False)
    assert refused.returncode == 3 and "imported with --renew-unrecorded" in refused.stderr, refused.stderr
    ca.cli("root", "retire", "--force")
    wait_until(lambda: rotation.root_states(ca).get(istiod.id) == "retired", 60, lambda: rotation.root_states(ca))


def test_a_new_root_under_live_certificates_begins_a_rotation(server, tmp_path):
    istiod = IstioAuthority()
    ca = server(*QUICK)
    before = ca.root_fingerprint
    ca.cli("request", WEB, "--out-dir", tmp_path / "web", "--ttl", "1h")
    with api_server(tmp_path, {"istio-system/cacerts": istiod.istio_ca_secret()}) as kubeconfig:
        done = import_secret(ca, kubeconfig, "istio-system/cacerts")
    assert "rotation 1 runs" in done.stderr and istiod.id[:12] in done.stderr, done.stderr
    report = rotation.status(ca)
    assert (report["old_root_id"], report["new_root_id"]) == (before, istiod.id)


REFUSED = 'secrets "istio-ca-secret" is forbidden: User "jane" cannot get resource "secrets" in API group ""'


@pytest.mark.parametrize("name, secret, refused, said", [
    ("missing", None, "", 'get secrets istio-ca-secret in namespace istio-system: HTTP 404 NotFound: secrets "istio-ca-secret" not found'),
    ("forbidden", None, REFUSED, 'Role in namespace istio-system: {apiGroups: [""], resources: [secrets], '
                                 'resourceNames: ["istio-ca-secret"], verbs: [get]}'),
    ("no-ca", {"password": "hunter2"}, "", "holds no CA: expected ca-cert.pem, ca-key.pem"),
    ("other-key", IstioAuthority().istio_ca_secret(**{"ca-key.pem": certificates.key_pem(certificates.new_key()).decode()}), "",
     "secret istio-system/istio-ca-secret/ca-key.pem: is not the key of ca-cert.pem"),
    ("ended", IstioAuthority(days=-1).istio_ca_secret(), "", "istio-ca-secret/ca-cert.pem: certificate"),
    ("no-room", IstioAuthority(path_length=0).istio_ca_secret(), "", "pathLenConstraint 0 leaves no room"),
    ("no-authority", IstioAuthority(ca=False).istio_ca_secret(), "", "is not a CA"),
    ("key-missing", {"ca-cert.pem": IstioAuthority().pem}, "", "istio-ca-secret/ca-key.pem: is missing"),
], ids=lambda value: value if isinstance(value, str) and value.replace("-", "").isalpha() else "")
def test_what_cannot_be_adopted_is_named_and_changes_nothing(server, tmp_path, name, secret, refused, said):
    ca = server()
    before = listed(ca)
    secrets = {} if secret is None else {"istio-system/istio-ca-secret": secret}
    with api_server(tmp_path, secrets, refused) as kubeconfig:
        done = import_secret(ca, kubeconfig, "istio-system/istio-ca-secret", check=False)
    assert done.returncode == 1 and said in done.stderr, f"{name}: {done.stderr}"
    assert "hunter2" not in done.stderr and "PRIVATE KEY" not in done.stderr and TOKEN not in done.stderr
    assert listed(ca) == before


def test_mistakes_on_the_command_line(server, tmp_path):
    ca = server()
    for words, said in [((), "DIR, or --from-kubernetes"), (("--from-kubernetes", "cacerts"), "NAMESPACE/SECRET"),
                        (("--from-kubernetes", "a/../b"), "NAMESPACE/SECRET"), (("--from-kubernetes", "../b"), "NAMESPACE/SECRET"),
                        (("--from-kubernetes", "a/.."), "NAMESPACE/SECRET"), (("--from-kubernetes", "a.b/c"), "NAMESPACE/SECRET"),
                        (("--from-kubernetes", "a/b-"), "NAMESPACE/SECRET"), (("--kubeconfig", "k"), "--from-kubernetes"),
                        ((tmp_path, "--from-kubernetes", "a/b"), "excludes")]:
        done = ca.cli("root", "import", *words, check=False)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    outside = ca.cli("root", "import", "--from-kubernetes", "a/b", check=False)
    assert outside.returncode == 2 and "--kubeconfig FILE" in outside.stderr, outside.stderr
    for words, said in [((), "--out DIR, or --as-secret"), (("--out", tmp_path, "--as-secret", "a/b"), "excludes"),
                        (("--as-secret", "cacerts"), "NAMESPACE/SECRET"), (("--out", tmp_path / "x", "--key-type", "dsa"), "--key-type"),
                        (("--out", tmp_path / "x", "--lifetime", "soon"), "--lifetime")]:
        done = ca.cli("root", "export", *words, check=False)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    assert not [row for row in listed(ca).values() if row["exported"]]


# --- export ---

def openssl_verifies(roots, chain_file, folder):
    trusted = pathlib.Path(folder) / "trusted.pem"
    trusted.write_text(roots, encoding="ascii")
    done = subprocess.run(["openssl", "verify", "-no-CAfile", "-no-CApath", "-CAfile", trusted, "-untrusted", chain_file, chain_file],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return True


def sign_as_istiod(files, spiffe_id):
    """A leaf as istiod signs it with what was exported: with cert-chain.pem behind it, as proxies get it."""
    issuer = certificates.load(files["ca-cert.pem"])
    now = datetime.datetime.now(datetime.timezone.utc)
    leaf = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(issuer.subject)
            .public_key(certificates.new_key().public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)]), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value), critical=False)
            .sign(certificates.load_key(files["ca-key.pem"].encode()), hashes.SHA256()))
    return leaf.public_bytes(Encoding.PEM).decode() + files["cert-chain.pem"]


def read_files(folder):
    return {path.name: path.read_text(encoding="ascii") for path in pathlib.Path(folder).iterdir()}


def assert_secret_stays_secret(ca, key):
    """Neither the log nor the database nor the audit log has the key in it."""
    numbers = key.private_numbers().private_value.to_bytes(32, "big")
    pem_line = certificates.key_pem(key).decode().splitlines()[1]
    kept = [path.read_bytes() for path in pathlib.Path(ca.state_dir).rglob("*") if path.is_file()]
    for text in [ca.log().encode(), ca.cli("audit", "list", "-o", "json").stdout.encode(), *kept]:
        assert numbers not in text and pem_line.encode() not in text


def test_what_istiod_signs_with_an_exported_authority_verifies_under_the_published_roots(server, tmp_path):
    ca = server()
    before = listed(ca)
    done = ca.cli("root", "export", "--out", tmp_path / "out")
    files = read_files(tmp_path / "out")
    assert files.keys() == ISTIO_FILES
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert files["root-cert.pem"] == ca.root_pem and files["cert-chain.pem"] == files["ca-cert.pem"]
    chain = tmp_path / "leaf.pem"
    chain.write_text(sign_as_istiod(files, WEB), encoding="ascii")
    assert openssl_verifies(ca.root_pem, chain, tmp_path)

    issuer = certificates.load(files["ca-cert.pem"])
    row = listed(ca)[certificates.spki_sha256(issuer)]
    assert (row["exported"], row["role"], row["root_id"]) == (True, "issuing", ca.root_fingerprint)
    assert row["id"][:12] in done.stderr and "nothing renews it" in done.stderr, done.stderr
    assert done.stdout == row["id"] + "\n"
    assert "exported" in ca.cli("root", "show").stdout
    assert {key: value for key, value in listed(ca).items() if key != row["id"]} == before, "the CA itself goes on as it was"
    assert rotation.audited(ca, "authority.") == {"authority.export": 1}
    assert_secret_stays_secret(ca, certificates.load_key(files["ca-key.pem"].encode()))


def test_as_a_secret_for_kubectl(server):
    ca = server()
    done = ca.cli("root", "export", "--as-secret", "istio-system/cacerts", "--key-type", "rsa-2048", "--lifetime", "90d")
    secret = json.loads(done.stdout)
    assert (secret["kind"], secret["metadata"]) == ("Secret", {"namespace": "istio-system", "name": "cacerts"})
    files = {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}
    assert files.keys() == ISTIO_FILES
    assert certificates.load_key(files["ca-key.pem"].encode()).key_size == 2048
    certificate = certificates.load(files["ca-cert.pem"])
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == datetime.timedelta(days=90, hours=1)
    assert "PRIVATE KEY" not in done.stderr


def test_the_file_that_a_key_or_a_token_is_printed_into_is_for_its_owner_alone(server, tmp_path):
    """A shell makes it as the umask says, and what is printed there is worth as much as in a file of --out."""
    ca = server()
    for words in (("root", "export", "--as-secret", "a/b"), ("kek", "create"), ("token", "create", WEB),
                  ("jwt", "mint", WEB, "--audience", "a.test")):
        file = tmp_path / words[0]
        state = [] if words[0] == "kek" else ["--state-dir", ca.state_dir]
        with open(file, "w", encoding="ascii") as out:
            os.fchmod(out.fileno(), 0o644)
            subprocess.run([ca.meshca, *words, *state], check=True, stdout=out, env=ca.env)
        assert file.stat().st_size > 0 and oct(file.stat().st_mode & 0o777) == "0o600", words
    # What is no secret stays readable.
    with open(tmp_path / "roots", "w", encoding="ascii") as out:
        os.fchmod(out.fileno(), 0o644)
        subprocess.run([ca.meshca, "bundle", "show", "--format", "pem", "--state-dir", ca.state_dir], check=True, stdout=out, env=ca.env)
    assert oct((tmp_path / "roots").stat().st_mode & 0o777) == "0o644"


def test_nothing_is_made_that_cannot_be_written(server, tmp_path):
    ca = server()
    (tmp_path / "taken").mkdir(mode=0o700)
    (tmp_path / "taken" / "root-cert.pem").touch()
    done = ca.cli("root", "export", "--out", tmp_path / "taken", check=False)
    assert done.returncode == 1 and "root-cert.pem: is there already" in done.stderr
    (tmp_path / "linked").mkdir(mode=0o700)
    (tmp_path / "linked" / "ca-cert.pem").symlink_to(tmp_path / "nowhere")
    done = ca.cli("root", "export", "--out", tmp_path / "linked", check=False)
    assert done.returncode == 1 and "ca-cert.pem: is there already" in done.stderr
    assert [path.name for path in (tmp_path / "linked").iterdir()] == ["ca-cert.pem"], "no key without an authority"
    short = ca.cli("root", "export", "--out", tmp_path / "out", "--lifetime", "1h", check=False)
    assert short.returncode == 1 and "twice the longest leaf lifetime" in short.stderr, short.stderr
    assert list((tmp_path / "out").iterdir()) == [], "no key without an authority"
    assert not [row for row in listed(ca).values() if row["exported"]]


def test_what_is_missing_of_an_exported_authority_when_the_disk_is_full_is_named_and_can_be_had(server, tmp_path):
    ca = server()
    # A key has less, a certificate more; the signal stays ignored, as Python has it.
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)), "restore_signals": False}
    done = ca.cli("root", "export", "--out", tmp_path / "out", check=False, **small)
    assert done.returncode == 1 and f"its key is in {tmp_path}/out/ca-key.pem" in done.stderr, done.stderr
    (row,) = [row for row in listed(ca).values() if row["exported"]]
    files = {"ca-cert.pem": row["certificate_pem"], "cert-chain.pem": row["certificate_pem"], "root-cert.pem": ca.root_pem,
             **read_files(tmp_path / "out")}
    chain = tmp_path / "leaf.pem"
    chain.write_text(sign_as_istiod(files, WEB), encoding="ascii")
    assert openssl_verifies(ca.root_pem, chain, tmp_path)


def test_an_exported_authority_holds_the_retirement_of_its_root_up_by_name(server, tmp_path):
    ca = server(*QUICK)
    old = ca.root_fingerprint
    ca.cli("root", "export", "--out", tmp_path / "out")
    exported = certificates.spki_sha256(certificates.load(read_files(tmp_path / "out")["ca-cert.pem"]))
    plan = ca.cli("root", "rotate", "--plan").stdout
    assert f"issuing authority {exported[:16]} was exported" in plan, plan
    ca.cli("root", "rotate", "--detach")
    wait_until(lambda: rotation.status(ca)["step"] == "drain" and rotation.status(ca)["laggards"], 60, lambda: rotation.status(ca))
    (laggard,) = rotation.status(ca)["laggards"]
    assert (laggard["reason"], laggard["instance"]) == ("exported-authority", f"issuing authority {exported[:16]}")
    assert f"issuing authority {exported[:16]}: may sign elsewhere under the old root" in ca.cli("root", "status").stdout
    assert ca.cli("root", "export", "--out", tmp_path / "more", check=False).returncode == 3, "not while a rotation runs"
    refused = ca.cli("root", "retire", check=False)
    assert refused.returncode == 3 and exported[:16] in refused.stderr, refused.stderr
    assert rotation.root_states(ca)[old] != "retired"

    # Until then what istiod signed is good with whoever takes the roots from here.
    chain = tmp_path / "leaf.pem"
    chain.write_text(sign_as_istiod(read_files(tmp_path / "out"), WEB), encoding="ascii")
    assert openssl_verifies(ca.root_pem, chain, tmp_path)
    ca.cli("root", "retire", "--force")
    wait_until(lambda: rotation.status(ca)["step"] == "done", 60, lambda: rotation.status(ca))
    assert exported[:16] in rotation.status(ca)["forced"]
    assert rotation.root_states(ca)[old] == "retired"


def test_what_was_exported_comes_back(server, tmp_path):
    """Away to istiod and back again: the root stays the same all the time, and whoever had the key may have it still."""
    ca = server(*QUICK)
    ca.cli("root", "export", "--out", tmp_path / "out")
    exported = certificates.spki_sha256(certificates.load(read_files(tmp_path / "out")["ca-cert.pem"]))
    ca.cli("root", "import", tmp_path / "out")
    row = listed(ca)[exported]
    assert (row["state"], row["exported"], row["root_id"]) == ("active", True, ca.root_fingerprint)
    ca.cli("request", WEB, "--out-dir", tmp_path / "web")
    assert openssl_verifies(ca.root_pem, tmp_path / "web" / "cert-chain.pem", tmp_path)
    shown = ca.cli("root", "show").stdout
    assert re.search(rf"active, exported +{exported} .* 1 and unknown ", shown), shown
    plan = ca.cli("root", "rotate", "--plan").stdout
    assert f"issuing authority {exported[:16]} was exported" in plan, plan
