"""Clients that attack: what they cost in memory and CPU, and what another client's calls take meanwhile.

Each flood comes over TCP from threads of this process, all from one address. The other client is another source: it
uses the Unix socket, on the same loops.
"""

import contextlib
import os
import resource
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

import pytest
import raw_http2
from background import wait_until
from hyperframe.frame import PingFrame, SettingsFrame, WindowUpdateFrame
from raw_http2 import ENHANCE_YOUR_CALM, FULL_DUPLEX, PoliteClient, Raw, frame_bytes, request_headers

pytestmark = pytest.mark.alone

MIB = 1024 * 1024
GROWTH_MAX = 50 * MIB
# On two busy cores; an idle server answers in 0.0001. The longest of all calls would tell of the machine, which stands still
# for a second now and then: one call in twenty may be longer.
LATENCY_MEDIAN_MAX, LATENCY_P95_MAX = 0.05, 1.0


def p95(latencies):
    return sorted(latencies)[len(latencies) * 95 // 100]


@contextlib.contextmanager
def watched(server, growth_max=GROWTH_MAX):
    """Calls politely throughout, watches the server's memory, and judges both at the end."""
    polite = subprocess.Popen([sys.executable, raw_http2.__file__, server.unix_path], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    assert polite.stdout.readline() == "ready\n"
    before, peak = server.process.resident_bytes(), 0
    cpu = server.process.cpu_seconds()
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, server.process.resident_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
        done.wait(0.3)  # At least so long, also when the server ends the flood sooner.
    finally:
        done.set()
        thread.join()
        answers, _ = polite.communicate()
    assert polite.returncode == 0, "the polite client failed"
    latencies = [float(line) for line in answers.split()]
    latencies.sort()
    growth, used = (peak - before) / MIB, server.process.cpu_seconds() - cpu
    text = (f"memory +{growth:.1f} MiB, CPU {used:.2f} s, {len(latencies)} polite calls: median "
            f"{1000 * latencies[len(latencies) // 2]:.2f} ms, longest {1000 * latencies[-1]:.1f} ms")
    print(text)
    assert peak - before < growth_max, text
    assert latencies[len(latencies) // 2] < LATENCY_MEDIAN_MAX, text
    assert p95(latencies) < LATENCY_P95_MAX, text


def attack(address, make, batches):
    """Sends `batches` of make(raw, i) over as many connections as it takes; returns how many it took."""
    connections, batch = 0, 0
    while batch < batches:
        connections += 1
        try:
            raw = Raw(address)
        except OSError:
            continue
        while batch < batches:
            batch += 1
            if not raw.send(make(raw, batch)):
                break
        raw.close()
    return connections


def reset_blocks(count, per_block):
    """`count` streams opened and reset at once, as bytes: (block, first stream id of the next)."""
    raw_headers = b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode()
                           for n, v in request_headers(path=FULL_DUPLEX))
    blocks, stream = [], 1
    for _ in range(count // per_block):
        block = bytearray()
        for _ in range(per_block):
            block += frame_bytes(1, 4, stream, raw_headers) + frame_bytes(3, 0, stream, struct.pack(">I", 8))
            stream += 2
        blocks.append(bytes(block))
    return blocks


@pytest.mark.timeout(300)
def test_rapid_reset_of_300000_streams(edge):
    """CVE-2023-44487, reconnecting each time the server hangs up."""
    server = edge()
    blocks = reset_blocks(10_000, 200)
    attempted = 0
    with watched(server):
        threads = []

        def run():
            nonlocal attempted
            sent = 0
            while sent < 75_000:
                try:
                    raw = Raw(server.host_port)
                except OSError:
                    sent += 200
                    continue
                for block in blocks:
                    sent += 200
                    if sent > 75_000 or not raw.send(block):
                        break
                raw.close()
            attempted += sent

        for _ in range(4):
            threads.append(threading.Thread(target=run))
            threads[-1].start()
        for thread in threads:
            thread.join()
    assert attempted >= 300_000
    assert server.stats()["limits"]["resets"] > 0


@pytest.mark.timeout(300)
def test_300000_streams_opened_and_the_connection_dropped(edge):
    """Rapid reset by reconnecting: nothing is reset, the streams are left open."""
    server = edge()
    block = b"".join(reset_blocks(200, 200))
    opened = bytearray()
    position = 0
    while position < len(block):  # Without the resets.
        length = int.from_bytes(block[position:position + 3], "big") + 9
        if block[position + 3] == 1:
            opened += block[position:position + length]
        position += length
    with watched(server):
        for _ in range(1_500):
            try:
                raw = Raw(server.host_port)
                raw.send(bytes(opened))
                raw.close()
            except OSError:
                pass
    assert server.stats()["limits"]["source_over_rate"] > 0


def test_ping_flood(edge):
    server = edge()
    pings = PingFrame(0, b"12345678").serialize() * 1_000
    with watched(server):
        attack(server.host_port, lambda raw, i: pings, 2_000)
    assert server.stats()["limits"]["pings"] > 0


def test_settings_flood(edge):
    server = edge()
    settings = SettingsFrame(0, {3: 100}).serialize() * 1_000
    with watched(server):
        attack(server.host_port, lambda raw, i: settings, 1_000)
    assert server.stats()["limits"]["settings"] > 0


def test_window_update_flood(edge):
    server = edge()
    updates = WindowUpdateFrame(0, window_increment=1).serialize() * 5_000
    with watched(server):
        attack(server.host_port, lambda raw, i: updates, 400)
    assert server.stats()["limits"]["control_frames"] > 0


def test_continuation_flood(edge):
    """A header block that never ends (CVE-2024-28182)."""
    server = edge()
    block = b"\0\1x" + b"\x7f\x81\x7e" + b"a" * 16_000
    with watched(server):
        attack(server.host_port,
               lambda raw, i: frame_bytes(1, 0, 1, b"") + frame_bytes(9, 0, 1, block) * 64, 1_000)


def test_header_bomb(edge):
    """One byte on the wire for each 4 KB header: HPACK's dynamic table, filled by hand."""
    server = edge()
    # Literal with indexing: name "x", value of 4000 bytes; then the same entry again and again by its index.
    value = b"v" * 3_900
    literal = b"\x40\x01x" + b"\x7f" + bytes([(3_900 - 127) % 128 + 128, (3_900 - 127) // 128]) + value

    def bomb(raw, i):
        headers = raw.encoder.encode(request_headers()) if i == 0 else b""
        return frame_bytes(1, 4, 1, headers + literal + b"\xbe" * 12_000)

    with watched(server):
        attack(server.host_port, bomb, 500)
    assert server.stats()["limits"]["header_bytes"] > 0


def test_metadata_of_open_calls(edge):
    """Legal calls, held open, each with 14 KB of metadata: from the second one on that is four bytes on the wire."""
    server = edge()
    source_max = 64 * MIB
    headers = [*request_headers(path=FULL_DUPLEX), *[("x-large", "m" * 3_600)] * 4]
    raws = []
    with watched(server, growth_max=105 * MIB):  # 64 MiB and what the calls are beside; 9,600 whole ones were 150.
        for _ in range(12):
            raws.append(Raw(server.host_port))
            raws[-1].send(b"".join(raws[-1].headers(stream, headers) for stream in range(1, 1_601, 2)))
        wait_until(lambda: server.stats()["limits"]["buffered_bytes"] > 0, 60, "the limit")
    stats = server.stats()
    assert source_max * 0.9 < stats["buffered_bytes"] <= source_max
    assert stats["streams_open"] > 4_000
    for raw in raws:
        raw.close()
    wait_until(lambda: server.stats()["buffered_bytes"] == 0, 60, "room again")


def test_clients_that_never_read(edge):
    """Each asks for megabytes on many streams, gives the largest windows, and reads nothing."""
    server = edge()
    # StreamingOutputCallRequest{response_parameters: 8 x {size: 100000}}
    message = b"\x12\x04\x08\xa0\x8d\x06" * 8
    message = b"\0" + struct.pack(">I", len(message)) + message
    raws = []
    with watched(server, growth_max=200 * MIB):
        for _ in range(60):
            raw = Raw(server.host_port)
            raws.append(raw)
            raw.socket.settimeout(1)
            raw.send(SettingsFrame(0, {4: 2**31 - 1}).serialize() +
                     WindowUpdateFrame(0, window_increment=2**31 - 1 - 65535).serialize())
            for stream in range(1, 101, 2):
                try:
                    if not raw.send(raw.headers(stream, request_headers(path=FULL_DUPLEX)) +
                                    frame_bytes(0, 0, stream, message)):
                        break
                except TimeoutError:
                    break
        # The flood goes on by itself, what was asked for is being written: until it has met the bound and stands there.
        deadline = time.monotonic() + 60
        before, stats = None, server.stats()
        while stats["limits"]["buffered_bytes"] == 0 or stats["buffered_bytes"] != before:
            assert stats["buffered_bytes"] <= 64 * MIB
            assert time.monotonic() < deadline, f"never at the bound: {stats}"
            time.sleep(0.02)
            before, stats = stats["buffered_bytes"], server.stats()
    assert server.stats()["buffered_bytes"] <= 64 * MIB


@pytest.mark.timeout(300)
def test_4000_stalled_handshakes(edge):
    """Half a ClientHello each: they cost little, and TLS clients get through once those time out."""
    server = edge(tls=True)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 40
    before = server.process.resident_bytes()
    raise_descriptor_limit(6_000)
    sockets = []
    for _ in range(4_000):
        sockets.append(socket.create_connection(server.host_port))
        with contextlib.suppress(ConnectionError):  # One whose time was over before it said anything.
            sockets[-1].sendall(hello)
    polite = PoliteClient(server.unix_path)
    latencies = sorted(polite.call() for _ in range(100))
    growth = server.process.resident_bytes() - before
    print(f"memory +{growth / MIB:.1f} MiB, longest polite call {1000 * latencies[-1]:.1f} ms")
    assert growth < GROWTH_MAX
    assert p95(latencies) < LATENCY_P95_MAX
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(server.host_port, 60) as plain, context.wrap_socket(plain) as tls:
        assert tls.selected_alpn_protocol() == "h2"
    for one in sockets:
        one.close()


@pytest.mark.timeout(300)
def test_10000_idle_connections(edge):
    """Nothing is asked over them: about 16 KB each, and others are served as ever."""
    server = edge()
    raise_descriptor_limit(10_500)
    raws = []
    with watched(server, growth_max=250 * MIB):
        for _ in range(10_000):
            raws.append(Raw(server.host_port))
        wait_until(lambda: server.stats()["connections_open"] >= 10_000, 60, lambda: f"all are accepted: {server.stats()}")
    wait_until(lambda: server.stats()["connections_open"] == 10_000, 60, lambda: f"all are kept: {server.stats()}")
    for raw in raws:
        raw.close()


def raise_descriptor_limit(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        assert hard == resource.RLIM_INFINITY or hard >= wanted, f"this test needs {wanted} descriptors ({os.getpid()})"
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def test_the_offender_is_told(edge):
    server = edge()
    raw = Raw(server.host_port)
    raw.send(PingFrame(0, b"12345678").serialize() * 150)
    assert raw.end() == (ENHANCE_YOUR_CALM, "pings")
