"""What a user of an earlier release has on disk: today's server starts on it and goes on."""

import json
import pathlib
import shutil

import certificates
import pytest
import rotation

STATE = pathlib.Path(__file__).resolve().parents[1] / "storage" / "testdata" / "state-0.1.0"
WEB = "spiffe://cluster.local/ns/default/sa/web"
LIFETIMES = ("--leaf-lifetime", "825d", "--leaf-lifetime-max", "825d", "--authority-issuing-lifetime", "7300d",
             "--authority-root-lifetime", "14620d", "--rotation-skew", "0s", "--rotation-settle", "300ms")


@pytest.fixture
def upgraded(server, tmp_path):
    """A server of today on a copy of the folder that 0.1.0 left."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for name in ("meshca.db", "kek"):
        shutil.copyfile(STATE / name, state / name)
        (state / name).chmod(0o600)
    ca = server(*LIFETIMES, state_dir=state)
    # The mark of its clock lies where the folder was made. A user says that the clock is right, once.
    ca.cli("check", "--accept-clock", check=False)
    return ca


def holder(tmp_path):
    """The files that a renewal of `web` left with its holder."""
    folder = tmp_path / "web"
    shutil.copytree(STATE / "web", folder)
    (folder / "key.pem").chmod(0o600)
    return folder


def renew(ca, folder, check=True):
    return ca.cli("request", WEB, "--server", ca.grpc, "--cert", folder / "cert-chain.pem", "--key", folder / "key.pem",
                  "--out-dir", folder, check=check)


def listed(ca):
    return json.loads(ca.cli("cert", "list", "-o", "json").stdout)


def test_the_state_of_0_1_0_is_migrated_and_listed(upgraded):
    upgraded.cli("db", "check")
    names = [row["spiffe_id"].removeprefix("spiffe://cluster.local") for row in listed(upgraded)]
    assert names.count("/ns/default/sa/web") == 3
    assert names.count("/ns/default/sa/db") == 3
    entries = json.loads(upgraded.cli("entry", "list", "-o", "json").stdout)
    assert {entry["id"] for entry in entries} == {"web-uid-2000", "proxy-uid-2001"}
    assert (upgraded.state_dir / "meshca.db.schema-2-backup").exists()


def test_a_certificate_of_0_1_0_is_renewed_as_long_as_its_id_has_an_entry(upgraded, tmp_path):
    folder = holder(tmp_path)
    before = certificates.serial_hex(certificates.load((folder / "cert-chain.pem").read_text()))
    renew(upgraded, folder)
    leaf = next(row for row in listed(upgraded) if row.get("parent_serial") == before)
    assert leaf["spiffe_id"] == WEB
    upgraded.cli("entry", "delete", "web-uid-2000")
    refused = renew(upgraded, folder, check=False)
    assert refused.returncode != 0
    assert "registration entry" in refused.stderr and "meshca entry create" in refused.stderr, refused.stderr


def test_the_root_of_0_1_0_is_rotated_to_the_end(upgraded):
    """Who was left behind by the upgrade is cut off by the deadline: nobody renews in this test."""
    old = upgraded.root_fingerprint
    last = rotation.rotate(upgraded, "--emergency", "--deadline", "1s")
    assert last["step"] == "done", last
    roots = rotation.root_states(upgraded)
    assert [state for root, state in roots.items() if root != old] == ["active"], roots
    upgraded.cli("request", WEB + "-new", "--out-dir", upgraded.folder / "new",
                 "--token-file", token(upgraded, WEB + "-new"), "--server", upgraded.grpc)
    upgraded.cli("db", "check")
    upgraded.restart()
    upgraded.cli("db", "check")


def token(ca, spiffe_id):
    path = ca.folder / "token"
    path.write_text(ca.cli("token", "create", spiffe_id).stdout)
    return path
