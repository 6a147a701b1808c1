"""What a record of millions changes: the cost of the next certificate, the start, and the pruning beside issuance."""

import statistics

from bench_server import BenchServer, seed
from load import certificates
from row import Row

REPEATS = 5
SIZES = (500_000, 1_000_000, 2_000_000, 3_500_000, 5_000_000)
LOAD = ("--connections", 8, "--in-flight", 32, "--rounds", 1)
HISTORY_S = 12 * 3600  # over which the recorded issuances are spread
PRUNED = 1_000_000


def _pair(empty, full):
    """The cost of a certificate at both servers, one after the other, each as a multiple of the arithmetic."""
    return [certificates(server, *LOAD, "--requests", 3000)[0]["ratio"] for server in (empty, full)]


def _seed_up_to(server, rows, before):
    """The next part of the history, so that serial numbers grow as they do in real life."""
    ago = [f"{HISTORY_S * (SIZES[-1] - edge) // SIZES[-1]}s" for edge in (before, rows)]
    seed(server, rows - before, "--issued-from", ago[0], "--issued-until", ago[1])


def growth(bench):
    """One database grows beside an empty one."""
    empty = BenchServer(bench.build, bench.folder("growth-empty"))
    full = BenchServer(bench.build, bench.folder("growth-full"))
    with full:
        pass  # makes its state
    before = 0
    costs, ratios, starts = [], [], []
    with empty:
        for rows in SIZES:
            _seed_up_to(full, rows, before)
            before = rows
            with full:
                pairs = [_pair(empty, full) for _ in range(REPEATS if rows == SIZES[-1] else 3)]
            costs.append((rows, statistics.median(pair[1] for pair in pairs)))
            if rows == SIZES[0]:
                costs.insert(0, (0, statistics.median(pair[0] for pair in pairs)))
        ratios = [pair[1] / pair[0] for pair in pairs]
    for _ in range(REPEATS):
        with full:
            starts.append(full.starting_ms)
    bench.curve("cost-by-rows", costs)
    if bench.wants("rows-5000000"):
        yield Row("rows-5000000", "a certificate with 5 M recorded, over one with none", "times", 1.15, ratios,
                  details={"database_mib": sum(path.stat().st_size for path in full.state_dir.iterdir()) / 2**20})
    if bench.wants("start-5000000"):
        yield Row("start-5000000", "start to ready, 5 M recorded", "ms", 200, starts)


def pruning(bench):
    """The same server with a retention that spares the expired rows, and with one that does not, in turns."""
    folder = bench.folder("pruning")
    with BenchServer(bench.build, folder) as server:
        pass  # makes its state
    seed(server, PRUNED, "--issued-from", "72h", "--issued-until", "60h", "--lifetime", "1h")
    shares, pruned = [], 0
    for _ in range(REPEATS):
        speed = {}
        for retention in ("720h", "24h"):
            with BenchServer(bench.build, folder, "--storage-retention", retention) as server:
                rows = server.metric("meshca_store_pruned_total")
                (one,) = certificates(server, *LOAD, "--requests", 15_000)
                speed[retention] = one["per_second"]
                pruned += server.metric("meshca_store_pruned_total") - rows
        shares.append(100 * speed["24h"] / speed["720h"])
    yield Row("pruning", "certificates a second while 1 M expired rows are pruned, of those without", "%", 90, shares,
              at_least=True, details={"rows_pruned": pruned, "rows_expired": PRUNED})
