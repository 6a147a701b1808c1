"""A local user who opens as many calls as he gets and reads no answer. A process of its own: python3 stream_hoarder.py
UID SOCKET CONNECTIONS STREAMS, where that user reaches the socket.

Every call is a FetchX509SVID. Connections that the server ends are opened again, a hundred a second. Prints "full" once
each connection was opened and has sent what the kernel took of it; ends when its stdin does.
"""

import os
import resource
import select
import socket
import struct
import sys
import threading
import time

import raw_http2
from hyperframe.frame import DataFrame

FETCH = "/SpiffeWorkloadAPI/FetchX509SVID"


def calls(connection, streams):
    """The bytes of that many calls, the first ones of `connection`."""
    headers = [*raw_http2.request_headers(path=FETCH), ("workload.spiffe.io", "true")]
    out = b""
    for stream in range(1, 2 * streams, 2):
        data = DataFrame(stream, raw_http2.EMPTY_MESSAGE)
        data.flags.add("END_STREAM")
        out += connection.headers(stream, headers) + data.serialize()
    return out


class Unopened(raw_http2.Raw):
    """What a connection sends, without one: it is the same for all."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.encoder = raw_http2.hpack.Encoder()


def open_one(where, sent):
    one = socket.socket(socket.AF_UNIX)
    # Where the listen queue is full, the kernel waits until the server has taken one, and not for ever.
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 1, 0))
    one.connect(where)
    one.setblocking(False)
    one.send(sent)
    return one


def hoard(where, connections, streams):
    sent = raw_http2.PREFACE + raw_http2.SettingsFrame(0).serialize() + calls(Unopened(), streams)
    held, full = [], False
    poll = select.poll()
    while True:
        try:
            while len(held) < connections:
                held.append(open_one(where, sent))
                poll.register(held[-1], select.POLLRDHUP)
                if full:
                    time.sleep(0.01)
        except OSError:  # for a second the server took nobody, or it has hung up already
            time.sleep(0.01)
        if len(held) == connections and not full:
            full = True
            print("full", len(held), flush=True)
        gone = {fd for fd, _ in poll.poll(100 if full else 0)}
        for one in held:
            if one.fileno() in gone:
                poll.unregister(one)
                one.close()
        held = [one for one in held if one.fileno() >= 0]


def main():
    uid, where, connections, streams = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.seteuid(uid)  # that is what SO_PEERCRED tells
    threading.Thread(target=hoard, daemon=True, args=(where, connections, streams)).start()
    select.select([sys.stdin], [], [])


if __name__ == "__main__":
    main()
