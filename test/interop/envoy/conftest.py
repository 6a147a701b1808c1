"""Envoys that are workloads of a meshca: each is told which SPIFFE ID it is, and how it reaches the CA."""

import os
import shutil

import envoy_mesh
import envoy_process
import pytest
from envoy_workload import BACKEND, FRONTEND, Workload


@pytest.fixture
def workload(envoy, tmp_path_factory):
    """workload(server, name, id, listeners, clusters, over="unix"|"mtls"): a running Envoy.

    Over the Unix socket it is who it is by a registration entry on its program's path; over mTLS by a certificate of
    `meshca request`. With `agent` that socket, and that entry, are of the agent's node.
    """
    folder = tmp_path_factory.mktemp("programs")

    def start(server, name, spiffe_id, listeners, clusters=(), over="unix", node=None, wait_ready=True, entry=True,
              agent=None):
        config = envoy_mesh.bootstrap(reach(server, name, spiffe_id, over, agent), listeners, clusters, node_id=name)
        config["node"].update(node or {})
        program = folder / name
        if not program.exists():
            try:
                os.link(envoy_process.binary(), program)
            except OSError:  # another file system
                shutil.copy2(envoy_process.binary(), program)
        if over == "unix" and entry:
            of_node = ("--node", agent.node) if agent else ()
            server.cli("entry", "create", spiffe_id, "--selector", f"unix:path:{program}", *of_node)
        process = envoy(config, wait_ready=wait_ready, program=program)
        return Workload(process, spiffe_id, name, folder / f"{name}-bootstrap")

    def reach(server, name, spiffe_id, over, agent):
        if over == "unix":
            return envoy_mesh.meshca_over_unix((agent or server).api_socket)
        files = folder / f"{name}-bootstrap"
        server.cli("request", spiffe_id, "--ttl", "1h", "--out-dir", files)
        return envoy_mesh.meshca_over_mtls(server.grpc, files)

    return start


@pytest.fixture
def mesh(workload):
    """mesh(server, over=..., delta=...): a frontend that calls a backend; both ready."""

    def start(server, over="unix", delta=False, node=None):
        backend = workload(server, "backend", BACKEND, [envoy_mesh.inbound(FRONTEND, delta=delta)], over=over, node=node)
        listener, clusters = envoy_mesh.outbound(backend.port("inbound"), BACKEND, delta=delta)
        frontend = workload(server, "frontend", FRONTEND, [listener], clusters, over=over, node=node)
        return frontend, backend

    return start
