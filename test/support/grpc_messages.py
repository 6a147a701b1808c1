"""The contracts of proto/ for Python tests: messages and calls made from the .proto files themselves.

protoc writes one descriptor set into a temporary folder; nothing generated is kept, so what a test speaks is always what
the tree says.
"""

import functools
import pathlib
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.lru_cache(maxsize=None)
def _pool():
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "set.pb"
        subprocess.run(["protoc", f"-I{ROOT / 'proto'}", "--include_imports", f"--descriptor_set_out={out}", *protos],
                       check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:  # protoc writes what is imported first
        pool.Add(file)
    return pool


def message(full_name):
    """The message class of that full name, e.g. "istio.v1.auth.IstioCertificateRequest"."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(full_name))


def call(channel, path):
    """A callable for the method "/package.Service/Method" on `channel`, of the kind the service declares."""
    service, method = path.lstrip("/").split("/")
    descriptor = _pool().FindServiceByName(service).FindMethodByName(method)
    request = message_factory.GetMessageClass(descriptor.input_type)
    response = message_factory.GetMessageClass(descriptor.output_type)
    kind = f"{'stream' if descriptor.client_streaming else 'unary'}_{'stream' if descriptor.server_streaming else 'unary'}"
    return getattr(channel, kind)(path, request_serializer=request.SerializeToString,
                                  response_deserializer=response.FromString)


def tls_channel(address, roots, certificate=None, key=None):
    """A channel to a meshca TLS port, whatever name or address it is dialled by."""
    credentials = grpc.ssl_channel_credentials(roots, key, certificate)
    return grpc.secure_channel(address, credentials, options=[("grpc.ssl_target_name_override", "localhost")])


def unix_channel(path):
    """A channel to a Unix socket, as grpcio makes one by itself: its :authority is the socket's path."""
    return grpc.insecure_channel(f"unix:{path}")
