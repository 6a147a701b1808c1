"""h2spec, the conformance suite for HTTP/2 servers, against a server's TLS port."""

import fcntl
import os
import re
import subprocess
import xml.etree.ElementTree

import pytest

H2SPEC = "github.com/summerwind/h2spec/cmd/h2spec"
# Later tags have a go.mod without the version in its path, so that Go installs none of them by their name. Their list of
# cases is the same but for one. It has no go.mod: what it needs is pinned here, to what Debian 12's Go 1.19 builds.
GO_MOD = """module h2spec-for-tests

go 1.17

require (
\tgithub.com/fatih/color v1.15.0
\tgithub.com/spf13/cobra v1.7.0
\tgithub.com/summerwind/h2spec v2.2.1+incompatible
\tgolang.org/x/net v0.17.0
)
"""

# What fails, and why, is explained in ca/rpc/README.md.
EXPLAINED = {
    "generic/2: Sends a WINDOW_UPDATE frame on half-closed (remote) stream",
    "generic/2: Sends a PRIORITY frame on half-closed (remote) stream",
    "http2/5.1.2: Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded",
    "http2/5.1: closed: Sends a DATA frame after sending RST_STREAM frame",
    "http2/5.1: closed: Sends a DATA frame",
    "http2/5.3.1: Sends PRIORITY frame that depend on itself",
}
# These break a rule in a request that is already refused: whether the answer or the breach is first, chance decides.
# They may fail by the answer, and by nothing else.
BEHIND_THE_ANSWER = {
    "http2/5.1: half closed (remote): Sends a DATA frame",
    "http2/6.1: Sends a DATA frame with invalid pad length",
    "http2/6.1: Sends a DATA frame on the stream that is not in \"open\" or \"half-closed (local)\" state",
    "http2/6.9: Sends a WINDOW_UPDATE frame with a flow control window increment of 0 on a stream",
    "http2/6.9.1: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream",
    "http2/8.1: Sends a second HEADERS frame without the END_STREAM flag",
    "http2/8.1.2.1: Sends a HEADERS frame that contains a pseudo-header field as trailers",
    "http2/8.1.2.6: Sends a HEADERS frame with the \"content-length\" header field which does not equal the DATA frame "
    "payload length",
    "http2/8.1.2.6: Sends a HEADERS frame with the \"content-length\" header field which does not equal the sum of the "
    "multiple DATA frames payload length",
}
# They wait for DATA, and a refusal has none.
SKIPPED = 4
CASES = 145


@pytest.fixture(scope="session")
def h2spec(build_dir):
    """The command, built once a build tree."""
    folder = build_dir / "test/interop/rpc/h2spec"
    folder.mkdir(parents=True, exist_ok=True)
    command = folder / "h2spec"
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Several pytest workers may want it.
        if not command.exists():
            (folder / "go.mod").write_text(GO_MOD, encoding="ascii")
            done = subprocess.run(["go", "build", "-o", command, H2SPEC], env={**os.environ, "GOFLAGS": "-mod=mod"},
                                  cwd=folder, capture_output=True, text=True, timeout=280, check=False)
            assert done.returncode == 0, done.stderr
    return command


def run(h2spec, host_port, folder):
    """{"http2/6.9: description": None, "skipped", or what came instead}"""
    host, port = host_port
    report = folder / "report.xml"
    done = subprocess.run([h2spec, "-t", "-k", "-h", host, "-p", str(port), "-o", "10", "-j", report], capture_output=True,
                          text=True, timeout=280, check=False)
    assert report.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    results = {}
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{case.get('package')}: {case.get('classname')}"
        assert name not in results, name
        failure, skipped = case.find("failure"), case.find("skipped")
        if failure is None:
            failure = case.find("error")
        results[name] = "skipped" if skipped is not None else None if failure is None else failure.text
    return results


@pytest.mark.all_only
@pytest.mark.timeout(600)
def test_h2spec_finds_nothing_that_is_not_explained(h2spec, server, tmp_path):
    host, port = server().grpc.rsplit(":", 1)
    results = run(h2spec, (host, int(port)), tmp_path)
    assert len(results) == CASES
    known = EXPLAINED | BEHIND_THE_ANSWER
    assert known <= set(results), "a case of the list has another name now"
    failed = {name: text for name, text in results.items() if text not in (None, "skipped")}
    assert not {name: text for name, text in failed.items() if name not in known}
    assert EXPLAINED <= set(failed), "explained, and passes now: take it out of the list and of ca/rpc/README.md"
    for name in BEHIND_THE_ANSWER & set(failed):
        actual = failed[name].splitlines()[-1]
        assert re.match(r"(HEADERS|RST_STREAM|WINDOW_UPDATE) Frame|Timeout$", actual), (name, actual)
    assert sum(text == "skipped" for text in results.values()) == SKIPPED
