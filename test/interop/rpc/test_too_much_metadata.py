"""A call with too much metadata ends, and its connection goes on: gRPC's own client, which shares it with other calls.

That client heeds the limit that the server announces (SETTINGS_MAX_HEADER_LIST_SIZE) and does not even send such a call.
Clients that do not heed it are this one behind a relay that takes the limit out of the announcement.
"""

import contextlib
import socket
import threading

import grpc
import pytest

EMPTY, FULL_DUPLEX = "/grpc.testing.TestService/EmptyCall", "/grpc.testing.TestService/FullDuplexCall"
THREE_BYTES = b"\x12\x02\x08\x03"  # StreamingOutputCallRequest{response_parameters: {size: 3}}
HEADER_LIST_SIZE, LIMIT, NO_LIMIT = b"\0\6", (16 * 1024).to_bytes(4, "big"), (2**31 - 1).to_bytes(4, "big")
WITHIN = 60


@contextlib.contextmanager
def relay(server_socket, path):
    """A Unix socket at `path` whose connections reach the server's, announcing no limit. Yields how many there were."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    connections = []

    def pump(source, target, change):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if change:
                    assert HEADER_LIST_SIZE + LIMIT in data, data
                    data, change = data.replace(HEADER_LIST_SIZE + LIMIT, HEADER_LIST_SIZE + NO_LIMIT), False
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(server_socket)
                connections.append((client, server))
                threading.Thread(target=pump, args=(client, server, False), daemon=True).start()
                threading.Thread(target=pump, args=(server, client, True), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield connections
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        for pair in connections:
            for end in pair:
                end.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("metadata", [[(f"x-{i}", "m" * 4_000) for i in range(25)], [("x-large", "m" * 50_000)],
                                      [("x-same", "m" * 200)] * 700, [("x-bin", b"\0" * 30_000)]],
                         ids=["many", "large", "repeated", "binary"])
def test_too_much_metadata_ends_its_call_and_no_other(edge, tmp_path, metadata):
    server = edge()
    with relay(server.unix_path, tmp_path / "relay") as connections, \
            grpc.insecure_channel(f"unix:{tmp_path / 'relay'}") as channel:
        go_on = threading.Semaphore(0)

        def requests():
            for _ in range(3):
                yield THREE_BYTES
                assert go_on.acquire(timeout=WITHIN)

        stream = channel.stream_stream(FULL_DUPLEX)(requests(), timeout=WITHIN)
        next(stream)
        call = channel.unary_unary(EMPTY)
        for _ in range(2):  # the second one rests on what HPACK remembers of the first
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", metadata=metadata, timeout=WITHIN)
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, refused.value
            assert "send less metadata" in refused.value.details()
            go_on.release()
            next(stream)
            call(b"", metadata=[("x-few", "m" * 2_000)], timeout=WITHIN)
        go_on.release()
        assert not list(stream)
        assert stream.code() == grpc.StatusCode.OK
        assert len(connections) == 1, "all of them were calls of one connection"
    assert server.stats()["limits"]["header_bytes"] == 2
