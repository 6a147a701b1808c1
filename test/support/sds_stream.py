"""SDS streams whose requests a test sends one by one."""

import queue

import grpc
import grpc_messages
import pytest

SERVICE = "/envoy.service.secret.v3.SecretDiscoveryService"
TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
DISCOVERY = "envoy.service.discovery.v3"


class Stream:
    """One StreamSecrets or DeltaSecrets call; it ends by itself after `timeout` seconds."""

    def __init__(self, channel, method, timeout=60):
        self.delta = method == "DeltaSecrets"
        self.request = grpc_messages.message(f"{DISCOVERY}.{'Delta' if self.delta else ''}DiscoveryRequest")
        self._requests = queue.SimpleQueue()
        self._call = grpc_messages.call(channel, f"{SERVICE}/{method}")(iter(self._requests.get, None), timeout=timeout)

    def ask(self, names, nonce="", type_url=TYPE, node=b""):
        request = self.request(type_url=type_url, response_nonce=nonce)
        (request.resource_names_subscribe if self.delta else request.resource_names).extend(names)
        request.node.MergeFromString(node)
        self._requests.put(request)

    def next(self):
        return next(self._call)

    def end(self):
        """How the server ends it."""
        with pytest.raises(grpc.RpcError) as error:
            next(self._call)
        return error.value.code(), error.value.details()

    def cancel(self):
        self._call.cancel()
        self._requests.put(None)


def secrets(response):
    """name -> Secret."""
    secret = grpc_messages.message("envoy.extensions.transport_sockets.tls.v3.Secret")
    found = {}
    for resource in response.resources:
        packed = resource.resource if hasattr(resource, "resource") else resource
        assert packed.type_url == TYPE
        one = secret.FromString(packed.value)
        found[one.name] = one
    return found
