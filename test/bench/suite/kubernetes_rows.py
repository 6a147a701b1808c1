"""What a Kubernetes cluster costs the server: a token verified here, what its pods take in memory, and how long it takes until all
is as it should be when an API server that was away is back. The API server is replayed_api.py."""

import time

from bench_server import BenchServer, cores, on_core
from load import LoadError, run_alone
from replayed_api import ReplayedApi
from row import Row

REPEATS = 5
PODS, NAMESPACES = 100_000, 1000
AWAY_S = 20  # long enough for every pause between attempts to have grown
KEY = "root-cert.pem"
WATCHED = ("pods", "serviceaccounts", "namespaces", "configmaps")


def tokens(bench):
    report = run_alone(bench.build, ["token", "--pods", PODS, "--rounds", REPEATS])
    rounds = report["rounds"]
    yield Row("token-local", "service account token verified locally, over its RS256 verification", "x", 1.3,
              [one["ratio"] for one in rounds],
              details={name: [one[name] for one in rounds] for name in ("token_us", "verification_us", "openssl_us")})


def _served(bench, name, api, section=""):
    return BenchServer(bench.build, bench.folder(name), config=f"kubernetes:\n  kubeconfig: {api.kubeconfig}\n{section}")


def _resting_mib(bench, name, pods):
    """Of a server that knows so many pods, at rest."""
    with on_core(cores()[1]):
        api = ReplayedApi(bench.folder(f"{name}-api"), pods=pods)
    with api, _served(bench, name, api) as server:
        deadline = time.monotonic() + 120
        while server.metric("meshca_kubernetes_pods") != pods or not api.is_watched("pods", "serviceaccounts"):
            if time.monotonic() > deadline:
                raise LoadError(f"not all pods are known after two minutes\n{server.log()}")
            time.sleep(0.1)
        return server.resting_bytes() / 2**20


def memory(bench):
    """Five pairs of servers, one with a cluster of no pods and one with 100,000."""
    over, whole = [], []
    for number in range(REPEATS):
        idle = _resting_mib(bench, f"no-pods-{number}", 0)
        whole.append(_resting_mib(bench, f"pods-{number}", PODS))
        over.append(whole[-1] - idle)
    yield Row("pods-memory", "memory of 100,000 pods, over idle", "MiB", 32, over, details={"whole_mib": whole})


def _shown(api):
    """The different contents of all ConfigMaps."""
    return {_in_order(roots) for roots in {data[KEY] for data in api.config_maps.values()}}


def api_return(bench):
    """1,000 namespaces: the API server goes, the roots change, it comes back. From then until every ConfigMap has them, and every
    watch goes on."""
    section = "  roots_config_map: {name: istio-ca-root-cert}\n"
    seconds, refused = [], []
    with on_core(cores()[1]):
        api = ReplayedApi(bench.folder("return-api"), namespaces=NAMESPACES)
    with api, _served(bench, "return", api, section) as server:
        for number in range(REPEATS):
            if not api.wait(lambda api: len(api.config_maps) == NAMESPACES, 120):
                raise LoadError(f"the roots are not everywhere after two minutes\n{server.log()}")
            api.away()
            server.cli("root", "abort" if number % 2 else "prepare")
            time.sleep(AWAY_S)
            wanted = {_in_order(server.root_pem)}
            with on_core(cores()[1]):
                api.back()
            started = time.monotonic()
            if not api.wait(lambda api, wanted=wanted: _shown(api) == wanted and api.is_watched(*WATCHED), 180):
                raise LoadError(f"not caught up after three minutes\n{server.log()}")
            seconds.append(time.monotonic() - started)
            refused.append(server.metric("meshca_kubernetes_calls_failed_total"))
    yield Row("api-return", "API server back: roots in 1,000 namespaces, all watches on", "s", 10, seconds,
              details={"away_s": AWAY_S, "calls_failed": refused})


def _in_order(pem):
    """The certificates of `pem` in an order of their own: the server publishes them in another than the bundle's."""
    end = "-----END CERTIFICATE-----\n"
    return "".join(sorted(one + end for one in pem.split(end) if one.strip()))
