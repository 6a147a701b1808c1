"""Istio's pilot-agent, unmodified, with the agent's socket where Istio looks for one: it starts no SDS server of its own for
workloads, and its Envoy has keys and roots from the node's agent."""

import os
import shutil

import envoy_mesh
import envoy_process
import istio_programs
import istio_sidecar
import pytest
import rotation
from background import wait_until
from envoy_workload import BACKEND, FRONTEND, Workload

LIFETIME_S = 60
QUICK = ("--leaf-lifetime", f"{LIFETIME_S}s", "--rotation-skew", "0s", "--rotation-settle", "500ms")


@pytest.fixture(scope="session")
def pilot_agent():
    return istio_programs.build_pilot_agent()


@pytest.fixture
def control_plane():
    plane = istio_sidecar.ControlPlane()
    yield plane
    plane.stop()


@pytest.fixture
def sidecar(pilot_agent, control_plane, tmp_path):
    """sidecar(server, agent, pod, id, listeners, clusters): a pod with one, whose Envoy is ready."""
    started = []

    def start(server, agent, pod, spiffe_id, listeners, clusters=()):
        folder = tmp_path / pod
        # As a volume of the node's folder is mounted into a pod.
        mounted = folder / istio_sidecar.WORKLOAD_SOCKET.parent
        mounted.parent.mkdir(parents=True)
        mounted.symlink_to(os.path.dirname(agent.api_socket))
        program = folder / "envoy"
        shutil.copy2(envoy_process.binary(), program)
        server.cli("entry", "create", spiffe_id, "--selector", f"unix:path:{program}", "--node", agent.node)
        control_plane.tell(pod, listeners, clusters)
        process = istio_sidecar.Sidecar(pod, folder, program, *pilot_agent, control_plane)
        started.append(process)
        process.start()
        return Workload(process, spiffe_id, pod, None)

    yield start
    for process in started:
        process.stop()


def roots(envoy):
    """Serials of the roots that an Envoy trusts."""
    return {certificate["serial_number"].lower().lstrip("0") for entry in envoy.process.certs()["certificates"]
            for certificate in entry.get("ca_cert", [])}


@pytest.mark.all_only
@pytest.mark.timeout(1200)  # the first build downloads and compiles for minutes
def test_no_request_of_two_sidecars_fails_through_a_renewal_and_a_new_root(server, agent, sidecar, tmp_path_factory):
    ca = server(*QUICK)
    # A socket's path has room for 107 bytes, and Istio takes 49 of them.
    socket = tmp_path_factory.mktemp("n") / istio_sidecar.WORKLOAD_SOCKET
    socket.parent.mkdir(parents=True)
    node = agent(ca, "node-1", "--api-socket", socket)
    assert node.api_socket == str(socket)
    secrets = {"source": istio_sidecar.SDS_CLUSTER}
    backend = sidecar(ca, node, "backend", BACKEND, [envoy_mesh.inbound(FRONTEND, **secrets)])
    listener, clusters = envoy_mesh.outbound(backend.port("inbound"), BACKEND, **secrets)
    frontend = sidecar(ca, node, "frontend", FRONTEND, [listener], clusters)
    for each in (backend, frontend):
        assert "Existing workload SDS socket found" in each.process.background.output(), "pilot-agent leaves secrets to it"
    before = {each.name: (each.serials(), roots(each)) for each in (backend, frontend)}
    with envoy_mesh.Traffic(frontend.port("outbound")) as traffic:
        traffic.wait_for(100)
        for each in (backend, frontend):
            each.await_key_other_than(before[each.name][0])
        traffic.wait_for(100)
        ended = rotation.rotate(ca)
        for each in (backend, frontend):
            wait_until(lambda each=each: not roots(each) & before[each.name][1], 60, f"{each.name} trusts the new root alone")
        traffic.wait_for(100)
    assert ended["step"] == "done", ended
    assert traffic.failed == 0, traffic.counts
