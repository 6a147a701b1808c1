"""A local user who takes every connection he can get: operators, probes, other users and proven callers are served."""

import collections
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import certificates
import grpc_messages
import meshca_process
import pytest
import place_taker
from background import wait_until

pytestmark = pytest.mark.alone

CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
WEB = "spiffe://cluster.local/ns/test/sa/web"
STRANGER = 65533
SHUT_OUT = ("connections_per_source", "connections_global", "gave_way")
WITHIN = 60  # seconds, for one call with its new connection: who is shut out waits for ever; an idle machine needs 0.01


@contextlib.contextmanager
def serving(meshca, descriptors):
    """A server with that RLIMIT_NOFILE (None: as it is here), its API socket where any user reaches it."""
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    ca = meshca_process.MeshcaProcess(meshca, folder, folder / "state", ["--api-socket", str(folder / "api.sock")])
    command = ca.command()
    if descriptors:
        ca.command = lambda: ["prlimit", f"--nofile={descriptors}:{descriptors}", *command]
    try:
        yield ca.start()
    finally:
        ca.stop()
        shutil.rmtree(folder)


@contextlib.contextmanager
def attacker(uid, kind, where):
    process = subprocess.Popen([sys.executable, place_taker.__file__, str(uid), kind, where], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def ask(channel, key, spiffe_id=WEB):
    request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")(csr=certificates.csr_pem(key, spiffe_id))
    with channel:
        return list(grpc_messages.call(channel, CREATE)(request, timeout=WITHIN, wait_for_ready=True).cert_chain)


def by_socket(ca, key):
    return ask(grpc_messages.unix_channel(ca.api_socket), key)


def by_certificate(ca, key, chain):
    return ask(grpc_messages.tls_channel(ca.grpc, ca.roots, "".join(chain[:-1]).encode(), certificates.key_pem(key)), key)


def metric(ca, name, **labels):
    wanted = "".join(f'(?=[^}}]*{key}="{value}")' for key, value in labels.items())
    braces = rf"\{{{wanted}[^}}]*\}}" if labels else ""
    found = re.search(rf"^{name}{braces} (\S+)$", ca.get("/metrics", WITHIN), re.M)
    return float(found.group(1)) if found else 0.0


def served(ca, key, chain):
    """Seconds of each: an operator's command, the probe, another uid by the API socket, a certificate from 127.0.0.1."""
    times = []
    for what in (lambda: ca.cli("status", timeout=WITHIN), lambda: ca.get("/readyz", WITHIN),
                 lambda: by_socket(ca, key), lambda: by_certificate(ca, key, chain)):
        began = time.monotonic()
        what()
        times.append(time.monotonic() - began)
    return times


@pytest.mark.timeout(300)
@pytest.mark.parametrize("descriptors", [1024, None], ids=["1024_descriptors", "as_many_as_here"])
def test_a_local_user_who_takes_every_connection_shuts_nobody_out(meshca, descriptors):
    with serving(meshca, descriptors) as ca:
        ca.entitle(WEB)
        ca.roots = ca.root_pem.encode()
        key = certificates.new_key()
        chain = by_socket(ca, key)
        began = time.monotonic()
        with attacker(STRANGER, "unix", ca.api_socket) as unix, attacker(STRANGER, "idle", ca.grpc) as idle:
            for process in (unix, idle):
                line = process.stdout.readline()
                assert line.startswith("full "), line
                print(process.args[3], line.strip())
            slowest = [max(column) for column in zip(*[served(ca, key, chain) for _ in range(5)])]
            print("slowest of five: meshca status {:.3f} s, /readyz {:.3f} s, another uid {:.3f} s, a certificate {:.3f} s"
                  .format(*slowest))
            places = metric(ca, "meshca_rpc_connections_max", listeners="public")
            if descriptors:
                assert places < descriptors
            assert sum(metric(ca, "meshca_rpc_limits_total", limit=limit) for limit in SHUT_OUT) > 0
            assert metric(ca, "meshca_rpc_limits_total", limit="descriptors") == 0
            assert metric(ca, "meshca_rpc_connections_by_kind", kind="socket") < places * 0.8
            assert metric(ca, "process_open_fds") <= metric(ca, "process_max_fds")
        minutes = (time.monotonic() - began) / 60
        lines = [line for line in ca.log().splitlines() if any(f"limit={limit} " in line for limit in SHUT_OUT)]
        told = collections.Counter((re.search("limit=([a-z_]+)", line)[1], "uid" in line) for line in lines)
        assert told and max(told.values()) <= 1 + minutes, "once a minute for each limit and kind of caller"
        assert any(f"uid {STRANGER}" in line or "caller=loopback" in line for line in lines)
        assert all(" do=" in line for line in lines)


@pytest.mark.timeout(300)
def test_failing_handshakes_of_strangers_shut_no_certificate_out(meshca):
    with serving(meshca, None) as ca:
        ca.entitle(WEB)
        ca.roots = ca.root_pem.encode()
        key = certificates.new_key()
        chain = by_socket(ca, key)
        quiet = sorted(timed(lambda: by_certificate(ca, key, chain)) for _ in range(10))
        with attacker(os.geteuid(), "fail", ca.grpc) as one, attacker(STRANGER, "fail", ca.grpc) as other:
            paced = lambda: metric(ca, "meshca_rpc_limits_total", limit="handshakes_paced") > 0  # noqa: E731
            # It is refilled meanwhile: on a slow machine, failures that cost the server a signature are too few to empty it.
            with attacker(os.geteuid(), "nonsense", ca.grpc):
                wait_until(paced, 60, "the burst of allowed failures to be used up")
            before = metric(ca, "meshca_rpc_handshakes_total", result="failed"), time.monotonic()
            busy = sorted(timed(lambda: by_certificate(ca, key, chain)) for _ in range(20))
            failed = metric(ca, "meshca_rpc_handshakes_total", result="failed") - before[0]
            rate = failed / (time.monotonic() - before[1])
        print(f"{rate:.0f} failed handshakes a second; a new connection and a call with a certificate: quiet median "
              f"{quiet[5]:.3f} s, now median {busy[10]:.3f} s, longest {busy[-1]:.3f} s")
        assert metric(ca, "meshca_rpc_limits_total", limit="source_over_rate") == 0
        assert one.returncode is not None and other.returncode is not None


def timed(what):
    began = time.monotonic()
    what()
    return time.monotonic() - began
