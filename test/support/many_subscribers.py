"""A thousand proxies in one process: SDS streams by gRPC's asyncio, each with a node id of its own."""

import asyncio
import threading

import grpc
import grpc_messages
from background import wait_until

TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
REQUEST = "envoy.service.discovery.v3.DiscoveryRequest"
RESPONSE = "envoy.service.discovery.v3.DiscoveryResponse"
METHOD = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"
STREAMS_A_CONNECTION = 50


class ManySubscribers:
    """Streams of nodes "node-0" ... on a Unix socket, open until the block ends. All acknowledge what they are sent but
    the `silent` ones, which take it without a word."""

    def __init__(self, socket, count, names=("ROOTCA",), silent=()):
        self.nodes = [f"node-{number}" for number in range(count)]
        self.received = {node: 0 for node in self.nodes}
        self.ended = {}
        self._names = names
        self._silent = set(silent)
        self._target = f"unix:{socket}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._calls = {}
        self._channels = []
        self._request = grpc_messages.message(REQUEST)
        self._response = grpc_messages.message(RESPONSE)

    def __enter__(self):
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(60)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=60)
        self._loop.close()

    def close(self, node):
        """The proxy of that node goes away."""
        asyncio.run_coroutine_threadsafe(self._end(node), self._loop).result(60)

    def wait_received(self, responses, timeout=60):
        """Waits until every stream was sent that many responses."""
        wait_until(lambda: min(self.received.values()) >= responses, timeout,
                   lambda: f"{sum(n < responses for n in self.received.values())} streams wait; ended: {self.ended}")

    async def _open(self):
        for number, node in enumerate(self.nodes):
            if number % STREAMS_A_CONNECTION == 0:
                self._channels.append(grpc.aio.insecure_channel(self._target, options=[
                    ("grpc.use_local_subchannel_pool", 1)]))
            method = self._channels[-1].stream_stream(METHOD, request_serializer=self._request.SerializeToString,
                                                      response_deserializer=self._response.FromString)
            call = method()
            self._calls[node] = (call, asyncio.ensure_future(self._run(node, call)))

    async def _run(self, node, call):
        try:
            first = self._request(type_url=TYPE, resource_names=self._names)
            first.node.id = node
            await call.write(first)
            while (response := await call.read()) is not grpc.aio.EOF:
                self.received[node] += 1
                if node not in self._silent:
                    await call.write(self._request(type_url=TYPE, resource_names=self._names,
                                                   version_info=response.version_info, response_nonce=response.nonce))
            self.ended[node] = "end"
        except grpc.RpcError as error:
            self.ended[node] = str(error.code())
        except asyncio.CancelledError:
            pass

    async def _end(self, node):
        call, task = self._calls.pop(node)
        call.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del self.received[node]

    async def _close(self):
        for node in list(self._calls):
            await self._end(node)
        for channel in self._channels:
            await channel.close()
