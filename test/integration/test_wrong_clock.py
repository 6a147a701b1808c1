"""A running server whose wall clock is wrong for a while: Debian's faketime moves it, the boot clock stays as it is."""

import datetime
import json
import os
import re
import subprocess
import time

import grpc
import grpc_messages
import pytest
from background import Background, wait_until
from cryptography import x509
from moved_clock import MovedClock, faketime_library
from sds_stream import Stream, secrets

WEB = "spiffe://cluster.local/ns/test/sa/web"
WRONG_SECONDS = 8


@pytest.fixture
def clock(tmp_path):
    return MovedClock(tmp_path)


@pytest.fixture
def ca(server, clock):
    made = server(env=clock.env())
    # What a user types goes by the true time.
    made.env = clock.without(made.env)
    made.cli("entry", "create", WEB, "--selector", f"unix:uid:{os.getuid()}")
    return made


def steady(ca):
    return re.search(r"^meshca_clock_steady(?:\{\})? (\d)", ca.get("/metrics"), re.M).group(1) == "1"


def ready(ca):
    try:
        return "ok" in ca.get("/readyz").lower()
    except OSError:
        return False


def valid_now(certificate):
    now = datetime.datetime.now(datetime.timezone.utc)
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


class Subscriber:
    """One SDS stream of a node, and the newest chain it was sent."""

    def __init__(self, channel, node):
        self.stream = Stream(channel, "StreamSecrets", timeout=300)
        self.node = node.encode()
        self.chain = None
        self.stream.ask([WEB], node=b"\n" + bytes([len(self.node)]) + self.node)

    def take(self):
        """Waits for one response and acknowledges it."""
        response = self.stream.next()
        self.stream.ask([WEB], nonce=response.nonce)
        if WEB in secrets(response):
            pem = secrets(response)[WEB].tls_certificate.certificate_chain.inline_bytes
            self.chain = x509.load_pem_x509_certificates(pem)
        return self.chain


def serves(channel, subscriber):
    """Takes one response; one whose stream was ended because nothing could be signed asks again, as a proxy does."""
    try:
        subscriber.take()
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        subscriber.__init__(channel, subscriber.node.decode())
    return subscriber.chain is not None and valid_now(subscriber.chain[0])


def subscribers(ca):
    return {row["node"]: row for row in json.loads(ca.cli("subscriber", "list", "-o", "json").stdout)}


def recorded(ca):
    return {row["serial"] for row in json.loads(ca.cli("cert", "list", "-o", "json").stdout)}


def actions(ca):
    return [entry["action"] for entry in json.loads(ca.cli("audit", "list", "-o", "json").stdout)]


def tls_verifies(ca, roots):
    """The verdict of `openssl s_client` at the true time, trusting the root alone."""
    done = subprocess.run(["openssl", "s_client", "-connect", ca.grpc, "-CAfile", roots, "-verify_return_error",
                           "-verify_hostname", "localhost", "-alpn", "h2"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode == 0 and "Verify return code: 0 (ok)" in done.stdout


@pytest.mark.parametrize("offset", ["+29d", "+13h", "-1h"])
def test_a_clock_wrong_for_eight_seconds_costs_at_most_what_was_made_meanwhile(ca, clock, offset, tmp_path):
    roots = tmp_path / "roots.pem"
    roots.write_text(ca.root_pem, encoding="utf-8")
    with grpc_messages.unix_channel(ca.api_socket) as channel:
        stays = Subscriber(channel, "stays")
        leaves = Subscriber(channel, "leaves")
        for subscriber in (stays, leaves):
            assert valid_now(subscriber.take()[0])
        wait_until(lambda: len([r for r in subscribers(ca).values() if r["certificate_expires"]]) == 2, 60, "both known")
        leaves.stream.cancel()
        wait_until(lambda: not subscribers(ca)["leaves"]["connected"], 60, "one has left")
        wait_until(lambda: ready(ca), 60, "ready before")
        before = recorded(ca)

        clock.set(offset)
        began = time.monotonic()
        wait_until(lambda: not steady(ca), 60, "the server sees that its clock is wrong")
        wait_until(lambda: not ready(ca), 60, "what would be signed is of no use to anybody, and it says so")
        newcomer = Subscriber(channel, "newcomer")
        time.sleep(max(0.0, began + WRONG_SECONDS - time.monotonic()))
        clock.set("+0")

        wait_until(lambda: steady(ca) and ready(ca), 60, ca.log)
        ca.cli("request", WEB, "--out-dir", tmp_path / "out")
        chain = x509.load_pem_x509_certificates((tmp_path / "out" / "cert-chain.pem").read_bytes())
        assert all(valid_now(certificate) for certificate in chain)
        wait_until(lambda: tls_verifies(ca, roots), 60, "the server's own certificate")
        # Whoever came meanwhile has a key that is valid now, or gets one at once; it may have to ask again, as proxies do.
        wait_until(lambda: serves(channel, newcomer), 60, "the newcomer holds a key that is valid now")
        if not valid_now(stays.chain[0]):
            stays.take()
        assert valid_now(stays.chain[0])
        assert "leaves" in subscribers(ca), "who left is remembered"
        assert recorded(ca) >= before, "nothing was pruned"
        assert not [action for action in actions(ca) if "retire" in action]
        facts = ca.cli("check", check=False).stdout
        assert re.search(r"clock.*ok|ok.*clock", facts), facts
        newcomer.stream.cancel()
        stays.stream.cancel()


def test_the_operators_word_heals_a_clock_that_was_ahead_and_stays_right(ca, clock, tmp_path):
    clock.set("-1h")
    wait_until(lambda: not steady(ca), 60, "the clock is behind")
    assert "check --accept-clock" in ca.cli("check", check=False).stdout
    ca.cli("check", "--accept-clock")
    wait_until(lambda: steady(ca) and ready(ca), 60, ca.log)
    ca.cli("request", WEB, "--out-dir", tmp_path / "out")
    # Back at the true time it is an hour ahead: the operator says once more that it is right, and all is well.
    clock.set("+0")
    wait_until(lambda: not steady(ca), 60, "ahead of what was accepted")
    ca.cli("check", "--accept-clock")
    wait_until(lambda: steady(ca) and ready(ca), 60, ca.log)
    ca.cli("request", WEB, "--out-dir", tmp_path / "out")


@pytest.mark.parametrize("year", [1970, 2000, 2016])
def test_no_trust_domain_begins_before_the_clock_is_set(meshca, tmp_path, year):
    env = {"LD_PRELOAD": faketime_library(), "FAKETIME": f"@{year}-01-02 00:00:00", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
           "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [meshca, "serve", "--state-dir", tmp_path / "state", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    serve = Background(command, tmp_path / "stderr.log", env, tmp_path)
    assert serve.process.wait(60) == 1
    assert f"says {year}-01-02" in serve.stderr_text()
    assert "Set the clock first" in serve.stderr_text()
    # Nothing was made: with the clock set it starts.
    del env["FAKETIME"], env["LD_PRELOAD"]
    second = Background(command, tmp_path / "stderr2.log", env, tmp_path)
    second.wait_for_line("next")
    second.terminate()
