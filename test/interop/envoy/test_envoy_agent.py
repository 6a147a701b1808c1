"""Real Envoys that take their keys and roots from their node's agent, by both protocols."""

import time

import envoy_mesh
import rotation
from background import wait_until
from envoy_workload import BACKEND, FRONTEND

LIFETIME_S = 60
QUICK = ("--leaf-lifetime", f"{LIFETIME_S}s", "--rotation-skew", "0s", "--rotation-settle", "500ms")


def roots(envoy):
    """Serials of the roots that an Envoy trusts."""
    return {certificate["serial_number"].lower().lstrip("0") for entry in envoy.process.certs()["certificates"]
            for certificate in entry.get("ca_cert", [])}


def test_no_request_fails_while_the_ca_is_away_for_half_of_a_lifetime_and_then_has_a_new_root(server, agent, workload):
    """The backend asks by state of the world, the frontend by delta; one agent serves both."""
    ca = server(*QUICK)
    node = agent(ca, "node-1")
    backend = workload(ca, "backend", BACKEND, [envoy_mesh.inbound(FRONTEND)], agent=node)
    listener, clusters = envoy_mesh.outbound(backend.port("inbound"), BACKEND, delta=True)
    frontend = workload(ca, "frontend", FRONTEND, [listener], clusters, agent=node)
    envoys = (backend, frontend)
    before = {envoy.name: (envoy.serials(), roots(envoy)) for envoy in envoys}
    with envoy_mesh.Traffic(frontend.port("outbound")) as traffic:
        traffic.wait_for(100)
        ca.args += ["--listen", ca.grpc]
        ca.kill()
        away = time.monotonic()
        wait_until(lambda: time.monotonic() - away > LIFETIME_S * 0.55, 60, "the outage")
        ca.start()
        for envoy in envoys:
            envoy.await_key_other_than(before[envoy.name][0])
        ended = rotation.rotate(ca)
        for envoy in envoys:
            wait_until(lambda envoy=envoy: not roots(envoy) & before[envoy.name][1], 60,
                       f"{envoy.name} trusts the old root no longer")
        traffic.wait_for(100)
    assert ended["step"] == "done", ended
    assert traffic.failed == 0, traffic.counts
    for envoy in envoys:
        assert envoy.process.stat("server.envoy_bug_failures") == 0
