"""HTTP/2 by hand: a connection that sends any bytes, and a well-behaved client to measure beside it."""

import os
import socket
import struct
import sys
import time

import hpack
from hyperframe.frame import (DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_MESSAGE = b"\0\0\0\0\0"
ENHANCE_YOUR_CALM = 11
GRPC_HEADERS = [(":method", "POST"), (":scheme", "http"), (":path", "/grpc.testing.TestService/EmptyCall"),
                (":authority", "edge"), ("content-type", "application/grpc"), ("te", "trailers")]
FULL_DUPLEX = "/grpc.testing.TestService/FullDuplexCall"


def request_headers(**replaced):
    """gRPC's request headers; `path="/x"` replaces ":path"."""
    return [(name, replaced.get(name.lstrip(":"), value)) for name, value in GRPC_HEADERS]


class Raw:
    """A connection after preface and SETTINGS; what it gets is parsed frame by frame."""

    def __init__(self, address, preface=PREFACE, settings=True, timeout=60):
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.buffer = b""
        self.send(preface + (SettingsFrame(0).serialize() if settings else b""))

    def send(self, data):
        """All of it; False when the server has hung up."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def headers(self, stream, headers=None):
        frame = HeadersFrame(stream, self.encoder.encode(headers or GRPC_HEADERS))
        frame.flags.add("END_HEADERS")
        return frame.serialize()

    def frames(self):
        """Frames until the server closes."""
        while True:
            while len(self.buffer) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(self.buffer[:9]))
                if len(self.buffer) < 9 + length:
                    break
                frame.parse_body(memoryview(self.buffer[9:9 + length]))
                self.buffer = self.buffer[9 + length:]
                yield frame
            try:
                data = self.socket.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                return
            if not data:
                return
            self.buffer += data

    def end(self):
        """Reads to the end; returns (error code of the last GOAWAY or None, its text)."""
        code, text = None, ""
        for frame in self.frames():
            if isinstance(frame, GoAwayFrame):
                code, text = frame.error_code, bytes(frame.additional_data).decode()
        return code, text

    def reset_of(self, stream):
        """The error code of RST_STREAM on `stream`, or of GOAWAY when that comes instead."""
        for frame in self.frames():
            if isinstance(frame, RstStreamFrame) and frame.stream_id == stream:
                return frame.error_code
            if isinstance(frame, GoAwayFrame):
                return frame.error_code
        return None

    def close(self):
        self.socket.close()


class PoliteClient:
    """One call at a time, each measured."""

    def __init__(self, address):
        self.raw = Raw(address)
        self.stream = -1

    def call(self):
        """EmptyCall; its duration in seconds."""
        self.stream += 2
        data = DataFrame(self.stream, EMPTY_MESSAGE)
        data.flags.add("END_STREAM")
        start = time.monotonic()
        assert self.raw.send(self.raw.headers(self.stream) + data.serialize())
        status = None
        for frame in self.raw.frames():
            if isinstance(frame, HeadersFrame):
                status = dict(self.raw.decoder.decode(bytes(frame.data))).get("grpc-status", status)
                if "END_STREAM" in frame.flags:
                    break
            elif isinstance(frame, (PingFrame, SettingsFrame)) and "ACK" not in frame.flags:
                frame.flags.add("ACK")
                if isinstance(frame, SettingsFrame):
                    frame.settings = {}
                self.raw.send(frame.serialize())
        assert status == "0"
        return time.monotonic() - start


def frame_bytes(kind, flags, stream, payload=b""):
    """A frame of any content, legal or not."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def main():
    """`raw_http2.py SOCKET`: calls until stdin ends, then prints each call's seconds, one a line. A process of its own,
    because a flood in Python threads would be what it measures."""
    client = PoliteClient(sys.argv[1])
    for _ in range(20):
        client.call()
    print("ready", flush=True)
    os.set_blocking(0, False)
    latencies = []
    while sys.stdin.buffer.read(1) is None:
        latencies.append(client.call())
        time.sleep(0.005)
    print("\n".join(map(str, latencies)))


if __name__ == "__main__":
    main()
