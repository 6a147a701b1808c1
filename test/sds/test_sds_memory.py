"""What one uid can make the server hold by SDS streams, and what is left of it afterwards.

The attacker writes HTTP/2 by hand: ten connections, on each as many streams as the server allows, each with 59 KB of
names that it may not have, beside the one that it may.
"""

import pathlib
import re
import socket
import struct

import grpc_messages
import hpack
import pytest
from background import wait_until
from sds_stream import DISCOVERY, SERVICE, Stream, secrets

pytestmark = pytest.mark.alone

WEB = "spiffe://cluster.local/ns/test/sa/web"
MIB = 1024 * 1024
CONNECTIONS, STREAMS = 10, 1024
# The buffer budget of one source is 64 MiB; connections, streams and the allocator's own come on top.
GROWTH_MAX = 100 * MIB
LEFT_MAX = 60 * MIB
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Attacker:
    """One connection; waits for the connection's window as any client must."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.window, self.buffer = 65535, b""
        self.answered, self.refused = set(), set()
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) +
                            frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        encoder = hpack.Encoder()
        encoder.header_table_size = 0
        self.headers = encoder.encode([(":method", "POST"), (":scheme", "http"), (":authority", "localhost"),
                                       (":path", f"{SERVICE}/StreamSecrets"), ("content-type", "application/grpc"),
                                       ("te", "trailers")])

    def read(self):
        data = self.socket.recv(1 << 20)
        assert data, "the server hung up"
        self.buffer += data
        while len(self.buffer) >= 9:
            size = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + size:
                return
            kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
            payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
            if kind == WINDOW_UPDATE and stream == 0:
                self.window += int.from_bytes(payload, "big")
            elif kind == DATA:
                self.answered.add(stream)
            elif kind == HEADERS and flags & END_STREAM:
                self.refused.add(stream)
            elif kind in (SETTINGS, PING) and not flags & 1:
                self.socket.sendall(frame(kind, 1, 0, payload if kind == PING else b""))

    def open(self, stream, message):
        while self.window < len(message):
            self.read()
        self.window -= len(message)
        pieces = [message[i:i + 16384] for i in range(0, len(message), 16384)]
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, self.headers) +
                            b"".join(frame(DATA, 0, stream, piece) for piece in pieces))

    def wait_answers(self, count):
        while len(self.answered | self.refused) < count:
            self.read()


def resident(ca):
    return int(pathlib.Path(f"/proc/{ca.pid}/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.timeout(600)
def test_names_that_nobody_may_have_stay_within_the_callers_budget_and_are_given_back(server):
    ca = server()
    ca.entitle(WEB)
    request = grpc_messages.message(f"{DISCOVERY}.DiscoveryRequest")()
    request.node.id = "attacker"
    request.resource_names.extend(["ROOTCA", *(f"{WEB}/{number:03}/{'x' * 190}" for number in range(255))])
    message = request.SerializeToString()
    assert 58_000 < len(message) < 60_000
    framed = b"\0" + struct.pack(">I", len(message)) + message
    before = resident(ca)
    attackers = []
    try:
        for _ in range(CONNECTIONS):
            attacker = Attacker(ca.api_socket)
            attackers.append(attacker)
            for number in range(STREAMS):
                attacker.open(2 * number + 1, framed)
            attacker.wait_answers(STREAMS)
        grown = resident(ca) - before
        refused = sum(len(attacker.refused) for attacker in attackers)
        print(f"memory +{grown / MIB:.1f} MiB, {refused} of {CONNECTIONS * STREAMS} streams refused")
        assert grown < GROWTH_MAX
        assert refused > 0, "the budget was met"

        # Others are served: the operator, and whoever comes by TLS.
        ca.cli("status")
        with grpc_messages.tls_channel(ca.grpc, ca.root_pem.encode()) as channel:
            health = grpc_messages.call(channel, "/grpc.health.v1.Health/Check")
            assert health(grpc_messages.message("grpc.health.v1.HealthCheckRequest")(), timeout=60).status == 1
    finally:
        for attacker in attackers:
            attacker.socket.close()
    # All of the charge is given back; of the memory the allocator keeps what lies between others' pieces for the next.
    wait_until(lambda: re.search(r"^meshca_rpc_buffered_bytes 0$", ca.get("/metrics"), re.M), 60, "the charge is given back")
    wait_until(lambda: resident(ca) - before < LEFT_MAX, 60, lambda: f"+{(resident(ca) - before) / MIB:.1f} MiB stay")
    left = resident(ca) - before
    print(f"left: +{left / MIB:.1f} MiB")
    with grpc_messages.unix_channel(ca.api_socket) as channel:
        stream = Stream(channel, "StreamSecrets")
        stream.ask([WEB])
        assert WEB in secrets(stream.next()), "the same uid is served again"
        stream.cancel()
