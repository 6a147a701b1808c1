"""A second implementation of IstioCertificateService/CreateCertificate, on grpcio and `cryptography`: what a tool for any
CA is tried on. It signs for whoever brings its token, keeps no record, and can be told to refuse.
"""

import concurrent.futures
import datetime
import ipaddress
import threading
import time

import grpc
import grpc_messages
from certificates import key_pem, new_key
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

METHOD = "istio.v1.auth.IstioCertificateService"


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


class CertificateService:
    """A CA on a TLS port of 127.0.0.1 for the length of a `with`.

    address ("127.0.0.1:40123"), root_pem, token: what a client needs. issued: certificates signed. refuse_one_in: every
    so many-th request is answered RESOURCE_EXHAUSTED (0: none). delay_seconds: how long each request takes; eight are served
    at a time. connections: peers seen, by address and port.
    """

    def __init__(self, token="let-me-in", refuse_one_in=0, delay_seconds=0.0):
        self.token = token
        self.refuse_one_in = refuse_one_in
        self.delay_seconds = delay_seconds
        self.asked = 0
        self.issued = 0
        self.connections = set()
        self._lock = threading.Lock()
        self._root_key = new_key()
        self._root = self._sign(self._root_key.public_key(), [], ca=True)
        self.root_pem = _pem(self._root)

    def _sign(self, public_key, names, ca=False):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "root" if ca else "leaf")])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject)
                   .issuer_name(subject if ca else self._root.subject).public_key(public_key)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=2))
                   .not_valid_after(now + datetime.timedelta(hours=1))
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._root_key, hashes.SHA256())

    def _create(self, request, context):
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {self.token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        with self._lock:
            self.asked += 1
            refused = self.refuse_one_in and self.asked % self.refuse_one_in == 0
            self.issued += not refused
            self.connections.add(context.peer())
        if self.delay_seconds:
            time.sleep(self.delay_seconds)  # The slowness that is to be measured, not a wait for something.
        if refused:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much for me")
        csr = x509.load_pem_x509_csr(request.csr.encode())
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        leaf = self._sign(csr.public_key(), list(names))
        return grpc_messages.message("istio.v1.auth.IstioCertificateResponse")(cert_chain=[_pem(leaf), self.root_pem])

    def __enter__(self):
        key = new_key()
        serving = self._sign(key.public_key(), [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        handler = grpc.unary_unary_rpc_method_handler(
            self._create,
            request_deserializer=grpc_messages.message("istio.v1.auth.IstioCertificateRequest").FromString,
            response_serializer=lambda message: message.SerializeToString())
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(METHOD, {"CreateCertificate": handler}),))
        credentials = grpc.ssl_server_credentials([(key_pem(key), _pem(serving).encode())])
        self.address = f"127.0.0.1:{self._server.add_secure_port('127.0.0.1:0', credentials)}"
        self._server.start()
        return self

    def __exit__(self, *error):
        self._server.stop(None).wait()
