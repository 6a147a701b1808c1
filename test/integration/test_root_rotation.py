"""Rotating the root of a running server: the evidence it waits for, what it refuses, and what its chains are worth."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import certificates
import pytest
import rotation
from background import wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from many_subscribers import ManySubscribers

WEB = "spiffe://cluster.local/ns/test/sa/web"
QUICK = ("--rotation-skew", "0s", "--rotation-settle", "300ms")
VERIFIERS = pathlib.Path(__file__).resolve().parents[1] / "interop" / "verifiers"
STEPS = ("prepare", "publish", "activate", "drain", "retire", "done")


def subscribers(server):
    return json.loads(server.cli("subscriber", "list", "-o", "json").stdout)


def holders(server, bundle):
    return sum(row["bundle_sequence"] >= bundle and row["connected"] for row in subscribers(server))


def request(server, folder, *args):
    """`meshca request`: the folder of its files."""
    server.cli("request", WEB, "--out-dir", folder, *args)
    return folder


def openssl_verifies(roots, leaf, chain, *options):
    """The verdict of `openssl verify` with nothing but `roots` trusted; "" when it accepts."""
    done = subprocess.run(["openssl", "verify", "-no-CAfile", "-no-CApath", "-CAfile", roots, "-untrusted", chain, *options,
                           leaf], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr + done.stdout


@pytest.mark.alone
def test_one_silent_stream_among_a_thousand_is_named_and_everything_waits_for_it(server, tmp_path):
    ca = server(*QUICK)
    old_root = ca.root_fingerprint
    ca.entitle(WEB)
    with ManySubscribers(ca.api_socket, 1000, silent=["node-7"]) as proxies:
        proxies.wait_received(1)
        wait_until(lambda: holders(ca, 1) == 999, 60, lambda: f"{holders(ca, 1)} acknowledged")
        ca.cli("root", "prepare")
        proxies.wait_received(2)
        wait_until(lambda: holders(ca, 2) == 999, 60, lambda: f"{holders(ca, 2)} acknowledged")
        refused = ca.cli("root", "activate", check=False)
        assert refused.returncode == 3, refused.stdout + refused.stderr
        named = re.findall(r"\bnode-\d+\b", refused.stderr)
        assert set(named) == {"node-7"}, refused.stderr
        assert "1 of 1000 subscribers" in refused.stderr
        assert "--force" in refused.stderr
        assert rotation.root_states(ca)[old_root] == "active"

        (silent,) = [row["instance"] for row in subscribers(ca) if row["node"] == "node-7"]
        proxies.close("node-7")
        wait_until(lambda: not next(row for row in subscribers(ca) if row["instance"] == silent)["connected"], 60,
                   "the stream is gone")
        still = ca.cli("root", "activate", check=False)
        assert still.returncode == 3 and "node-7" in still.stderr, "who left is remembered"
        ca.cli("subscriber", "evict", silent)
        assert rotation.audited(ca, "subscriber.") == {"subscriber.evict": 1}

        ended = rotation.rotate(ca)
        assert ended["step"] == "done", ended
    states = rotation.root_states(ca)
    assert states.pop(old_root) == "retired"
    (new_root,) = states
    assert states[new_root] == "active"
    files = request(ca, tmp_path / "out")
    trusted = files / "root-cert.pem"
    assert [certificates.spki_sha256(c) for c in certificates.load_all(trusted.read_bytes())] == [new_root]
    assert openssl_verifies(trusted, files / "cert-chain.pem", files / "cert-chain.pem") == ""


def test_who_left_counts_until_its_certificate_has_ended(server):
    ca = server(*QUICK, "--leaf-lifetime", "10s")
    ca.entitle(WEB)
    with ManySubscribers(ca.api_socket, 2, names=[WEB], silent=["node-1"]) as proxies:
        proxies.wait_received(1)
        wait_until(lambda: len([r for r in subscribers(ca) if r["certificate_expires"]]) == 2, 60, "both were sent a key")
        ends = max(rotation.seconds(row["certificate_expires"]) for row in subscribers(ca))
    ca.cli("root", "rotate", "--detach")
    # Neither takes its roots from here; who is gone needs no roots, and no word about them.
    ended = wait_until(lambda: (now := rotation.status(ca))["step"] == "done" and now, 90,
                       lambda: json.dumps(rotation.status(ca), indent=1))
    assert rotation.seconds(ended["step_at"]) >= ends, ended
    assert ended["subscribers_behind"] == 0
    assert sorted(rotation.root_states(ca).values()) == ["active", "retired"]


def test_a_foreign_certificate_holds_the_rotation_until_it_is_renewed(server, tmp_path):
    ca = server(*QUICK)
    old_root = ca.root_fingerprint
    files = request(ca, tmp_path / "out", "--ttl", "1h")

    def renew():
        ca.cli("request", WEB, "--server", ca.grpc, "--ca-cert", files / "root-cert.pem", "--cert",
               files / "cert-chain.pem", "--key", files / "key.pem", "--out-dir", files)

    ca.cli("root", "prepare")
    refused = ca.cli("root", "activate", check=False)
    assert refused.returncode == 3 and WEB in refused.stderr, refused.stderr

    def activated():
        renew()
        return ca.cli("root", "activate", check=False).returncode == 0

    # What was signed just after the publication may have been answered with the bundle of before.
    wait_until(activated, 60, lambda: rotation.status(ca))
    kept = ca.cli("root", "retire", check=False)
    assert kept.returncode == 3 and WEB in kept.stderr, kept.stderr
    renew()
    ca.cli("root", "retire")
    wait_until(lambda: rotation.status(ca)["step"] == "done", 60, lambda: rotation.status(ca))
    assert rotation.root_states(ca)[old_root] == "retired"
    assert rotation.audited(ca) == {f"root.{step}": 1 for step in STEPS}


@pytest.mark.parametrize(("before", "command", "words"), [
    ([], ["activate"], "no rotation runs"),
    ([], ["retire"], "no rotation runs"),
    ([], ["abort"], "no rotation runs"),
    ([], ["rollback"], "no rotation runs"),
    ([["prepare"]], ["retire"], "is at distribute"),
    ([["prepare"]], ["rollback"], "is at distribute"),
    ([["prepare"]], ["prepare"], "one rotation at a time"),
    ([["prepare"], ["activate"]], ["activate"], "cannot activate the new root now"),
    ([["prepare"], ["activate"]], ["abort"], "cannot be aborted now"),
    ([["prepare"], ["activate"], ["retire"]], ["rollback"], "meshca root"),
], ids=lambda value: "-".join(" ".join(word) if isinstance(word, list) else word for word in value)
    if isinstance(value, list) else None)
def test_steps_out_of_order_are_refused(server, before, command, words):
    ca = server("--rotation-settle", "0s", "--rotation-skew", "0s")
    for step in before:
        ca.cli("root", *step)
    refused = ca.cli("root", *command, check=False)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert words in refused.stderr


def test_abort_leaves_nothing_but_its_audit_entry(server, tmp_path):
    ca = server(*QUICK)
    before = rotation.root_states(ca)
    ca.cli("root", "prepare")
    assert len(rotation.root_states(ca)) == 2
    assert len(certificates.load_all(ca.root_pem)) == 2
    ca.cli("root", "abort")
    assert rotation.root_states(ca) == before
    assert len(certificates.load_all(ca.root_pem)) == 1
    after = rotation.status(ca)
    assert (after["step"], after["number"], after["running"]) == ("none", 0, False)
    assert rotation.audited(ca) == {"root.prepare": 1, "root.publish": 1, "root.abort": 1}
    # And the next one is an ordinary one.
    assert rotation.rotate(ca)["step"] == "done"


def test_rollback_goes_back_and_retires_the_new_root(server, tmp_path):
    ca = server(*QUICK)
    old_root = ca.root_fingerprint
    ca.cli("root", "prepare")
    ca.cli("root", "activate")
    new_root = next(root for root, state in rotation.root_states(ca).items() if state == "active")
    assert new_root != old_root
    ca.cli("root", "rollback")
    wait_until(lambda: rotation.status(ca)["step"] == "done", 60, lambda: rotation.status(ca))
    assert rotation.root_states(ca) == {old_root: "active", new_root: "retired"}
    assert rotation.status(ca)["rolled_back"]
    files = request(ca, tmp_path / "out")
    assert openssl_verifies(files / "root-cert.pem", files / "cert-chain.pem", files / "cert-chain.pem") == ""


def test_force_does_it_and_says_who_did_and_what_it_broke(server, tmp_path):
    ca = server(*QUICK)
    request(ca, tmp_path / "out", "--ttl", "1h")
    ca.cli("root", "prepare")
    ca.cli("root", "activate", "--force")
    report = rotation.status(ca)
    assert "forced activation" in report["forced"] and WEB in report["forced"], report["forced"]
    ca.cli("root", "retire", "--force")
    assert "forced retirement" in rotation.status(ca)["forced"]


def test_an_emergency_taints_the_root_that_goes(server, tmp_path):
    ca = server(*QUICK)
    old_root = ca.root_fingerprint
    request(ca, tmp_path / "out", "--ttl", "1h")
    # The foreign certificate would live for an hour: the deadline cuts it off, and says so.
    ended = rotation.rotate(ca, "--emergency", "--deadline", "3s")
    assert ended["emergency"] and WEB in ended["forced"], ended
    (old,) = [root for root in rotation.status(ca)["roots"] if root["id"] == old_root]
    assert old["tainted"] and old["state"] == "retired"


def test_in_an_emergency_the_inventory_tells_a_client_from_a_thief(server, tmp_path):
    """Whoever holds the stolen root can make certificates, but no records of them."""
    known = KnownRoot(tmp_path / "known")
    ca = server(*QUICK)
    ca.cli("root", "import", known.folder)
    files = request(ca, tmp_path / "out", "--ttl", "1h")
    stolen = known.mint(tmp_path / "stolen.pem")

    def renew(certificate, key):
        return ca.cli("request", WEB, "--server", ca.grpc, "--ca-cert", files / "root-cert.pem", "--cert", certificate,
                      "--key", key, "--out-dir", tmp_path / "renewed", check=False)

    def thief_is_refused():
        refused = renew(stolen, stolen.with_suffix(".key"))
        return refused.returncode == 1 and "CERTIFICATE_NOT_RECORDED" in refused.stderr

    assert thief_is_refused(), "also while nobody knows yet that the key is stolen"
    ca.cli("root", "rotate", "--emergency", "--detach")
    assert thief_is_refused()
    wait_until(lambda: rotation.status(ca)["step"] == "drain", 60, lambda: rotation.status(ca))
    assert thief_is_refused()
    assert renew(files / "cert-chain.pem", files / "key.pem").returncode == 0
    wait_until(lambda: rotation.status(ca)["step"] == "done", 60, lambda: rotation.status(ca))
    assert rotation.root_states(ca)[certificates.spki_sha256(known.certificate)] == "retired"


def test_plan_changes_nothing(server):
    ca = server(*QUICK)
    before = rotation.status(ca)
    plan = ca.cli("root", "rotate", "--plan").stdout
    for word in ("distribute", "reissue", "drain", "retire"):
        assert word in plan
    after = rotation.status(ca)
    assert (after["step"], after["roots"]) == (before["step"], before["roots"])


class KnownRoot:
    """A root whose private key the test holds: what a thief would have."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "100", "-subj", "/CN=known root", "-keyout", folder / "ca-key.pem", "-out",
                        folder / "ca-cert.pem", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
                        "keyUsage=critical,keyCertSign,cRLSign"], check=True, capture_output=True)
        self.certificate = certificates.load((folder / "ca-cert.pem").read_text())
        self.pem = folder / "ca-cert.pem"

    def mint(self, path):
        """A leaf that the thief signs."""
        stolen = certificates.load_key((self.folder / "ca-key.pem").read_bytes())
        key = certificates.new_key()
        path.with_suffix(".key").write_bytes(certificates.key_pem(key))
        issuer = x509.SubjectKeyIdentifier.from_public_key(self.certificate.public_key())
        leaf = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(self.certificate.subject)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(self.certificate.not_valid_before_utc).not_valid_after(self.certificate.not_valid_after_utc)
                .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(WEB)]), critical=True)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
                .sign(stolen, hashes.SHA256()))
        path.write_bytes(leaf.public_bytes(Encoding.PEM))
        return path


@pytest.fixture(scope="session")
def go_verifier(tmp_path_factory):
    """Go's crypto/x509 as a command: `verify ROOTS CHAIN`, leaf first."""
    program = tmp_path_factory.mktemp("go") / "verify"
    subprocess.run([shutil.which("go") or pytest.fail("go is not installed: apt-get install golang-go"), "build", "-o",
                    program, VERIFIERS / "verify.go"], check=True, capture_output=True)
    return [program]


@pytest.fixture(scope="session")
def java_verifier():
    """The JDK's PKIX validator, the same way."""
    return [shutil.which("java") or pytest.fail("java is not installed: apt-get install openjdk-17-jdk-headless"),
            VERIFIERS / "Verify.java"]


def accepts(verifier, roots, chain, *how):
    return subprocess.run([*verifier, roots, chain, *how], capture_output=True, text=True, check=False).returncode == 0


def check_cross_signing(server, tmp_path, accepts_chain):
    """Where somebody may hold the old root alone its holders accept new leaves in the overlap; afterwards a stolen old
    key is worth nothing."""
    known = KnownRoot(tmp_path / "known")
    ca = server(*QUICK)
    ca.cli("root", "import", known.folder)
    request(ca, tmp_path / "before", "--ttl", "10m")
    ca.cli("root", "prepare")
    assert len(certificates.load_all(ca.root_pem)) == 2
    ca.cli("root", "activate", "--force")
    overlap = request(ca, tmp_path / "overlap")
    # leaf, issuing authority under the new root, the new root's key certified by the old one
    assert len(certificates.load_all((overlap / "cert-chain.pem").read_bytes())) == 3
    roots = certificates.load_all((overlap / "root-cert.pem").read_bytes())
    assert [certificates.spki_sha256(root) for root in roots][1] == certificates.spki_sha256(known.certificate)
    new_root = tmp_path / "new-root.pem"
    new_root.write_bytes(roots[0].public_bytes(Encoding.PEM))
    assert accepts_chain(known.pem, overlap / "cert-chain.pem")
    assert accepts_chain(new_root, overlap / "cert-chain.pem")
    assert any("hold the old root alone" in warning for warning in rotation.status(ca)["warnings"])

    ca.cli("root", "retire", "--force")
    wait_until(lambda: rotation.status(ca)["step"] == "done", 60, lambda: rotation.status(ca))
    after = request(ca, tmp_path / "after")
    assert len(certificates.load_all((after / "cert-chain.pem").read_bytes())) == 2
    assert (after / "root-cert.pem").read_bytes() == new_root.read_bytes()
    assert accepts_chain(after / "root-cert.pem", after / "cert-chain.pem")
    stolen = known.mint(tmp_path / "stolen.pem")
    assert accepts_chain(known.pem, stolen), "the leaf is good but for its root"
    # Whatever was ever published stands behind it.
    everything = tmp_path / "everything.pem"
    everything.write_bytes(stolen.read_bytes() + (overlap / "cert-chain.pem").read_bytes() +
                           (overlap / "root-cert.pem").read_bytes())
    assert not accepts_chain(new_root, everything)


def test_a_chain_that_java_verifies_stays_good_when_the_old_root_goes(server, tmp_path, java_verifier):
    """On complete evidence everybody holds the new root when it begins to sign, so no chain leads to the old one: Java
    would refuse such a chain from the retirement on."""
    ca = server(*QUICK)
    ca.cli("root", "prepare")
    ca.cli("root", "activate")
    overlap = request(ca, tmp_path / "overlap", "--ttl", "10m")
    chain = overlap / "cert-chain.pem"
    assert len(certificates.load_all(chain.read_bytes())) == 2
    assert not rotation.status(ca).get("warnings")
    new_root = tmp_path / "new-root.pem"
    new_root.write_bytes(certificates.load_all((overlap / "root-cert.pem").read_bytes())[0].public_bytes(Encoding.PEM))
    assert accepts(java_verifier, overlap / "root-cert.pem", chain, "as-it-comes")
    assert accepts(java_verifier, new_root, chain, "as-it-comes")


def test_cross_signing_by_openssl(server, tmp_path):
    check_cross_signing(server, tmp_path, lambda roots, chain: openssl_verifies(roots, chain, chain) == "")


def test_cross_signing_by_go(server, tmp_path, go_verifier):
    check_cross_signing(server, tmp_path, lambda roots, chain: accepts(go_verifier, roots, chain))


@pytest.mark.all_only
def test_cross_signing_by_java(server, tmp_path, java_verifier):
    check_cross_signing(server, tmp_path, lambda roots, chain: accepts(java_verifier, roots, chain))


def test_the_csr_answer_follows_the_phase(server, tmp_path):
    ca = server(*QUICK)
    old = certificates.load_all(ca.root_pem)[0]

    def answer(phase):
        files = request(ca, tmp_path / phase, "--ttl", "10m")
        chain = certificates.load_all((files / "cert-chain.pem").read_bytes())
        roots = certificates.load_all((files / "root-cert.pem").read_bytes())
        return chain, [certificates.spki_sha256(root) for root in roots]

    chain, roots = answer("steady")
    o = certificates.spki_sha256(old)
    assert (len(chain), roots) == (2, [o])
    ca.cli("root", "prepare")
    n = next(root["id"] for root in rotation.status(ca)["roots"] if root["id"] != o)
    chain, roots = answer("distribute")
    assert (len(chain), roots) == (2, [o, n])
    ca.cli("root", "activate", "--force")
    chain, roots = answer("overlap")
    assert (len(chain), roots) == (3, [n, o])
    # No self-signed certificate stands in a chain: some verifiers stop there.
    assert all(c.issuer != c.subject for c in chain)
    ca.cli("root", "retire", "--force")
    chain, roots = answer("retired")
    assert (len(chain), roots) == (2, [n])


def test_the_servers_own_certificate_is_good_for_holders_of_either_root(server, tmp_path):
    ca = server(*QUICK)
    old = tmp_path / "old.pem"
    old.write_text(ca.root_pem)
    o = ca.root_fingerprint

    def trusted_by(roots):
        done = subprocess.run(["openssl", "s_client", "-connect", ca.grpc, "-servername", "localhost", "-no-CAfile",
                               "-no-CApath", "-CAfile", roots, "-verify_return_error", "-alpn", "h2"],
                              input="", capture_output=True, text=True, timeout=60, check=False)
        return "Verify return code: 0 (ok)" in done.stdout

    def fingerprint_leads_there(fingerprint):
        token = ca.cli("token", "create", WEB).stdout.strip()
        done = ca.cli("request", WEB, "--server", ca.grpc, "--ca-fingerprint", fingerprint, "--token", token, "--out-dir",
                      tmp_path / "by-fingerprint", "--ttl", "10s", check=False)
        return done.returncode == 0

    ca.cli("root", "prepare")
    new = tmp_path / "new.pem"
    new.write_bytes(certificates.load_all(ca.root_pem)[1].public_bytes(Encoding.PEM))
    n = next(root["id"] for root in rotation.status(ca)["roots"] if root["id"] != o)
    assert trusted_by(old) and fingerprint_leads_there(o)
    ca.cli("root", "activate", "--force")
    wait_until(lambda: trusted_by(new), 60, "the server shows its new certificate")
    assert trusted_by(old)
    assert fingerprint_leads_there(o) and fingerprint_leads_there(n)
    ca.cli("root", "retire", "--force")
    wait_until(lambda: not trusted_by(old), 60, "the old root is gone from the server's chain")
    assert trusted_by(new) and fingerprint_leads_there(n)


class PluggedIn:
    """A folder in istio's cacerts layout; each set has a root and an issuing authority of its own."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def put(self, work):
        """Another set takes the place of the one before, file by file as people copy them."""
        work.mkdir()
        root = KnownRoot(work / "root")
        config = work / "issuing.cnf"
        config.write_text("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
                          "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                        f"/CN=issuing of {work.name}", "-keyout", work / "ca-key.pem", "-out", work / "ca.csr"],
                       check=True, capture_output=True)
        subprocess.run(["openssl", "x509", "-req", "-in", work / "ca.csr", "-CA", root.pem, "-CAkey",
                        root.folder / "ca-key.pem", "-CAcreateserial", "-days", "90", "-extfile", config, "-out",
                        work / "ca-cert.pem"], check=True, capture_output=True)
        (work / "cert-chain.pem").write_text((work / "ca-cert.pem").read_text() + root.pem.read_text())
        (work / "root-cert.pem").write_text(root.pem.read_text())
        for name in ("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"):
            shutil.copy(work / name, self.folder / name)
            (self.folder / name).chmod(0o600)
        return certificates.spki_sha256(root.certificate)


def test_a_plugged_in_set_with_a_new_root_goes_through_the_same_machine(server, tmp_path):
    plugged = PluggedIn(tmp_path / "cacerts")
    first = plugged.put(tmp_path / "first")
    ca = server(*QUICK, "--authority-plugged-in-ca", str(plugged.folder))
    assert rotation.root_states(ca) == {first: "active"}
    ca.entitle(WEB)
    with ManySubscribers(ca.api_socket, 3, silent=["node-2"]) as proxies:
        proxies.wait_received(1)
        wait_until(lambda: holders(ca, 1) == 2, 60, lambda: subscribers(ca))
        second = plugged.put(tmp_path / "second")
        report = wait_until(lambda: (now := rotation.status(ca))["step"] == "distribute" and now, 90,
                            lambda: rotation.status(ca))
        assert report["automatic"] and (report["old_root_id"], report["new_root_id"]) == (first, second)
        # The old root's key was never here: nobody can certify the new one with it, and the status says so.
        assert any("cannot certify" in warning for warning in report["warnings"]), report["warnings"]
        # What signs meanwhile is the old authority, though its files are gone; after a restart too.
        ca.restart()
        files = request(ca, tmp_path / "meanwhile", "--ttl", "10s")
        assert rotation.root_states(ca)[first] == "active"
        # At its last second: it is meant to end soon, and may have ended when openssl looks.
        last = int(certificates.load((files / "cert-chain.pem").read_bytes()).not_valid_after_utc.timestamp()) - 1
        assert openssl_verifies(tmp_path / "first" / "root-cert.pem", files / "cert-chain.pem", files / "cert-chain.pem",
                                "-attime", str(last)) == ""
    for row in subscribers(ca):
        ca.cli("subscriber", "evict", row["instance"])
    wait_until(lambda: rotation.status(ca)["step"] == "done", 90, lambda: json.dumps(rotation.status(ca), indent=1))
    assert rotation.root_states(ca) == {first: "retired", second: "active"}
    files = request(ca, tmp_path / "after")
    assert openssl_verifies(tmp_path / "second" / "root-cert.pem", files / "cert-chain.pem", files / "cert-chain.pem") == ""


def test_a_broken_set_is_named_everywhere_and_the_old_one_goes_on(server, tmp_path):
    plugged = PluggedIn(tmp_path / "cacerts")
    first = plugged.put(tmp_path / "first")
    ca = server(*QUICK, "--authority-plugged-in-ca", str(plugged.folder))
    (plugged.folder / "ca-key.pem").write_text("no key")
    report = wait_until(lambda: (now := rotation.status(ca))["authority_error"] and now, 90, lambda: ca.log()[-2000:])
    assert "ca-key.pem" in report["authority_error"]
    wait_until(lambda: "ca-key.pem" in ca.log(), 60, ca.log)
    wait_until(lambda: "meshca_plugged_in_ca_refused 1" in ca.get("/metrics"), 60, "the metric of a refused set")
    assert rotation.root_states(ca) == {first: "active"}
    request(ca, tmp_path / "out", "--ttl", "10s")
    second = plugged.put(tmp_path / "second")
    wait_until(lambda: rotation.root_states(ca).get(second) == "active", 90, lambda: rotation.status(ca))
    wait_until(lambda: "meshca_plugged_in_ca_refused 0" in ca.get("/metrics"), 60, "the metric of a set that is in use")


def test_an_emptied_folder_stops_no_restart_and_check_says_what_is_missing(server, tmp_path):
    plugged = PluggedIn(tmp_path / "cacerts")
    first = plugged.put(tmp_path / "first")
    ca = server("--authority-plugged-in-ca", str(plugged.folder))
    before = ca.root_pem
    ca.terminate()
    for name in os.listdir(plugged.folder):
        (plugged.folder / name).unlink()
    ca.start()
    assert ca.cli("bundle", "show", "--format", "pem").stdout == before, "trust goes on"
    assert rotation.root_states(ca) == {first: "active"}
    check = ca.cli("check", check=False)
    assert check.returncode == 1 and f"{plugged.folder}: holds no CA: expected ca-cert.pem" in check.stdout, check.stdout
    assert "holds no CA" in ca.log()
    refused = ca.cli("request", "spiffe://cluster.local/web", "--out-dir", tmp_path / "out", check=False)
    assert refused.returncode == 1, "the key was in the folder"
    second = plugged.put(tmp_path / "second")
    wait_until(lambda: rotation.status(ca)["new_root_id"] == second, 60, lambda: rotation.status(ca))


def test_importing_a_new_root_under_live_certificates_begins_a_rotation_to_it(server, tmp_path):
    ca = server(*QUICK)
    ca.entitle(WEB)
    old = ca.root_fingerprint
    plugged = PluggedIn(tmp_path / "cacerts")
    imported = plugged.put(tmp_path / "first")
    with ManySubscribers(ca.api_socket, 2, names=(WEB, "ROOTCA"), silent=["node-1"]) as proxies:
        proxies.wait_received(1)
        done = ca.cli("root", "import", plugged.folder, "--renew-unrecorded")
        assert f"to the root {imported[:12]}" in done.stderr and "meshca root status" in done.stderr, done.stderr
        report = wait_until(lambda: (now := rotation.status(ca))["step"] == "distribute" and now, 90,
                            lambda: rotation.status(ca))
        assert (report["old_root_id"], report["new_root_id"]) == (old, imported)
        assert rotation.root_states(ca)[old] == "active", "nobody is cut off"
        assert "certificates without a record may renew until" in ca.cli("status").stdout
        assert "renewal without a record" in ca.cli("check", check=False).stdout
        actions = ca.cli("audit", "list").stdout
        assert "unrecorded.allow" in actions and "root.prepare" in actions
    for row in subscribers(ca):
        ca.cli("subscriber", "evict", row["instance"])
    wait_until(lambda: rotation.status(ca)["step"] == "done", 90, lambda: json.dumps(rotation.status(ca), indent=1))
    assert rotation.root_states(ca) == {old: "retired", imported: "active"}
    files = request(ca, tmp_path / "after")
    assert openssl_verifies(tmp_path / "first" / "root-cert.pem", files / "cert-chain.pem", files / "cert-chain.pem") == ""
