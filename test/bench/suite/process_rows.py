"""What the server takes before anybody asks: memory and time to start."""

from bench_server import BenchServer
from load import certificates
from row import Row

REPEATS = 5
ISSUANCES = 100_000


def fresh(bench):
    """Five servers with fresh state: started, looked at, and one in turn made to issue 100,000 certificates."""
    starts, idle, after = [], [], []
    for number in range(REPEATS):
        with BenchServer(bench.build, bench.folder(f"fresh-{number}")) as server:
            starts.append(server.starting_ms)
            idle.append(server.resting_bytes() / 2**20)
            if bench.wants("memory-after-100000"):
                certificates(server, "--requests", ISSUANCES, "--rounds", 1)
                after.append(server.resting_bytes() / 2**20)
    if bench.wants("start-fresh"):
        yield Row("start-fresh", "start to ready, fresh state", "ms", 100, starts)
    if bench.wants("memory-idle"):
        yield Row("memory-idle", "memory, idle", "MiB", 24, idle)
    if after:
        yield Row("memory-after-100000", "memory after 100,000 issuances", "MiB", 32, after)
