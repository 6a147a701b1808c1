"""Frames that break RFC 9113: the offender gets the error the RFC names, the next client is served."""

import pytest
from edge_server import InteropServer
from hyperframe.frame import (ContinuationFrame, DataFrame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame,
                              RstStreamFrame, SettingsFrame, WindowUpdateFrame)
from raw_http2 import PREFACE, PoliteClient, Raw, frame_bytes, request_headers

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR = 0, 1, 3, 5, 6, 9


def continuation_after_nothing(raw):
    return ContinuationFrame(1, b"").serialize()


def data_before_headers(raw):
    return DataFrame(1, b"x").serialize()


def headers_on_stream_0(raw):
    return frame_bytes(1, 4, 0, raw.encoder.encode(request_headers()))


def even_stream(raw):
    return raw.headers(2)


def frame_above_the_maximum(raw):
    return frame_bytes(0, 0, 1, b"x" * 16385)


def ping_of_7_bytes(raw):
    return frame_bytes(6, 0, 0, b"1234567")


def ping_on_a_stream(raw):
    return frame_bytes(6, 0, 1, b"12345678")


def settings_of_5_bytes(raw):
    return frame_bytes(4, 0, 0, b"12345")


def settings_ack_with_payload(raw):
    return frame_bytes(4, 1, 0, b"123456")


def settings_window_too_large(raw):
    return SettingsFrame(0, {4: 2**31}).serialize()


def settings_frame_size_too_small(raw):
    return SettingsFrame(0, {5: 100}).serialize()


def window_of_zero_on_the_connection(raw):
    return frame_bytes(8, 0, 0, b"\0\0\0\0")


def window_overflow(raw):
    return WindowUpdateFrame(0, window_increment=2**31 - 1).serialize()


def reset_of_an_idle_stream(raw):
    return RstStreamFrame(1, error_code=8).serialize()


def reset_of_3_bytes(raw):
    return raw.headers(1) + frame_bytes(3, 0, 1, b"123")


def padding_longer_than_the_frame(raw):
    return raw.headers(1) + frame_bytes(0, 8, 1, b"\xff12")


def push_promise_from_a_client(raw):
    return frame_bytes(5, 4, 1, b"\0\0\0\2" + raw.encoder.encode(request_headers()))


def broken_header_block(raw):
    return frame_bytes(1, 4, 1, b"\xff\xff\xff\xff\xff\xff")


def another_frame_inside_a_header_block(raw):
    return HeadersFrame(1, raw.encoder.encode(request_headers())).serialize() + PingFrame(0, b"12345678").serialize()


CONNECTION_ERRORS = [
    (continuation_after_nothing, PROTOCOL_ERROR), (data_before_headers, PROTOCOL_ERROR),
    (headers_on_stream_0, PROTOCOL_ERROR), (even_stream, PROTOCOL_ERROR),
    (frame_above_the_maximum, FRAME_SIZE_ERROR), (ping_of_7_bytes, FRAME_SIZE_ERROR),
    (ping_on_a_stream, PROTOCOL_ERROR), (settings_of_5_bytes, FRAME_SIZE_ERROR),
    (settings_ack_with_payload, FRAME_SIZE_ERROR), (settings_window_too_large, FLOW_CONTROL_ERROR),
    (settings_frame_size_too_small, PROTOCOL_ERROR), (window_of_zero_on_the_connection, PROTOCOL_ERROR),
    (window_overflow, FLOW_CONTROL_ERROR), (reset_of_an_idle_stream, PROTOCOL_ERROR),
    (reset_of_3_bytes, FRAME_SIZE_ERROR), (padding_longer_than_the_frame, PROTOCOL_ERROR),
    (push_promise_from_a_client, PROTOCOL_ERROR), (broken_header_block, COMPRESSION_ERROR),
    (another_frame_inside_a_header_block, PROTOCOL_ERROR)]

STREAM_ERRORS = {
    "upper_case_name": [*request_headers(), ("X-Upper", "1")],
    "connection_header": [*request_headers(), ("connection", "keep-alive")],
    "te_gzip": [(n, "gzip" if n == "te" else v) for n, v in request_headers()],
    "pseudo_header_last": [*request_headers()[1:], request_headers()[0]],
    "unknown_pseudo_header": [(":unknown", "1"), *request_headers()],
    "two_paths": [(":path", "/x"), *request_headers()],
    "no_path": [h for h in request_headers() if h[0] != ":path"],
    "path_without_slash": request_headers(path="x"),
    "empty_path": request_headers(path=""),
    "no_method": [h for h in request_headers() if h[0] != ":method"],
    "no_scheme": [h for h in request_headers() if h[0] != ":scheme"],
    "two_methods": [(":method", "POST"), *request_headers()],
    "two_schemes": [(":scheme", "http"), *request_headers()],
    "two_authorities": [(":authority", "x"), *request_headers()],
    "pseudo_header_of_a_response": [(":status", "200"), *request_headers()],
    "pseudo_header_in_capitals": [(":Path", "/x"), *request_headers()],
    "control_byte_in_authority": request_headers(authority="a\x01b"),
    "newline_in_authority": request_headers(authority="a\r\nb"),
    "newline_in_a_value": [*request_headers(), ("x-value", "a\nb")],
    "nul_in_a_value": [*request_headers(), ("x-value", "a\0b")],
    "space_in_a_name": [*request_headers(), ("x name", "1")],
    "colon_in_a_name": [*request_headers(), ("x:name", "1")],
    "keep_alive": [*request_headers(), ("keep-alive", "1")],
    "proxy_connection": [*request_headers(), ("proxy-connection", "close")],
    "transfer_encoding": [*request_headers(), ("transfer-encoding", "chunked")],
    "upgrade": [*request_headers(), ("upgrade", "h2c")],
    "content_length_no_number": [*request_headers(), ("content-length", "x")],
    "two_content_lengths": [*request_headers(), ("content-length", "5"), ("content-length", "5")],
    "connect_with_a_path": request_headers(method="CONNECT"),
}

# gRPC's libraries send these when their target is a Unix socket, each its own; None: no :authority at all.
AUTHORITIES = {
    "host_and_port": "ca.example:15012", "socket_path": "/run/meshca/public/api.sock",
    "unix_uri": "unix:///run/meshca/public/api.sock", "unix_colon": "unix:api.sock",
    "percent_encoded": "%2Frun%2Fmeshca%2Fpublic%2Fapi.sock", "empty": "", "missing": None,
    "spaces": "a socket", "bytes_beyond_ascii": "caf\u00e9.test", "long": "a" * 8000,
}


@pytest.fixture(scope="module")
def server(build_dir, tmp_path_factory):
    started = InteropServer(build_dir / "test/interop/rpc/interop_server", tmp_path_factory.mktemp("edge"), [])
    yield started
    started.stop()


def expect_others_served(server):
    client = PoliteClient(server.host_port)
    client.call()
    client.raw.close()


@pytest.mark.parametrize("make, code", CONNECTION_ERRORS, ids=lambda value: getattr(value, "__name__", ""))
def test_connection_error(server, make, code):
    raw = Raw(server.host_port)
    raw.send(make(raw))
    assert raw.end()[0] == code
    expect_others_served(server)


@pytest.mark.parametrize("name", STREAM_ERRORS)
def test_stream_error(server, name):
    raw = Raw(server.host_port)
    raw.send(raw.headers(1, STREAM_ERRORS[name]))
    assert raw.reset_of(1) == PROTOCOL_ERROR
    raw.close()
    expect_others_served(server)


@pytest.mark.parametrize("name", AUTHORITIES)
def test_any_authority_is_served(server, name):
    headers = [(key, AUTHORITIES[name] if key == ":authority" else value) for key, value in request_headers()]
    headers = [(key, value) for key, value in headers if value is not None]
    raw = Raw(server.host_port)
    data = DataFrame(1, b"\0\0\0\0\0")
    data.flags.add("END_STREAM")
    raw.send(raw.headers(1, headers) + data.serialize())
    answered = {}
    for frame in raw.frames():
        assert not isinstance(frame, (RstStreamFrame, GoAwayFrame)), frame
        if isinstance(frame, HeadersFrame):
            answered.update(raw.decoder.decode(bytes(frame.data)))
            if "END_STREAM" in frame.flags:
                break
    assert answered["grpc-status"] == "0"
    raw.close()


def trailers(raw, fields, ends=True):
    frame = HeadersFrame(1, raw.encoder.encode(fields))
    frame.flags.add("END_HEADERS")
    if ends:
        frame.flags.add("END_STREAM")
    return frame.serialize()


def with_length(raw, length):
    return raw.headers(1, [*request_headers(), ("content-length", str(length))])


def end_of_data(payload):
    data = DataFrame(1, payload)
    data.flags.add("END_STREAM")
    return data.serialize()


BODIES = {
    "shorter_than_content_length": lambda raw: with_length(raw, 6) + end_of_data(b"\0\0\0\0\0"),
    "longer_than_content_length": lambda raw: with_length(raw, 4) + end_of_data(b"\0\0\0\0\0"),
    "in_two_frames_longer_than_content_length":
        lambda raw: with_length(raw, 5) + DataFrame(1, b"\0\0\0").serialize() + DataFrame(1, b"\0\0\0").serialize(),
    "trailers_and_shorter": lambda raw: with_length(raw, 5) + trailers(raw, [("x-end", "1")]),
    "trailers_that_do_not_end": lambda raw: raw.headers(1) + trailers(raw, [("x-end", "1")], ends=False),
    "trailers_with_a_pseudo_header": lambda raw: raw.headers(1) + trailers(raw, [(":path", "/x")]),
    "trailers_in_capitals": lambda raw: raw.headers(1) + trailers(raw, [("X-End", "1")]),
    "trailers_with_a_length": lambda raw: raw.headers(1) + trailers(raw, [("content-length", "0")]),
}


@pytest.mark.parametrize("name", BODIES)
def test_malformed_body(server, name):
    raw = Raw(server.host_port)
    raw.send(BODIES[name](raw))
    assert raw.reset_of(1) == PROTOCOL_ERROR
    raw.close()
    expect_others_served(server)


@pytest.mark.parametrize("preface", [b"", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", PREFACE[:-1] + b"X", bytes(64)],
                         ids=["none", "http1", "last_byte", "zeros"])
def test_no_preface(server, preface):
    raw = Raw(server.host_port, preface=preface)
    raw.end()  # The server hangs up; nothing more is promised.
    expect_others_served(server)


def test_unknown_frames_and_priorities_are_ignored(server):
    raw = Raw(server.host_port)
    raw.send(frame_bytes(0xbe, 0xff, 1, b"what") + PriorityFrame(1, depends_on=3).serialize())
    raw.send(PingFrame(0, b"12345678").serialize())
    assert any(isinstance(frame, PingFrame) and "ACK" in frame.flags for frame in raw.frames())
    raw.close()


def test_headers_for_a_stream_id_passed_over_end_the_connection(server):
    """RFC 9113 §5.1.1: the larger number closed all smaller ones that were idle."""
    raw = Raw(server.host_port)
    raw.send(raw.headers(5) + raw.headers(3) + PingFrame(0, b"12345678").serialize())
    assert raw.end()[0] == PROTOCOL_ERROR
    raw.close()


def test_half_a_frame_and_gone(server):
    for cut in (3, 9, 12):
        raw = Raw(server.host_port)
        raw.send(raw.headers(1)[:cut])
        raw.close()
    expect_others_served(server)


def test_a_client_that_says_goodbye_is_let_go(server):
    raw = Raw(server.host_port)
    raw.send(GoAwayFrame(0).serialize())
    assert raw.end()[0] in (None, NO_ERROR)


def test_data_on_a_closed_stream(server):
    raw = Raw(server.host_port)
    data = DataFrame(1, b"\0\0\0\0\0")
    data.flags.add("END_STREAM")
    raw.send(raw.headers(1) + data.serialize() + DataFrame(1, b"more").serialize())
    assert raw.reset_of(1) in (STREAM_CLOSED, PROTOCOL_ERROR)
    expect_others_served(server)
