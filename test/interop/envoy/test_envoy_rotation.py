"""The root of a mesh of real Envoys is replaced while they talk: no request fails, not even when the server is killed at
every write of every step."""

import subprocess
import threading

import envoy_mesh
import pytest
import rotation
from background import wait_until
from envoy_workload import BACKEND, FRONTEND
from meshca_process import MeshcaProcess

QUICK = ("--leaf-lifetime", "60s", "--rotation-skew", "0s", "--rotation-settle", "500ms")
STEPS = ("prepare", "publish", "activate", "drain", "retire", "done")


class FileRenewer:
    """What an agent beside an Envoy does: renews the certificate that the Envoy reaches the CA with, again and again."""

    def __init__(self, server, spiffe_id, folder):
        self._command = ["request", spiffe_id, "--server", server.grpc, "--ca-cert", folder / "root-cert.pem", "--cert",
                         folder / "cert-chain.pem", "--key", folder / "key.pem", "--out-dir", folder]
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.errors = []

    def _run(self):
        while not self._stop.wait(1.0):
            done = self._server.cli(*self._command, check=False)
            if done.returncode != 0:
                self.errors.append(done.stderr)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(timeout=90)


def trusted(workload):
    """Serials of the roots an Envoy was given over SDS; not those it read from files."""
    return {certificate["serial_number"].lower().lstrip("0") for entry in workload.process.certs()["certificates"]
            for certificate in entry.get("ca_cert", []) if certificate["path"] == "<inline>"}


@pytest.mark.alone
def test_rotation_under_traffic_fails_no_request(server, workload):
    """One Envoy over the Unix socket by SotW, the other over mTLS by delta, and half of the requests on new connections."""
    ca = server(*QUICK, "--sds-over-mtls")
    old_root = ca.root_fingerprint
    backend = workload(ca, "backend", BACKEND, [envoy_mesh.inbound(FRONTEND)], over="unix")
    listener, clusters = envoy_mesh.outbound(backend.port("inbound"), BACKEND, delta=True)
    frontend = workload(ca, "frontend", FRONTEND, [listener], clusters, over="mtls")
    trusted_before = trusted(backend)
    with FileRenewer(ca, FRONTEND, frontend.files) as renewer, \
            envoy_mesh.Traffic(frontend.port("outbound"), per_second=400) as traffic:
        traffic.wait_for(200)
        ended = rotation.rotate(ca)
        traffic.wait_for(400)
    assert ended["step"] == "done", ended
    assert traffic.failed == 0, traffic.counts
    assert renewer.errors == []
    states = rotation.root_states(ca)
    assert states[old_root] == "retired" and sorted(states.values()) == ["active", "retired"]
    for envoy in (frontend, backend):
        wait_until(lambda envoy=envoy: not trusted(envoy) & trusted_before, 60, f"{envoy.name} dropped the old root")
        assert envoy.process.stat("server.envoy_bug_failures") == 0


class Supervised:
    """A server that is started again whenever it dies, as systemd or Kubernetes would."""

    def __init__(self, process):
        self.process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.wait(0.05):
            if not self.process.background.running():
                try:
                    self.process.start()
                except AssertionError:
                    pass  # It died on its way up: the next look starts it again.

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(timeout=90)


@pytest.mark.alone
def test_killed_at_every_write_the_rotation_ends_right(build_dir, tmp_path, workload, mesh):
    """The server dies by SIGKILL before and after each commit of the rotation, once each, while requests flow."""
    program = build_dir / "test" / "integration" / "meshca_with_faults"
    assert program.exists(), f"{program} is not built"
    faults = tmp_path / "faults"
    faults.mkdir()
    process = MeshcaProcess(program, tmp_path, tmp_path / "state", QUICK, env={"MESHCA_FAULTS": str(faults)})
    process.start()
    try:
        old_root = process.root_fingerprint
        frontend, _ = mesh(process)
        with Supervised(process), envoy_mesh.Traffic(frontend.port("outbound"), per_second=200) as traffic:
            traffic.wait_for(100)
            wait_until(lambda: begun(process), 60, "a rotation runs")
            wait_until(lambda: step_of(process) == "done", 200,
                       lambda: f"{step_of(process)} {sorted(p.name for p in faults.iterdir())}\n{process.log()[-3000:]}")
            wait_until(lambda: len(list(faults.iterdir())) == 2 * len(STEPS) and step_of(process) == "done", 60,
                       lambda: f"{sorted(p.name for p in faults.iterdir())}")
            traffic.wait_for(200)
        assert {path.name for path in faults.iterdir()} == {f"root.{step}.{when}" for step in STEPS
                                                            for when in ("before", "after")}
        assert traffic.failed == 0, traffic.counts
        # No step was done twice, and the new root signed nothing before its activation.
        assert rotation.audited(process) == {f"root.{step}": 1 for step in STEPS}
        states = rotation.root_states(process)
        assert states[old_root] == "retired" and sorted(states.values()) == ["active", "retired"]
        process.cli("db", "check")
    finally:
        process.stop()


def begun(process):
    """Asks for a rotation until one runs: the server may die of it before or after it has begun."""
    process.cli("root", "rotate", "--detach", check=False)
    return step_of(process) not in (None, "none")


def step_of(process):
    done = process.cli("root", "status", "-o", "json", check=False)
    try:
        return rotation.step_in(done.stdout) if done.returncode == 0 else None
    except (ValueError, subprocess.SubprocessError):
        return None
