"""Istio's sidecar as a pod has it: pilot-agent, which writes Envoy's bootstrap, starts Envoy and passes on to it what the
control plane says; and a control plane that says as much as a mesh of two needs."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
from concurrent import futures

import grpc
from background import Background, wait_until
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401  what listeners and clusters hold as Any
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from envoy_process import EnvoyProcess
from google.protobuf import json_format

# Where Istio looks for a socket that serves SDS in its own stead, from the folder in which pilot-agent runs. The cluster
# of that socket is called as below.
WORKLOAD_SOCKET = pathlib.Path("var/run/secrets/workload-spiffe-uds/socket")
SDS_CLUSTER = "sds-grpc"


class ControlPlane(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """Tells each pod the listeners and clusters that it was given before the pod starts; these do not change."""

    def __init__(self):
        self._told = {}  # pod -> type URL -> named messages
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def tell(self, pod, listeners, clusters):
        messages = [*(json_format.ParseDict(each, Cluster()) for each in clusters),
                    *(json_format.ParseDict(each, Listener()) for each in listeners)]
        told = {f"type.googleapis.com/{kind.DESCRIPTOR.full_name}": [] for kind in (Cluster, Listener)}
        for message in messages:
            told[f"type.googleapis.com/{message.DESCRIPTOR.full_name}"].append(message)
        self._told[pod] = told

    def DeltaAggregatedResources(self, request_iterator, context):  # noqa: N802
        told = {}
        for nonce, request in enumerate(request_iterator):
            if request.HasField("node"):  # its id: sidecar~ADDRESS~POD.NAMESPACE~DOMAIN
                told = self._told[request.node.id.split("~")[2].split(".")[0]]
            if request.response_nonce or request.type_url not in told:
                continue
            answer = discovery_pb2.DeltaDiscoveryResponse(type_url=request.type_url, nonce=str(nonce))
            for message in told[request.type_url]:
                answer.resources.add(name=message.name, version="1").resource.Pack(message)
            yield answer

    def stop(self):
        self._server.stop(0).wait(60)


def free_ports(count):
    """Ports of 127.0.0.1 that nobody has now: what Istio configures by number alone."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Sidecar(EnvoyProcess):
    """One pod's pilot-agent and the Envoy that it starts, `program`. `folder` is the root that its relative paths start
    from, with what the pod mounts in it already. `control_plane`: whatever has an `address`. `config` and `env` go over what
    is said here to pilot-agent."""

    def __init__(self, pod, folder, program, pilot_agent, template, control_plane, config=None, env=None):
        super().__init__(folder, {}, program=program)
        self.pod = pod
        self.pilot_agent = pilot_agent
        self.template = template
        self.control_plane = control_plane
        self.config = config or {}
        self.env = env or {}

    def start(self, wait_ready=True):
        place = self.folder / "var/lib/istio/envoy/envoy_bootstrap_tmpl.json"
        place.parent.mkdir(parents=True)
        shutil.copyfile(self.template, place)
        admin_port, status_port = free_ports(2)
        config = {"binaryPath": str(self.program), "discoveryAddress": self.control_plane.address,
                  "controlPlaneAuthPolicy": "NONE", "proxyAdminPort": admin_port, "statusPort": status_port, "concurrency": 1,
                  "terminationDrainDuration": "0.1s", "proxyMetadata": {"METRICS_LOCALHOST_ACCESS_ONLY": "true"}, **self.config}
        env = {**os.environ, "PROXY_CONFIG": json.dumps(config), "POD_NAME": self.pod, "POD_NAMESPACE": "test",
               "INSTANCE_IP": "127.0.0.1", "ENVOY_STATUS_PORT": "0", "ENVOY_PROMETHEUS_PORT": "0",
               "METRICS_LOCALHOST_ACCESS_ONLY": "true", **self.env}
        self.background = Background([self.pilot_agent, "proxy", "sidecar", "--proxyLogLevel=info"],
                                     self.folder / "pilot-agent.log", env, self.folder)
        self.admin = f"127.0.0.1:{admin_port}"
        if wait_ready:
            wait_until(lambda: self.ready() or not self.background.running(), 60,
                       lambda: "Envoy ready\n" + self.background.output())
            assert self.background.running(), self.background.output()
        return self

    def stop(self):
        """pilot-agent ends Envoy before itself; one that it could not is ended here."""
        if not self.background:
            return
        children = pathlib.Path(f"/proc/{self.background.pid}/task/{self.background.pid}/children")
        try:
            envoys = [int(pid) for pid in children.read_text(encoding="ascii").split()]
        except OSError:
            envoys = []
        try:
            if self.background.running():
                self.background.terminate()
        finally:
            for pid in envoys:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
