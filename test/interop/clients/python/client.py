"""A workload in Python: grpcio, xds-protos, and pyca/cryptography to make the CSR and verify the chain."""

import argparse
import datetime
import json
import pathlib
import queue
import subprocess
import tempfile

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from envoy.service.secret.v3 import sds_pb2_grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc

PROTO = pathlib.Path(__file__).resolve().parents[4] / "proto"
SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


def istio_messages():
    """Request and response classes, from the contract: no Python package carries them."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"-I{PROTO}", "--include_imports", f"--descriptor_set_out={out.name}",
                        "istio/v1/auth/ca.proto"], check=True)
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(out.read()).file:
            pool.Add(file)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(f"istio.v1.auth.IstioCertificate{kind}"))
            for kind in ("Request", "Response")]


def create_certificate(channel, key, spiffe_id, token):
    request_class, response_class = istio_messages()
    csr = (x509.CertificateSigningRequestBuilder()
           .subject_name(x509.Name([]))
           .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)]), critical=True)
           .sign(key, hashes.SHA256()))
    call = channel.unary_unary("/istio.v1.auth.IstioCertificateService/CreateCertificate",
                               request_serializer=request_class.SerializeToString,
                               response_deserializer=response_class.FromString)
    request = request_class(csr=csr.public_bytes(serialization.Encoding.PEM).decode(), validity_duration=3600)
    return list(call(request, metadata=(("authorization", f"Bearer {token}"),), timeout=60).cert_chain)


def verify(chain, root_pem):
    """Path validation by pyca/cryptography; returns the leaf."""
    certificates = [x509.load_pem_x509_certificate(pem.encode()) for pem in chain[:-1]]
    verifier = PolicyBuilder().store(Store(x509.load_pem_x509_certificates(root_pem))).time(
        datetime.datetime.now(datetime.timezone.utc)).build_client_verifier()
    verifier.verify(certificates[0], certificates[1:])
    return certificates[0]


def first_secret(channel, name):
    """Subscribes, acknowledges the first answer, and leaves."""
    requests = queue.SimpleQueue()
    requests.put(discovery_pb2.DiscoveryRequest(type_url=SECRET_TYPE, resource_names=[name], node={"id": "python"}))
    stream = sds_pb2_grpc.SecretDiscoveryServiceStub(channel).StreamSecrets(iter(requests.get, None), timeout=60)
    response = next(stream)
    secret = secret_pb2.Secret()
    assert response.resources[0].Unpack(secret), response
    requests.put(discovery_pb2.DiscoveryRequest(type_url=SECRET_TYPE, resource_names=[name],
                                                version_info=response.version_info, response_nonce=response.nonce))
    requests.put(None)  # half-close: the server ends the stream
    for _ in stream:
        pass
    return response.version_info, secret


def main():
    parser = argparse.ArgumentParser()
    for name in ("server", "sds", "unix", "ca", "token", "id"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    root_pem = pathlib.Path(options.ca).read_bytes()

    with grpc.insecure_channel(f"unix:{options.unix}") as channel:
        unix = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
    with grpc.secure_channel(options.server, grpc.ssl_channel_credentials(root_pem)) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        key = ec.generate_private_key(ec.SECP256R1())
        chain = create_certificate(channel, key, options.id, options.token)
    leaf = verify(chain, root_pem)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption())
    credentials = grpc.ssl_channel_credentials(root_pem, key_pem, "".join(chain[:-1]).encode())
    with grpc.secure_channel(options.sds, credentials) as channel:
        version, secret = first_secret(channel, "ROOTCA")

    print(json.dumps({
        "health": health_pb2.HealthCheckResponse.ServingStatus.Name(health.status),
        "unix_health": health_pb2.HealthCheckResponse.ServingStatus.Name(unix.status),
        "spiffe_ids": names.get_values_for_type(x509.UniformResourceIdentifier),
        "serial": f"{leaf.serial_number:032x}",
        "elements": len(chain),
        "verified_by": "pyca/cryptography",
        "secret": secret.name,
        "secret_version": version,
        "secret_roots": secret.validation_context.trusted_ca.inline_bytes.decode() or
                        secret.validation_context.trusted_ca.inline_string,
    }))


if __name__ == "__main__":
    main()
