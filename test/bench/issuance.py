"""CPU time of the server per durably recorded certificate, over OpenSSL's P-256 verify + sign in the same run.

Started by run.sh. The server gets the first core that this process may use, the load the second.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "support"))

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


def write_credentials(folder):
    """A JWKS file for the server and one token for the load, signed by a key made here."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    (folder / "jwks.json").write_text(json.dumps({"keys": [{**public, "kid": "bench", "alg": "ES256", "use": "sig"}]}))
    now = int(time.time())
    claims = {"iss": "https://issuer.test", "aud": "istio-ca", "sub": "bench", "ns": "bench", "sa": "load",
              "iat": now, "nbf": now - 60, "exp": now + 3600}
    (folder / "token").write_text(jwt.encode(claims, key, algorithm="ES256", headers={"kid": "bench"}))


def file_system(path):
    done = subprocess.run(["findmnt", "-n", "-o", "FSTYPE,SOURCE", "-T", path], capture_output=True, text=True, check=False)
    return " on ".join(done.stdout.split()) or "unknown"


def median_round(report):
    """The figures of a usual round: the median of each."""
    rounds = report["rounds"]
    middle = lambda pick: statistics.median(pick(one) for one in rounds)  # noqa: E731
    return {**{name: middle(lambda one: one[name]) for name in ("ratio", "cpu_us", "arithmetic_us", "per_second")},
            "ratios": [one["ratio"] for one in rounds], "certificates": sum(one["ok"] for one in rounds),
            "p50_ms": middle(lambda one: one["latency_ms"]["p50"]), "p99_ms": middle(lambda one: one["latency_ms"]["p99"])}


def measure(build, folder, words):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("server and load need a core each")
    write_credentials(folder)
    server = MeshcaProcess(build / "meshca", folder, folder / "state", config=CONFIG)
    os.sched_setaffinity(0, {cores[0]})  # inherited by the server
    try:
        server.start()
        os.sched_setaffinity(0, {cores[1]})
        (folder / "root.pem").write_text(server.root_pem)
        done = subprocess.run([build / "test/bench/meshca-bench", "csr", "--address", server.grpc,
                               "--server-pid", str(server.pid), "--root", folder / "root.pem", "--id", WORKLOAD,
                               "--token-file", folder / "token", "--yardstick", "--json", *words],
                              stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"the load failed\n{server.background.output()}")
        result = median_round(json.loads(done.stdout))
        result["memory_mib"] = server.background.resident_bytes() / 2**20
        return result
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(prog="test/bench/run.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=2.2, help="the ratio promised")
    for name, default in (("connections", 8), ("in-flight", 32), ("requests", 4000), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    folder = ROOT / "build" / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = [word for name in ("connections", "in_flight", "requests", "rounds")
             for word in ("--" + name.replace("_", "-"), str(getattr(options, name)))]

    result = measure(pathlib.Path(os.environ.get("MESHCA_BUILD_DIR", ROOT / "build" / "release")), folder, words)
    print(f"issuance, recorded durably before the reply: {options.in_flight} requests in flight on "
          f"{options.connections} TLS connections, {result['certificates']} certificates for unique P-256 keys")
    print(f"  state on            {file_system(folder)}")
    print(f"  P-256 verify + sign {result['arithmetic_us']:.1f} us")
    print(f"  server CPU          {result['cpu_us']:.1f} us a certificate; "
          f"rounds {', '.join(f'{ratio:.2f}' for ratio in result['ratios'])}")
    print(f"  latency             p50 {result['p50_ms']:.1f} ms, p99 {result['p99_ms']:.1f} ms; "
          f"{result['per_second']:.0f} certificates a second")
    print(f"  server memory       {result['memory_mib']:.1f} MiB")
    print(f"  ratio               {result['ratio']:.2f} (limit {options.limit})")
    return 0 if result["ratio"] <= options.limit else 1


if __name__ == "__main__":
    sys.exit(main())
