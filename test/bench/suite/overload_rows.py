"""Twice what the server can carry: what it still does, how soon it says no, and how it answers for its health."""

import threading
import time

import grpc
from bench_server import BenchServer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from load import LoadError, certificates, middle
from row import Row

REPEATS = 5
HEALTH_EVERY_S = 0.1


class HealthProbe:
    """Asks for the server's health again and again for the time of a block."""

    def __init__(self, server):
        credentials = grpc.ssl_channel_credentials(server.root_file().read_bytes())
        self._channel = grpc.secure_channel(server.grpc, credentials)
        self._stub = health_pb2_grpc.HealthStub(self._channel)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.serving, self.other, self.slowest_ms = 0, [], 0.0

    def _run(self):
        while not self._end.wait(HEALTH_EVERY_S):
            started = time.monotonic()
            try:
                status = self._stub.Check(health_pb2.HealthCheckRequest(), timeout=1).status
            except grpc.RpcError as error:
                status = error.code().name
            if status == health_pb2.HealthCheckResponse.SERVING:
                self.serving += 1
            else:
                self.other.append(str(status))
            self.slowest_ms = max(self.slowest_ms, (time.monotonic() - started) * 1e3)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *ignored):
        self._end.set()
        self._thread.join()
        self._channel.close()


def overload(bench):
    with BenchServer(bench.build, bench.folder("overload")) as server:
        closed = certificates(server, "--connections", 8, "--in-flight", 64, "--requests", 8000, "--rounds", REPEATS)
        peak = middle(closed, lambda one: one["per_second"])
        rounds, probes = [], []
        for _ in range(REPEATS):
            with HealthProbe(server) as health:
                rounds += certificates(server, "--connections", 8, "--rate", round(2 * peak), "--duration", "2s",
                                       "--open-max", 100_000, errors_allowed=True)
            probes.append(health)
    others = {code for one in rounds for code in one["errors"]} - {"RESOURCE_EXHAUSTED"}
    if others:
        raise LoadError(f"under overload there were errors that are none of it: {others}")
    details = {"peak_per_second": peak, "offered_per_second": 2 * peak,
               "not_sent": [one["not_sent"] for one in rounds],
               "refused": [one["errors"].get("RESOURCE_EXHAUSTED", 0) for one in rounds],
               "certificate_p99_ms": middle(rounds, lambda one: one["latency_ms"]["p99"])}
    yield Row("overload-rate", "certificates a second at twice the load it can carry, of its peak", "%", 90,
              [100 * one["per_second"] / peak for one in rounds], at_least=True, details=details)
    yield Row("overload-refusal", "until a refusal (ResourceExhausted), p99", "ms", 100,
              [(one["error_latency_ms"] or {}).get("p99") or 0.0 for one in rounds])
    yield Row("overload-health", "health answers that say SERVING meanwhile", "%", 100,
              [100 * one.serving / max(1, one.serving + len(one.other)) for one in probes], at_least=True,
              details={"answers": sum(one.serving for one in probes),
                       "others": [word for one in probes for word in one.other],
                       "slowest_ms": max(one.slowest_ms for one in probes)})
