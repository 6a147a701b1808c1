"""Real, unmodified Envoys on meshca's SDS: both protocols, both transports, renewals, restarts, refusals."""

import envoy_mesh
import pytest
from background import wait_until
from envoy_workload import BACKEND, FRONTEND, rows, subscriber

MTLS = ("--sds-over-mtls",)
WAYS = [pytest.param(over, delta, id=f"{over}-{'delta' if delta else 'sotw'}")
        for over in ("unix", "mtls") for delta in (False, True)]


def acknowledged(server, workload):
    """Waits until the registry says what the Envoy itself says it holds."""
    def agrees():
        row = subscriber(server, workload.spiffe_id)
        return row if row and row["serial"].lstrip("0") in workload.serials() and row["bundle_sequence"] else None

    return wait_until(agrees, 60, lambda: f"{rows(server, 'subscriber', 'list')} {workload.serials()}")


@pytest.mark.parametrize(("over", "delta"), WAYS)
def test_two_envoys_talk_mtls(server, mesh, over, delta):
    ca = server(*(MTLS if over == "mtls" else ()))
    frontend, backend = mesh(ca, over=over, delta=delta)
    with envoy_mesh.Traffic(frontend.port("outbound")) as traffic:
        traffic.wait_for(100)
    assert traffic.failed == 0, traffic.counts
    for workload in (frontend, backend):
        row = acknowledged(ca, workload)
        assert row["kind"] == ("sds-mtls" if over == "mtls" else "sds-unix")
        assert row["node"] == workload.name
        assert row["rejected"] == ""
        # One key, however many contexts and streams; and the inventory knows it. What shares a
        # Unix socket shares a key, so that its record names the sockets and no instance.
        assert len(workload.serials()) == 1
        (serial,) = workload.serials()
        record = next(r for r in rows(ca, "cert", "list") if r["serial"].lstrip("0") == serial)
        assert record["spiffe_id"] == workload.spiffe_id
        named = row["instance"] if over == "mtls" else "shared-on-unix-sockets"
        assert record["instance"] == named
        assert workload.process.stat("server.envoy_bug_failures") == 0


@pytest.mark.parametrize(("over", "delta"), WAYS)
def test_renewals_under_traffic_fail_no_request(server, mesh, over, delta):
    ca = server("--leaf-lifetime", "30s", *(MTLS if over == "mtls" else ()))
    frontend, backend = mesh(ca, over=over, delta=delta)
    seen = {FRONTEND: frontend.serials(), BACKEND: backend.serials()}
    with envoy_mesh.Traffic(frontend.port("outbound")) as traffic:
        # By order, at half-life, by order again.
        for ordered in (True, False, True):
            if ordered:
                ca.cli("cert", "renew", "--id", "spiffe://cluster.local/ns/test/*")
            for workload in (frontend, backend):
                seen[workload.spiffe_id] |= workload.await_key_other_than(seen[workload.spiffe_id])
            traffic.wait_for(100)
    assert traffic.failed == 0, traffic.counts
    assert min(len(serials) for serials in seen.values()) >= 4
    for workload in (frontend, backend):
        acknowledged(ca, workload)
    # Each renewal names the certificate it renews.
    records = {r["serial"].lstrip("0"): r for r in rows(ca, "cert", "list")}
    parents = [parent for serial in seen[FRONTEND] if (parent := records[serial]["parent_serial"].lstrip("0"))]
    assert len(parents) >= 3 and {records[parent]["spiffe_id"] for parent in parents} == {FRONTEND}


@pytest.mark.parametrize("kill", [False, True], ids=["terminated", "killed"])
def test_a_restart_is_not_noticed_by_traffic(server, mesh, kill):
    ca = server()
    frontend, backend = mesh(ca)
    before = {workload.name: acknowledged(ca, workload) for workload in (frontend, backend)}
    first = frontend.serials()
    with envoy_mesh.Traffic(frontend.port("outbound")) as traffic:
        traffic.wait_for(50)
        if kill:
            ca.kill()
        else:
            ca.terminate()
        traffic.wait_for(100)  # what they hold is good without a CA
        ca.restart()
        # Keys of proxies are in memory only: whoever comes back is given a new one.
        assert frontend.await_key_other_than(first, timeout=90)
        traffic.wait_for(100)
    assert traffic.failed == 0, traffic.counts
    for workload in (frontend, backend):
        row = wait_until(lambda workload=workload: subscriber(ca, workload.spiffe_id), 90, f"{workload.name} is back")
        assert row["instance"] == before[workload.name]["instance"], "the same process is the same subscriber"
        acknowledged(ca, workload)


def test_an_envoy_that_rejects_is_heard_and_kept(server, workload):
    ca = server()
    # A listener whose key is asked for under the name of the bundle: Envoy cannot use what it gets.
    listener = envoy_mesh.inbound(FRONTEND, key_name="ROOTCA")
    broken = workload(ca, "backend", BACKEND, [listener], wait_ready=False)
    row = wait_until(lambda: next((r for r in rows(ca, "subscriber", "list") if r["rejected"]), None), 60,
                     lambda: f"a NACK\n{rows(ca, 'subscriber', 'list')}\n{broken.process.log()[-3000:]}")
    assert row["spiffe_id"] == BACKEND
    assert row["serial"] == ""
    assert row["connected"]
    # The NACK is not answered with the same bytes.
    with pytest.raises(AssertionError):
        wait_until(lambda: broken.process.log().count(" rejected: ") > 1, 2, "a second rejection")
    # Another stream of this Envoy took the bundle, but the slowest counts: a root it refused is no evidence.
    assert row["bundle_sequence"] == 0


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_an_entry_made_later_is_picked_up(server, workload, delta):
    ca = server()
    # The Envoy logs why it has no secret, command included, and goes on asking.
    late = workload(ca, "backend", BACKEND, [envoy_mesh.inbound(FRONTEND, delta=delta)], wait_ready=False, entry=False)
    wait_until(lambda: "meshca entry create" in late.process.log(), 60, lambda: late.process.log()[-3000:])
    ca.cli("entry", "create", BACKEND, "--selector", f"unix:path:{late.process.program}")
    wait_until(late.process.ready, 90, lambda: late.process.log()[-3000:])
    acknowledged(ca, late)


def test_the_biggest_node_is_read(server, mesh):
    # A sidecar of a real mesh sends tens of kilobytes about itself with the first request of every stream.
    node = {"metadata": {f"label-{n}": "x" * 1000 for n in range(61)}}
    ca = server()
    frontend, backend = mesh(ca, node=node)
    with envoy_mesh.Traffic(frontend.port("outbound")) as traffic:
        traffic.wait_for(20)
    assert traffic.failed == 0, traffic.counts
    for workload in (frontend, backend):
        acknowledged(ca, workload)


def test_over_mtls_nobody_gets_somebody_elses_key(server, workload):
    ca = server(*MTLS)
    thief = workload(ca, "backend", BACKEND, [envoy_mesh.inbound(FRONTEND, key_name=FRONTEND)], over="mtls",
                     wait_ready=False)
    wait_until(lambda: "may not hold this identity" in thief.process.log(), 60, lambda: thief.process.log()[-3000:])
    assert not [r for r in rows(ca, "cert", "list") if r["spiffe_id"] == FRONTEND]


def test_where_mtls_is_not_switched_on_there_is_no_sds(server, workload):
    ca = server()
    proxy = workload(ca, "backend", BACKEND, [envoy_mesh.inbound(FRONTEND)], over="mtls", wait_ready=False)
    wait_until(lambda: "gRPC config stream" in proxy.process.log(), 60, lambda: proxy.process.log()[-3000:])
    assert not proxy.serials()


def test_spiffe_validator_trusts_by_trust_domain(server, workload):
    # `ALL` is Envoy's own SPIFFE verifier in place of a CA file.
    ca = server()
    backend = workload(ca, "backend", BACKEND, [envoy_mesh.inbound(FRONTEND, roots_name="ALL")])
    listener, clusters = envoy_mesh.outbound(backend.port("inbound"), BACKEND, roots_name="ALL")
    frontend = workload(ca, "frontend", FRONTEND, [listener], clusters)
    with envoy_mesh.Traffic(frontend.port("outbound")) as traffic:
        traffic.wait_for(50)
    assert traffic.failed == 0, traffic.counts
