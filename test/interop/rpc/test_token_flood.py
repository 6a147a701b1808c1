"""A local user who sends bad tokens without end: what they cost everybody else.

The issuer has four ES384 keys and its tokens name none: the dearest a token can be. The flood comes by the API socket,
so its source is a uid; the other callers come over TLS, on the same loops.
"""

import base64
import base64
import collections
import json
import os
import subprocess
import sys
import threading
import time

import certificates
import grpc
import grpc_messages
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hyperframe.frame import DataFrame, HeadersFrame, SettingsFrame
from raw_http2 import EMPTY_MESSAGE, Raw, request_headers

pytestmark = pytest.mark.alone

CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
WEB = "spiffe://cluster.local/ns/default/sa/web"
ISSUER = "https://issuer.test"
UNAUTHENTICATED, RESOURCE_EXHAUSTED = "16", "8"
SHARE = f"tokens from uid {os.geteuid()} wait to be verified"  # what a source beyond its places is told


def b64(data):
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


HEADER = b64({"alg": "ES384"})


def claims(number):
    now = int(time.time())
    return {"iss": ISSUER, "aud": "istio-ca", "sub": "web", "ns": "default", "sa": "web", "iat": now, "exp": now + 300,
            "jti": str(number)}


def good_token(key, number):
    text = HEADER + "." + b64(claims(number))
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA384())))
    return text + "." + b64(r.to_bytes(48, "big") + s.to_bytes(48, "big"))


def flood(socket_path, statuses, begun, done, batch=100):
    """One connection that keeps `batch` calls with bad tokens in flight; counts what they are answered."""
    raw, stream = Raw(socket_path), -1
    frames = raw.frames()
    while not done.is_set():
        sent = b""
        for _ in range(batch):
            stream += 2
            token = f"{HEADER}.{b64(claims(stream))}.{b64(b'%c' % 1 + os.urandom(95))}"
            data = DataFrame(stream, EMPTY_MESSAGE)
            data.flags.add("END_STREAM")
            headers = request_headers(path=CREATE) + [("authorization", f"Bearer {token}")]
            sent += raw.headers(stream, headers) + data.serialize()
        if not raw.send(sent):
            return
        answered = 0
        while answered < batch:
            frame = next(frames, None)
            if frame is None:
                return
            if isinstance(frame, HeadersFrame):
                answer = dict(raw.decoder.decode(bytes(frame.data)))
                statuses[SHARE if SHARE in answer.get("grpc-message", "") else answer.get("grpc-status")] += 1
                answered += 1
                begun.set()
            elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
                raw.send(SettingsFrame(0, flags=["ACK"]).serialize())


def main():
    """`test_token_flood.py SOCKET`: floods until stdin ends, then prints how often each status came. A process of its
    own, because a flood in Python threads would be what the test measures."""
    statuses, begun, done = collections.Counter(), threading.Event(), threading.Event()
    threads = [threading.Thread(target=flood, args=(sys.argv[1], statuses, begun, done)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(60), "no call was answered"
    print("flooding", flush=True)
    sys.stdin.read()
    done.set()
    for thread in threads:
        thread.join()
    print(json.dumps(statuses))


class Caller:
    """Somebody with good tokens, over TLS."""

    def __init__(self, ca, key, folder):
        self.ca, self.key, self.number = ca, key, 0
        self.roots = ca.root_pem.encode()
        request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")
        self.request = request(csr=certificates.csr_pem(certificates.new_key(), WEB))

    def call(self, channel, token):
        grpc_messages.call(channel, CREATE)(self.request, metadata=[("authorization", f"Bearer {token}")], timeout=60)

    def new_connection(self):
        """Seconds for a new connection, and a call on it with a token that nobody has seen."""
        self.number += 1
        token = good_token(self.key, self.number)
        start = time.monotonic()
        with grpc_messages.tls_channel(self.ca.grpc, self.roots) as channel:
            self.call(channel, token)
        return time.monotonic() - start

    def measure(self, connections, calls):
        """(third quartile of new connections, 95th percentile of calls with one token), in seconds: the longest would tell
        of a machine that stands still for a moment."""
        new = sorted(self.new_connection() for _ in range(connections))
        token, known = good_token(self.key, "known"), []
        with grpc_messages.tls_channel(self.ca.grpc, self.roots) as channel:
            for _ in range(calls):
                start = time.monotonic()
                self.call(channel, token)
                known.append(time.monotonic() - start)
        return new[connections * 3 // 4], sorted(known)[calls * 95 // 100]


def jwks(keys):
    def jwk(key):
        numbers = key.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-384", "x": b64(numbers.x.to_bytes(48, "big")),
                "y": b64(numbers.y.to_bytes(48, "big"))}

    return json.dumps({"keys": [jwk(key) for key in keys]})


@pytest.mark.timeout(300)
def test_one_sources_bad_tokens_cost_another_caller_little(server, tmp_path):
    keys = [ec.generate_private_key(ec.SECP384R1()) for _ in range(4)]
    (tmp_path / "jwks.json").write_text(jwks(keys), encoding="utf-8")
    ca = server(config=f"""
trust_domain: cluster.local
authenticators:
- jwt:
    issuer: {ISSUER}
    audiences: [istio-ca]
    jwks_file: {tmp_path}/jwks.json
    spiffe_id: spiffe://{{trust_domain}}/ns/{{claims.ns}}/sa/{{claims.sa}}
""")
    caller = Caller(ca, keys[-1], tmp_path)
    quiet_new, quiet_call = caller.measure(20, 200)
    flooder = subprocess.Popen([sys.executable, __file__, ca.api_socket], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})
    try:
        assert flooder.stdout.readline() == "flooding\n"
        new, call = caller.measure(20, 200)
    finally:
        answers, _ = flooder.communicate()
    statuses = json.loads(answers)
    text = (f"new connection (the 16th of 20) {1000 * quiet_new:.0f} -> {1000 * new:.0f} ms, call (p95 of 200) "
            f"{1000 * quiet_call:.1f} -> {1000 * call:.1f} ms, the flood was answered {statuses}")
    print(text)
    # The flood itself and its client take a core of two: what is judged is that nobody waits behind its signatures.
    assert new < 5 * quiet_new + 0.2, text
    assert call < 5 * quiet_call + 0.1, text
    assert statuses.keys() <= {UNAUTHENTICATED, RESOURCE_EXHAUSTED, SHARE}, text
    assert statuses[UNAUTHENTICATED] > 0 and statuses[SHARE] > 0, text


if __name__ == "__main__":
    main()
