"""What a stream of the Workload API costs the server, its own connection included, and how soon a new root reaches all."""

import pathlib
import resource
import socket
import struct
import time

import hpack
import pytest
from background import wait_until

pytestmark = pytest.mark.alone

WEB = "spiffe://cluster.local/ns/test/sa/web"
STREAMS = 1000
BYTES_A_STREAM_MAX = 20 * 1024
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Client:
    """One connection with one FetchX509SVID stream, as a library opens it; reads when it is told to."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        encoder = hpack.Encoder()
        headers = encoder.encode([(":method", "POST"), (":scheme", "http"), (":authority", "localhost"),
                                  (":path", "/SpiffeWorkloadAPI/FetchX509SVID"), ("content-type", "application/grpc"),
                                  ("te", "trailers"), ("workload.spiffe.io", "true")])
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) +
                            frame(HEADERS, END_HEADERS, 1, headers) + frame(DATA, END_STREAM, 1, bytes(5)))
        self.buffer, self.messages = b"", 0

    def wait_message(self, count):
        """Reads until `count` messages have come whole."""
        while self.messages < count:
            data = self.socket.recv(1 << 16)
            assert data, "the server hung up"
            self.buffer += data
            while len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) < 9 + size:
                    break
                kind, flags = self.buffer[3], self.buffer[4]
                payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
                if kind == DATA and size:
                    # Small enough for one frame, so each frame is a message.
                    assert int.from_bytes(payload[1:5], "big") == size - 5
                    self.messages += 1
                    grant = struct.pack(">I", size)
                    self.socket.sendall(frame(WINDOW_UPDATE, 0, 0, grant) + frame(WINDOW_UPDATE, 0, 1, grant))
                elif kind in (SETTINGS, PING) and not flags & ACK:
                    self.socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
                assert kind != HEADERS or not flags & END_STREAM, "the stream was ended"


def resident(ca):
    return int(pathlib.Path(f"/proc/{ca.pid}/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.timeout(600)
def test_a_thousand_streams_of_the_workload_api_stay_small(server, many_files):
    ca = server()
    ca.entitle(WEB)
    warm = [Client(ca.api_socket) for _ in range(20)]
    for client in warm:
        client.wait_message(1)
    before = resident(ca)
    clients = [Client(ca.api_socket) for _ in range(STREAMS)]
    try:
        for client in clients:
            client.wait_message(1)
        grown = (resident(ca) - before) / STREAMS
        print(f"{grown / 1024:.1f} KiB a stream with its connection")
        assert grown <= BYTES_A_STREAM_MAX

        begun = time.monotonic()
        ca.cli("root", "prepare", timeout=120)
        for client in clients:
            client.wait_message(2)
        print(f"a new root reached all {time.monotonic() - begun:.3f} s after its command was typed")
    finally:
        for client in [*warm, *clients]:
            client.socket.close()
    wait_until(lambda: "\nmeshca_rpc_buffered_bytes 0\n" in ca.get("/metrics"), 60, "the charge is given back")
