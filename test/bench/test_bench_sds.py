"""`meshca-bench sds` against a real server: every stream is counted, on both protocols and both ways in."""

import json
import subprocess

import pytest
from background import wait_until

STREAMS, CONNECTIONS, CHANGES = 200, 20, 2
WEB = "spiffe://cluster.local/ns/test/sa/web"


@pytest.fixture
def bench(build_dir):
    """Runs `meshca-bench sds ARGS --json`: exit code, report, what it said on stderr."""

    def run(*args):
        done = subprocess.run([build_dir / "test" / "bench" / "meshca-bench", "sds", *[str(arg) for arg in args], "--json"],
                              capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    return run


@pytest.fixture(params=["unix", "mtls"])
def way_in(request, server, tmp_path):
    """A server and the flags that lead to it."""
    ca = server("--sds-over-mtls")
    if request.param == "unix":
        ca.entitle(WEB)
        return ca, ("--address", f"unix:{ca.api_socket}")
    ca.cli("request", WEB, "--out-dir", tmp_path / "web")
    files = tmp_path / "web"
    return ca, ("--address", ca.grpc, "--root", files / "root-cert.pem", "--cert", files / "cert-chain.pem", "--key",
                files / "key.pem")


def triggers(ca):
    """A root joins the bundle, and leaves it."""
    for step in ("prepare", "abort"):
        yield from ("--trigger", f"{ca.meshca} root {step} --state-dir {ca.state_dir}")


@pytest.mark.parametrize("protocol", ["state", "delta"])
def test_every_stream_acknowledges_every_change(bench, way_in, protocol):
    ca, flags = way_in
    code, report, errors = bench(*flags, "--streams", STREAMS, "--connections", CONNECTIONS, "--changes", CHANGES,
                                 "--server-pid", ca.pid, *triggers(ca), *(["--delta"] if protocol == "delta" else []))
    assert code == 0, errors
    assert [change["streams"] for change in report["changes"]] == [STREAMS] * CHANGES
    assert report["ended_streams_by_code"] == {}
    assert report["responses"] == STREAMS * (1 + CHANGES)
    assert report["responses_checked_whole"] == STREAMS + CHANGES * STREAMS // 100
    for change in report["changes"]:
        assert sum(bucket["streams"] for bucket in change["histogram"]) == STREAMS
        assert 0 < change["first_reception_to_last_ack_ms"] <= change["trigger_to_last_ack_ms"]
        assert 0 < change["fan_out_cpu_us_per_stream"] <= change["server_cpu_us_per_stream"]
    # Its sign is anybody's: what another meshca maps too, of the program, is not private while that runs.
    assert isinstance(report["server_memory"]["private_kib_per_stream"], float)
    # And so the server says itself.
    bundle = json.loads(ca.cli("bundle", "show", "-o", "json").stdout)["sequence_number"]

    def held():
        rows = json.loads(ca.cli("subscriber", "list", "-o", "json").stdout)
        return {row["node"]: row["bundle_sequence"] for row in rows if row["node"].startswith("bench-")}

    # The last acknowledgements were sent when the load ended; the server may have yet to read them. What a process of this
    # host held ended with it.
    on_this_host = flags[1].startswith("unix:")
    left = {} if on_this_host else {f"bench-{number}": bundle for number in range(STREAMS)}
    wait_until(lambda: held() == left, 60, lambda: f"{bundle}: {held()}")


def test_the_publication_is_asked_for_after_each_change(bench, way_in):
    ca, flags = way_in
    code, report, errors = bench(*flags, "--streams", 5, "--changes", 1, *triggers(ca), "--published-at-command",
                                 "date --date='1 minute ago' +%s.%N")
    assert code == 0, errors
    (change,) = report["changes"]
    assert change["latency_from"] == "publication"
    assert change["publication_to_last_ack_ms"] > 59_000
    assert change["server_cpu_us_per_stream"] is None, "nobody said which process it is"


def test_keys_as_well(bench, server):
    ca = server()
    ca.entitle(WEB)
    code, report, errors = bench("--address", f"unix:{ca.api_socket}", "--streams", 3, "--resource", WEB, "--resource",
                                 "ROOTCA", "--changes", 0)
    assert code == 0, errors
    assert report["resources"] == [WEB, "ROOTCA"]
    assert report["responses"] == 3


@pytest.mark.parametrize(("flags", "words", "ended"), [
    (["--resource", "nonsense", "--changes", "0"], "PERMISSION_DENIED", {"PermissionDenied": 3}),
    (["--wait", "5s"], "reached 0 of 3 streams", {}),  # The streams must get ready in that time, too.
    (["--trigger", "exit 7"], "`exit 7` exited with 7", {}),
    (["--connections", "4"], "no more connections than streams", {}),
    (["--server-pid", "2147483000"], "no process 2147483000", {}),
], ids=["refused", "no-change", "trigger-fails", "connections", "no-server-process"])
def test_failures_say_what_happened(bench, server, flags, words, ended):
    ca = server()
    ca.entitle(WEB)
    code, report, errors = bench("--address", f"unix:{ca.api_socket}", "--streams", 3, *flags)
    assert code == 1
    assert words in errors
    assert report["ended_streams_by_code"] == ended


def test_a_server_that_is_not_there(bench, tmp_path):
    code, _, errors = bench("--address", f"unix:{tmp_path}/none.sock", "--streams", 1)
    assert code == 1
    assert "none.sock" in errors and "No such file" in errors
