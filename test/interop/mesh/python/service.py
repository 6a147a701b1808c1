"""A service in a mesh, in Python: identity by `spiffe`, mTLS by `spiffe-tls`. README.md in the folder above has the contract.

usage: SPIFFE_ENDPOINT_SOCKET=unix:///run/meshca/api.sock python service.py SPIFFE_ID...
"""

import hashlib
import itertools
import json
import logging
import socket
import sys
import threading

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from spiffe import JwtSource, SpiffeId, X509Source
from spiffe.svid.jwt_svid import JwtSvid
from spiffetls import dial
from spiffetls.context import create_ssl_context
from spiffetls.mode import ClientTlsMode
from spiffetls.tlsconfig.authorize import authorize_id, authorize_one_of

PAUSE_S = 0.1       # between two calls
JWT_EVERY = 10      # rounds over all peers
TIMEOUT_S = 30
ERRORS_MAX = 5
LINE_BYTES_MAX = 16384


class Identity:
    """One state of the Workload API: key, chain and roots that belong together.

    spiffe-tls asks its source for these piece by piece, and changes the context of a listening socket under its
    connections when the source has something new: a connection could meet a new certificate beside an old key, and
    what was trusted once would stay trusted. So the service gives it a source that never changes, and makes another one
    for each update.
    """

    def __init__(self, context):
        self.svid = context.default_svid
        self.bundles = context.x509_bundle_set.bundles
        self.roots = [root for bundle in self.bundles for root in bundle.x509_authorities]

    def subscribe_for_updates(self, callback):
        pass


class Service:
    def __init__(self, let_in):
        self.let_in = let_in
        self.lock = threading.Lock()
        self.peers, self.refusals, self.serials, self.roots = {}, [], [], []
        self.refused = 0
        self.x509 = X509Source()  # waits until the process has an identity
        self.jwt = JwtSource()
        self.x509.subscribe_for_updates(self.take_update)
        self.take_update()
        self.spiffe_id = self.identity.svid.spiffe_id

    def take_update(self):
        """A renewed key or another root: connections from now on use it."""
        identity = Identity(self.x509.get_x509_context())
        server_context = create_ssl_context(SSL.TLS_SERVER_METHOD, identity, authorize_one_of(self.let_in))
        server_context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        server_context.set_options(SSL.OP_NO_TICKET)
        with self.lock:
            self.identity, self.server_context = identity, server_context
            remember(self.serials, f"{identity.svid.leaf.serial_number:x}")
            for root in identity.roots:
                remember(self.roots, hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest())

    def close(self):
        """Ends the streams of the Workload API, whose threads would keep the process alive."""
        self.x509.close()
        self.jwt.close()

    # --- the server

    def listen(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self.accept, daemon=True).start()
        return "%s:%d" % self.listener.getsockname()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection:
                limit_time(connection)
                tls = SSL.Connection(self.server_context, connection)
                tls.set_accept_state()
                tls.do_handshake()  # refuses whoever is not in `let_in`
                write_line(tls, self.answer(read_line(tls)))
                tls.shutdown()
        except Exception as error:  # whatever it was, it is one client's
            with self.lock:
                self.refused += 1
                note(self.refusals, error)

    def answer(self, request):
        if not request.startswith("jwt "):
            return str(self.spiffe_id)
        try:
            token = request.removeprefix("jwt ")
            bundle = self.jwt.get_bundle_for_trust_domain(self.spiffe_id.trust_domain)
            return str(JwtSvid.parse_and_validate(token, bundle, {str(self.spiffe_id)}).spiffe_id)
        except Exception as error:
            return f"error {error!r}"

    # --- the client

    def call(self, peer, address, request):
        """One request by a new connection; raises unless the peer's certificate has the SPIFFE ID `peer`."""
        tls = dial(address, self.identity, ClientTlsMode.TLS, authorize_id(peer))
        try:
            write_line(tls, request)
            return read_line(tls)
        finally:
            tls.close()

    def call_with_jwt(self, peer, address):
        token = self.jwt.fetch_svid({str(peer)}).token
        return self.call(peer, address, f"jwt {token}")

    def call_peers(self, stop):
        for round_number in itertools.count():
            peers = list(self.peers.items())
            for peer, counts in peers:
                with_jwt = round_number % JWT_EVERY == 0
                prefix = "jwt_" if with_jwt else ""
                try:
                    if with_jwt:
                        told, expected = self.call_with_jwt(peer, counts["address"]), self.spiffe_id
                    else:
                        told, expected = self.call(peer, counts["address"], "hello"), peer
                    if told != str(expected):
                        raise ValueError(f"answered {told!r}")
                    counts[prefix + "ok"] += 1
                except Exception as error:
                    counts[prefix + "failed"] += 1
                    note(counts["errors"], f"{prefix}{error!r}")
                if stop.wait(PAUSE_S):
                    return
            if not peers and stop.wait(PAUSE_S):
                return

    # --- what it is told and tells

    def add_peer(self, spiffe_id, address):
        counts = {"address": address, "ok": 0, "failed": 0, "jwt_ok": 0, "jwt_failed": 0, "errors": []}
        self.peers = {**self.peers, SpiffeId(spiffe_id): counts}

    def report(self):
        with self.lock:
            return {"peers": {str(peer): {key: value for key, value in counts.items() if key != "address"}
                              for peer, counts in self.peers.items()},
                    "refused": self.refused, "refusals": self.refusals, "serials": self.serials, "roots": self.roots}


def remember(seen, value):
    if value not in seen:
        seen.append(value)


def note(errors, error):
    if len(errors) < ERRORS_MAX:
        errors.append(str(error) or repr(error))


def limit_time(connection):
    """Has the kernel end what takes too long; Python's own timeouts would make the socket non-blocking for OpenSSL."""
    seconds = TIMEOUT_S.to_bytes(8, sys.byteorder) + bytes(8)  # struct timeval
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, seconds)


def write_line(tls, line):
    tls.sendall(line.encode() + b"\n")


def read_line(tls):
    received = b""
    while not received.endswith(b"\n"):
        if len(received) > LINE_BYTES_MAX:
            raise ValueError("the peer's line is too long")
        received += tls.recv(4096)
    return received[:-1].decode()


def tell(value):
    print(json.dumps(value), flush=True)


def main():
    logging.disable(logging.CRITICAL)
    service = Service({SpiffeId(word) for word in sys.argv[1:]})
    tell({"spiffe_id": str(service.spiffe_id), "address": service.listen()})
    stop = threading.Event()
    calls = threading.Thread(target=service.call_peers, args=(stop,))
    calls.start()
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "peer":
            service.add_peer(*rest)
        elif word == "report":
            tell(service.report())
    stop.set()
    calls.join()
    tell(service.report())
    service.close()


if __name__ == "__main__":
    main()
