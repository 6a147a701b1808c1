"""Local users who try to cost everybody else something, each trick a process of its own at the lowest priority.

`hostile.py TRICK JSON` starts one, says "ready" once it has begun, goes on until stdin ends and then prints what it got
through as JSON. Where it may, it becomes another uid first. The facts are those that `Target` writes.
"""

import contextlib
import encodings.idna  # noqa: F401  what `connect` would import by itself, when it is too late
import json
import os
import queue
import resource
import socket
import ssl
import subprocess
import sys
import threading

import grpc
import raw_http2
from raw_http2 import Raw, frame_bytes

STRANGER_UID = 4242
SDS_METHOD = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
SECRET_TYPE = b"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
DONE = threading.Event()
COUNT = {}
COUNT_LOCK = threading.Lock()


def count(name, more=1):
    with COUNT_LOCK:
        COUNT[name] = COUNT.get(name, 0) + more


def field(number, data):
    """A length-delimited field of protobuf."""
    size, prefix = len(data), b""
    while size >= 0x80:
        prefix += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + prefix + bytes([size]) + data


def until_done(work):
    """Runs `work` again and again; a server that hangs up or refuses is what an attacker expects."""
    while not DONE.is_set():
        try:
            work()
        except (OSError, grpc.RpcError, queue.Empty, ValueError) as error:
            count(f"stopped by {type(error).__name__}")
            DONE.wait(0.01)


def in_threads(number, work):
    threads = [threading.Thread(target=until_done, args=(work,), daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


# ---- the tricks


def denied_names(target):
    """Ten connections of streams that each subscribe to 59 KB of names nobody has, all held open."""
    names = b"".join(field(3, b"made-up-%05d" % number) for number in range(59_000 // 13))
    request = field(4, SECRET_TYPE) + names

    def hold():
        channel = grpc.insecure_channel(f"unix:{target['api_socket']}", options=[("grpc.use_local_subchannel_pool", 1),
                                                                                ("grpc.default_authority", "localhost")])
        calls = []
        with channel:
            for number in range(60):
                method = channel.stream_stream(SDS_METHOD)
                requests = queue.SimpleQueue()
                calls.append(method(iter(requests.get, None)))
                requests.put(field(1, field(1, b"node-%d" % number)) + request)
                count("streams")
            for call in calls:
                call.add_callback(lambda: None)
            DONE.wait(3)
            for call in calls:
                call.cancel()

    return in_threads(10, hold)


def many_connections(target):
    """Every connection it can get, from addresses all over 127/8 and on the API socket; what is closed is opened anew."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = min(hard, target["connections"] + 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, room), hard))
    held = []

    def take():
        number = len(held)
        if number >= target["connections"]:
            DONE.wait(0.5)
            return
        if number % 2:
            one = socket.socket(socket.AF_UNIX)
            held.append(one)
            one.settimeout(5)
            one.connect(target["api_socket"])
        else:
            one = socket.socket()
            held.append(one)
            one.settimeout(5)
            one.bind((f"127.{number % 250 + 1}.{number // 250 % 250}.7", 0))
            one.connect(tuple(target["host_port"]))
        count("connections")

    return in_threads(1, take)


def bad_tokens(target):
    """Calls whose JWT names no key and is signed by none."""
    credentials = grpc.ssl_channel_credentials(target["roots"].encode())
    request = field(1, target["csr"].encode())

    def call_all():
        options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel("{}:{}".format(*target["host_port"]), credentials, options=options) as channel:
            method = channel.unary_unary(CREATE)
            while not DONE.is_set():
                calls = [method.future(request, timeout=5, metadata=[("authorization", f"Bearer {one}")])
                         for one in target["tokens"]]
                for call in calls:
                    count(f"tokens {call.code()}")

    return in_threads(2, call_all)


def client_context(target):
    context = ssl.create_default_context(cadata=target["roots"])
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    return context


def long_chains(target):
    """Handshakes with a client chain of P-384 certificates that all have one name."""
    context = client_context(target)
    context.load_cert_chain(target["chain_file"])

    def shake():
        with socket.create_connection(tuple(target["host_port"]), 5) as plain, context.wrap_socket(plain) as one:
            one.recv(1)  # TLS 1.3 tells of a refused certificate in the first record.
            count("chains")

    return in_threads(2, shake)


def failing_handshakes(target):
    """Connections that begin as TLS and end as nonsense."""

    def fail():
        with socket.create_connection(tuple(target["host_port"]), 5) as one:
            one.sendall(b"\x16\x03\x01\x00\x20" + os.urandom(32))
            count("handshakes")

    return in_threads(4, fail)


def key_updates(target):
    """TLS 1.3 KeyUpdate messages that each ask for one in return, and nothing is read."""

    def stall():
        command = [target["key_update_flood"], *map(str, target["host_port"])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
            count("key updates")
            while flood.poll() is None and not DONE.wait(0.05):
                pass
            count("key updates stalled" if flood.poll() is None else f"key updates cut after {flood.stdout.read()}")
            flood.kill()

    return in_threads(1, stall)


def odd_requests(target):
    """GETs and calls of methods that nobody has, on the API socket."""
    gets = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "x")]
    unknown = raw_http2.request_headers(path="/no.such/Method")

    def flood():
        raw = Raw(target["api_socket"])
        stream = 1
        while not DONE.is_set():
            block = b""
            for _ in range(50):
                block += frame_bytes(1, 5, stream, raw.encoder.encode(gets if stream % 4 == 1 else unknown))
                stream += 2
            if not raw.send(block):
                break
            count("requests", 50)
            raw.socket.setblocking(False)
            try:
                while raw.socket.recv(1 << 16):
                    pass
            except BlockingIOError:
                pass
            raw.socket.settimeout(10)
        raw.close()

    return in_threads(2, flood)


TRICKS = {trick.__name__: trick for trick in (denied_names, many_connections, bad_tokens, long_chains,
                                              failing_handshakes, key_updates, odd_requests)}


def import_all_of_grpc():
    """What grpc imports with its first channel and call, another uid may not be able to read."""
    with grpc.insecure_channel("unix:/dev/null") as channel, contextlib.suppress(grpc.RpcError):
        next(channel.stream_stream(SDS_METHOD)(iter([]), timeout=0.1))


def main():
    trick, target = TRICKS[sys.argv[1]], json.loads(sys.argv[2])
    if os.geteuid() == 0:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        import_all_of_grpc()
        if trick in (denied_names, many_connections, odd_requests):  # The kernel tells the API socket who they are.
            os.setgroups([])
            os.setgid(STRANGER_UID)
            os.setuid(STRANGER_UID)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    threads = trick(target)
    while not COUNT:  # at the lowest priority the first round takes as long as the others leave nothing over
        DONE.wait(0.05)
    print("ready", flush=True)
    sys.stdin.buffer.read()
    DONE.set()
    for thread in threads:
        thread.join(10)
    with COUNT_LOCK:
        print(json.dumps(COUNT), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
