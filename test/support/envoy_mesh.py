"""A mesh of Envoys whose keys and roots come from meshca over SDS: bootstraps, and the traffic between them.

    client request -> "outbound" listener of one Envoy -> mTLS -> "inbound" listener of another -> its own answer

Both ends present `default` and check the other against `ROOTCA` and its SPIFFE ID, so a request succeeds only when both
Envoys hold a good key and a good bundle. Used by the Envoy tests and by `cli/quickstart.sh --demo`.
"""

import collections
import http.client
import threading
import time

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _http2_options():
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":
            {"@type": HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}}


def _endpoint(address):
    return {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}


def _socket_address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}


def meshca_over_unix(socket):
    """The cluster "meshca": the API socket, where the kernel says who asks."""
    return {"name": "meshca", "connect_timeout": "20s", "typed_extension_protocol_options": _http2_options(),
            "load_assignment": {"cluster_name": "meshca", **_endpoint({"pipe": {"path": str(socket)}})}}


def meshca_over_mtls(address, folder):
    """The cluster "meshca": the gRPC port, with the key.pem, cert-chain.pem and root-cert.pem of `meshca request`."""
    host, port = address.rsplit(":", 1)
    context = {
        "@type": f"{TLS}.UpstreamTlsContext",
        "sni": "localhost",
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificates": [{"certificate_chain": {"filename": f"{folder}/cert-chain.pem"},
                                  "private_key": {"filename": f"{folder}/key.pem"}}],
            "validation_context": {"trusted_ca": {"filename": f"{folder}/root-cert.pem"}},
        },
    }
    return {"name": "meshca", "connect_timeout": "20s", "typed_extension_protocol_options": _http2_options(),
            "transport_socket": {"name": "tls", "typed_config": context},
            "load_assignment": {"cluster_name": "meshca", **_endpoint(_socket_address(host, int(port)))}}


def sds_secret(name, delta=False, source="meshca"):
    """An SdsSecretConfig for `name` from the cluster `source`."""
    # Envoy is ready when it has the secret, and not when it has waited for 15 s in vain.
    return {"name": name, "sds_config": {
        "resource_api_version": "V3", "initial_fetch_timeout": "0s",
        "api_config_source": {"api_type": "DELTA_GRPC" if delta else "GRPC", "transport_api_version": "V3",
                              "grpc_services": [{"envoy_grpc": {"cluster_name": source}}]}}}


def mtls(peer_id, delta=False, key_name="default", roots_name="ROOTCA", source="meshca"):
    """A CommonTlsContext that presents one secret and accepts one SPIFFE ID; both secrets come from the cluster `source`."""
    return {
        "tls_certificate_sds_secret_configs": [sds_secret(key_name, delta, source)],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer_id}}]},
            "validation_context_sds_secret_config": sds_secret(roots_name, delta, source)}}


def _http_listener(name, virtual_host, transport_socket=None):
    manager = {"@type": HCM, "stat_prefix": name,
               "route_config": {"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], **virtual_host}]},
               "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}]}
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if transport_socket:
        chain["transport_socket"] = transport_socket
    return {"name": name, "address": _socket_address("127.0.0.1", 0), "filter_chains": [chain]}


def inbound(peer_id, body="hello", **tls):
    """The listener "inbound": answers `body` to mTLS clients that are `peer_id`."""
    context = {"@type": f"{TLS}.DownstreamTlsContext", "require_client_certificate": True,
               "common_tls_context": mtls(peer_id, **tls)}
    # No resumption: every new connection is a whole handshake, so each proves the secrets of that moment.
    context["disable_stateless_session_resumption"] = True
    context["disable_stateful_session_resumption"] = True
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": body}}}
    return _http_listener("inbound", {"routes": [route]}, {"name": "tls", "typed_config": context})


def outbound(peer_port, peer_id, **tls):
    """The listener "outbound" and its clusters: /new opens an mTLS connection a request, anything else keeps one."""
    def cluster(name, options):
        context = {"@type": f"{TLS}.UpstreamTlsContext", "common_tls_context": mtls(peer_id, **tls),
                   "max_session_keys": 0}
        return {"name": name, "connect_timeout": "60s",
                "transport_socket": {"name": "tls", "typed_config": context},
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions":
                    {"@type": HTTP_OPTIONS, "explicit_http_config": {"http_protocol_options": {}}, **options}},
                "load_assignment": {"cluster_name": name, **_endpoint(_socket_address("127.0.0.1", peer_port))}}

    listener = _http_listener("outbound", {"routes": [
        {"match": {"path": "/new"}, "route": {"cluster": "peer_new", "timeout": "0s"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "peer", "timeout": "0s"}}]})
    return listener, [cluster("peer", {}),
                      cluster("peer_new", {"common_http_protocol_options": {"max_requests_per_connection": 1}})]


def bootstrap(meshca, listeners, clusters=(), node_id="envoy"):
    """The whole configuration of one Envoy; `meshca` is one of the clusters above."""
    return {"node": {"id": node_id, "cluster": "mesh"},
            "static_resources": {"listeners": list(listeners), "clusters": [meshca, *clusters]}}


class Traffic:
    """Requests to an "outbound" listener until the block ends: half of them on new mTLS connections.

    `counts` holds outcomes ("200", "503", "ConnectionRefusedError"); `failed` is every one but 200. `host`: whom they are for,
    where the listener asks.
    """

    def __init__(self, port, threads=4, per_second=200, host=None):
        self.counts = collections.Counter()
        self._lock = threading.Condition()
        self._port = port
        self._headers = {"Host": host} if host else {}
        self._interval = threads / per_second
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=("/new" if n % 2 else "/kept",)) for n in range(threads)]

    def _run(self, path):
        connection = None
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += self._interval
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
                connection.request("GET", path, headers=self._headers)
                answer = connection.getresponse()
                answer.read()
                outcome = str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                connection, outcome = None, type(error).__name__
            with self._lock:
                self.counts[outcome] += 1
                self._lock.notify_all()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=90)

    @property
    def total(self):
        with self._lock:
            return sum(self.counts.values())

    @property
    def failed(self):
        with self._lock:
            return sum(count for outcome, count in self.counts.items() if outcome != "200")

    def wait_for(self, more, timeout=60):
        """Waits until that many more requests have ended, whatever their outcome."""
        with self._lock:
            target = sum(self.counts.values()) + more
            assert self._lock.wait_for(lambda: sum(self.counts.values()) >= target, timeout), "traffic stands still"
