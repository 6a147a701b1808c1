"""The keys of JWT-SVIDs through deaths of the server: by SIGKILL before and after each commit."""

import json
import subprocess

import jwt
from background import wait_until
from meshca_process import MeshcaProcess

WEB = "spiffe://cluster.local/ns/test/sa/web"
POINTS = {f"jwt.{step}.{when}" for step in ("publish", "activate", "taint") for when in ("before", "after")}


def keys(ca):
    """{kid: (state, tainted)} of every key; nothing while the server is down."""
    try:
        done = ca.cli("jwt", "keys", "--all", "-o", "json", check=False)
        return {key["key_id"]: (key["state"], key["tainted"]) for key in json.loads(done.stdout)["keys"]}
    except (ValueError, subprocess.SubprocessError):
        return {}


def in_state(ca, state):
    return [kid for kid, (each, _) in keys(ca).items() if each == state]


def until(ca, condition):
    """Starts the server again whenever it has died, until `condition` holds."""

    def holds():
        if not ca.background.running():
            ca.start()
        return condition()

    return wait_until(holds, 120, lambda: f"{keys(ca)} {ca.log()[-2000:]}")


def order(ca, *words, done):
    """Gives an order until it is carried out, which the server may die of before or after: so it is looked first whether it
    was carried out, and nothing is ordered of a server that cannot say so. `done` is told the keys."""

    def carried_out():
        known = keys(ca)
        if known and not done(known):
            ca.cli(*words, check=False)
            known = keys(ca)
        return known and done(known)

    until(ca, carried_out)


def test_killed_at_every_write_the_keys_rotate_once_and_a_taint_holds(build_dir, tmp_path):
    program = build_dir / "test" / "integration" / "meshca_with_faults"
    assert program.exists(), f"{program} is not built"
    faults = tmp_path / "faults"
    faults.mkdir()
    ca = MeshcaProcess(program, tmp_path, tmp_path / "state", ["--rotation-settle", "200ms"],
                       env={"MESHCA_FAULTS": str(faults)})
    ca.start()
    try:
        (first,) = keys(ca)
        order(ca, "jwt", "rotate", done=lambda known: len(known) == 2)
        until(ca, lambda: in_state(ca, "old") == [first])
        (second,) = in_state(ca, "active")
        order(ca, "jwt", "taint", second, done=lambda known: known.get(second) == ("retired", True))
        until(ca, lambda: {path.name for path in faults.iterdir()} == POINTS and in_state(ca, "active"))
        (third,) = in_state(ca, "active")
        assert set(keys(ca)) == {first, second, third}, "no step was done twice"
        bundle = json.loads(ca.cli("bundle", "show", "--format", "spiffe").stdout)
        assert {key["kid"] for key in bundle["keys"] if key["use"] == "jwt-svid"} == {first, third}
        token = ca.cli("jwt", "mint", WEB, "--audience", "api").stdout.strip()
        assert jwt.get_unverified_header(token)["kid"] == third
        ca.cli("db", "check")
    finally:
        ca.stop()


def test_after_a_restore_the_next_key_comes_and_the_bundle_says_so(server, tmp_path):
    ca = server("--rotation-settle", "200ms")
    (first,) = keys(ca)
    before = json.loads(ca.cli("bundle", "show", "-o", "json").stdout)["sequence_number"]
    ca.cli("db", "backup", tmp_path / "backup.db")
    ca.terminate()
    ca.cli("db", "restore", tmp_path / "backup.db")
    ca.start()
    wait_until(lambda: in_state(ca, "old") == [first], 60, lambda: keys(ca))
    assert len(in_state(ca, "active")) == 1
    after = json.loads(ca.cli("bundle", "show", "-o", "json").stdout)
    assert after["sequence_number"] > before and set(after["jwt_key_ids"]) == {first, *in_state(ca, "active")}
