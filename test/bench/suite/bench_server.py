"""A `meshca serve` to be measured: on a core of its own, with a caller it trusts, without limits on one caller."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "test" / "support"))

from agent_process import AgentProcess  # noqa: E402
from meshca_process import MeshcaProcess  # noqa: E402

WORKLOAD = "spiffe://cluster.local/ns/bench/sa/load"
CONFIG = """
authenticators:
- jwt:
    issuer: https://issuer.test
    audiences: [istio-ca]
    jwks_file: jwks.json
    spiffe_id: spiffe://{trust_domain}/ns/{claims.ns}/sa/{claims.sa}
"""
# One load stands for a whole mesh: what bounds a single caller would bound the figure.
LIMITS = ("--limits-calls-per-second-per-source", "10000000", "--limits-connections-per-source-max", "20000",
          "--limits-connections-max", "20000", "--rotation-instances-per-caller-max", "65536")


def cores():
    """The core of the server and that of the load."""
    usable = sorted(os.sched_getaffinity(os.getpid()))
    if len(usable) < 2:
        raise SystemExit("server and load need a core each, and this process may use one only")
    return usable[0], usable[1]


@contextlib.contextmanager
def on_core(core):
    """What is started in this block runs on `core`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class BenchServer(MeshcaProcess):
    """Started by `with`, ended with its state kept. `starting_ms`: from its start to its readiness."""

    def __init__(self, build, folder, *args, state_dir=None, config=""):
        self.build = pathlib.Path(build)
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._write_credentials(folder)
        super().__init__(self.build / "meshca", folder, state_dir or folder / "state", [*LIMITS, *args], CONFIG + config)
        self.starting_ms = None

    def __enter__(self):
        started = time.monotonic()
        with on_core(cores()[0]):
            self.start(60)
        self.starting_ms = (time.monotonic() - started) * 1e3
        return self

    def __exit__(self, *ignored):
        self.terminate()

    def _write_credentials(self, folder):
        """A JWKS file for the server and one token for the load, signed by a key made here."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
        (folder / "jwks.json").write_text(
            json.dumps({"keys": [{**public, "kid": "bench", "alg": "ES256", "use": "sig"}]}))
        now = int(time.time())
        claims = {"iss": "https://issuer.test", "aud": "istio-ca", "sub": "bench", "ns": "bench", "sa": "load",
                  "iat": now, "nbf": now - 60, "exp": now + 3600}
        (folder / "token").write_text(jwt.encode(claims, key, algorithm="ES256", headers={"kid": "bench"}))

    def root_file(self):
        path = self.folder / "root.pem"
        path.write_text(self.root_pem)
        return path

    def client_certificate(self):
        """Flags of a client that proves itself by a certificate of this CA."""
        folder = self.folder / "client"
        self.cli("request", WORKLOAD, "--out-dir", folder)
        return ["--cert", folder / "cert-chain.pem", "--key", folder / "key.pem"]

    def resting_bytes(self):
        return resting_bytes(self.background)

    def metric(self, name):
        """The sum of a metric's samples on /metrics."""
        lines = [line for line in self.get("/metrics").splitlines() if line.split("{")[0].split(" ")[0] == name]
        if not lines:
            raise SystemExit(f"/metrics has no {name}")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def resting_bytes(background):
    """Resident memory once a process is at rest: two looks a tenth of a second apart that agree. The kernel tells nobody of a
    change, so they are looks; one that never rests has no figure."""
    before = -1
    for _ in range(300):
        now = background.resident_bytes()
        if now == before:
            return now
        before = now
        time.sleep(0.1)
    raise SystemExit(f"the process's memory did not come to rest in 30 s: {before} bytes at last")


class BenchAgent(AgentProcess):
    """The `meshca agent` of a node of `ca`, on the server's core. By `with`: it serves WORKLOAD to this user then."""

    LIMITS = ("--limits-calls-per-second-per-source", "10000000")

    def __init__(self, ca, folder):
        self.build = ca.build
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        ca.cli("token", "create", "--node", "bench-node", "--out", folder / "token")
        ca.cli("entry", "create", WORKLOAD, "--selector", f"unix:uid:{os.geteuid()}", "--node", "bench-node")
        super().__init__(self.build / "meshca", folder, folder / "state",
                         ["--server", ca.grpc, "--token-file", str(folder / "token"), *self.LIMITS])

    def __enter__(self):
        with on_core(cores()[0]):
            self.start(60)
        deadline = time.monotonic() + 60
        while self.cli("workload", "x509", check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise SystemExit(f"the agent serves nothing after a minute\n{self.log()}")
            time.sleep(0.1)
        return self

    def __exit__(self, *ignored):
        self.terminate()


def seed(server, rows, *words):
    """Records issuances in the database of a server that does not run."""
    command = [server.build / "test/bench/meshca-seed", "--state-dir", server.state_dir, "--rows", str(rows), *words]
    subprocess.run(command, check=True, stdout=sys.stderr)
