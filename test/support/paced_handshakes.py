"""TLS handshakes with one server at a steady pace: what a rotation does to whoever connects meanwhile shows here."""

import socket
import ssl
import threading

from cryptography import x509


class PacedHandshakes:
    """Whole handshakes with `address` until the block ends, each on a connection of its own. The server has to be
    `server_name` by the roots, PEM, that `roots()` gives at that moment: what somebody who connects now would trust.

    `count`: those that succeeded; `failures`: one text for each that did not; `leaves`: the certificates shown, by serial
    number.
    """

    def __init__(self, address, server_name, roots, pace_s=0.05):
        host, port = address.rsplit(":", 1)
        self._target = (host, int(port))
        self._server_name = server_name
        self._roots = roots
        self._pace_s = pace_s
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run)
        self.count = 0
        self.failures = []
        self.leaves = {}

    def _run(self):
        while not self._stop.wait(self._pace_s):
            failure = leaf = None
            try:
                leaf = self._shake_hands()
            except Exception as error:  # whatever it was, the test is told
                failure = f"{type(error).__name__}: {error}"
            with self._changed:
                if failure:
                    self.failures.append(failure)
                else:
                    self.count += 1
                    self.leaves[leaf.serial_number] = leaf
                self._changed.notify_all()

    def _shake_hands(self):
        context = ssl.create_default_context(cadata=self._roots())
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(self._target, timeout=60) as connection, \
                context.wrap_socket(connection, server_hostname=self._server_name) as secured:
            return x509.load_der_x509_certificate(secured.getpeercert(binary_form=True))

    def wait_for(self, more, timeout=60):
        """Waits until that many more handshakes were tried."""
        with self._changed:
            target = self.count + len(self.failures) + more
            assert self._changed.wait_for(lambda: self.count + len(self.failures) >= target, timeout), "no handshakes are made"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(timeout=90)
