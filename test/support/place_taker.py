"""A local user who takes every connection that a server gives. A process of its own: python3 place_taker.py UID KIND WHERE.

KIND is `unix` (WHERE a socket's path, opened before the uid changes), `idle` (WHERE host:port; connections from all of
127/8 that say nothing), `fail` (WHERE host:port; TLS handshakes that fail once the server has signed, as many as it can)
or `nonsense` (the same with handshakes that cost the server no signature: many more of them).

Prints "full" when the server refuses it or ends its connections, "SECONDS RATE" once a second where handshakes fail; ends
when its stdin does.
"""

import os
import random
import resource
import select
import socket
import ssl
import struct
import sys
import threading
import time


def dial(kind, where):
    if kind == "unix":
        one = socket.socket(socket.AF_UNIX)
        # Where the listen queue is full, the kernel waits until the server has taken one, and not for ever.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 1, 0))
        one.connect(where)
        one.setblocking(False)
        return one
    one = socket.socket()
    one.bind((f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}", 0))
    one.settimeout(10)
    one.connect(where)
    one.setblocking(False)
    return one


def closed(one):
    try:
        return one.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def take(kind, where):
    """Holds what it gets and asks for more for ever, a hundred times a second once it is full."""
    held, full = [], False
    while True:
        for _ in range(1 if full else 64):
            try:
                held.append(dial(kind, where))
            except (BlockingIOError, TimeoutError):  # For seconds the server took nobody.
                break
        lost = {one for one in random.sample(held, min(len(held), 256)) + held[-64:] if closed(one)}
        for one in lost:
            one.close()
        held = [one for one in held if one not in lost]
        if lost and not full:
            full = True
            print("full", len(held), flush=True)
        if full:
            time.sleep(0.01)


def client_hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def fail(kind, where):
    """A whole ClientHello, so that the server signs and answers, or what is none; then it hangs up."""
    hello, done = client_hello() if kind == "fail" else b"\x16\x03\x01\x00\x20" + bytes(32), [0] * 4

    def run(number):
        while True:
            try:
                one = dial(kind, where)
                one.setblocking(True)
                one.settimeout(5)
                one.sendall(hello)
                one.recv(1)
                one.close()
            except OSError:
                pass
            done[number] += 1

    for number in range(len(done)):
        threading.Thread(target=run, args=(number,), daemon=True).start()
    before, began = 0, time.monotonic()
    while True:
        time.sleep(1)
        total = sum(done)
        print(f"{time.monotonic() - began:.0f} {total - before}", flush=True)
        before = total


def main():
    uid, kind, where = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if kind == "unix":
        # The folders above may be closed to that user: through a descriptor nobody asks.
        folder = os.open(os.path.dirname(where), os.O_PATH | os.O_DIRECTORY)
        where = f"/proc/self/fd/{folder}/{os.path.basename(where)}"
    else:
        host, port = where.rsplit(":", 1)
        where = (host, int(port))
    # The effective uid is what SO_PEERCRED tells; the real one stays, so that /proc/self stays ours.
    os.seteuid(uid)
    thread = threading.Thread(target=fail if kind in ("fail", "nonsense") else take, daemon=True, args=(kind, where))
    thread.start()
    select.select([sys.stdin], [], [])


if __name__ == "__main__":
    main()
