"""What an SDS stream takes, and how a change of trust reaches them all."""

from bench_server import BenchServer
from load import streams
from row import Row

REPEATS = 5
SIZES = (10, 100, 1000, 3000, 10_000)
TARGET_MS = {1000: 60, 10_000: 250}
STREAMS_FOR_MEMORY = 10_000
CONNECTIONS_SHARED = STREAMS_FOR_MEMORY // 100


def memory(bench):
    """Five servers each way: memory that no other process shares, with the streams less without them, a stream."""
    ways = (("stream-own", "an SDS stream on a Unix connection of its own", 20, STREAMS_FOR_MEMORY),
            ("stream-shared", "an SDS stream that shares a Unix connection with 99 others", 3, CONNECTIONS_SHARED))
    for name, what, target, connections in ways:
        if not bench.wants(name):
            continue
        kib = []
        for number in range(REPEATS):
            with BenchServer(bench.build, bench.folder(f"{name}-{number}")) as server:
                report = streams(server, "--streams", STREAMS_FOR_MEMORY, "--connections", connections, "--changes", 0)
            kib.append(report["server_memory"]["private_kib_per_stream"])
        yield Row(name, what, "KiB", target, kib, details={"streams": STREAMS_FOR_MEMORY})


def fan_out(bench):
    """The same change to more and more streams, each on a connection of its own."""
    times, memory_curve = [], []
    for count in SIZES:
        with BenchServer(bench.build, bench.folder(f"fan-out-{count}")) as server:
            report = streams(server, "--streams", count, "--changes", REPEATS)
        changes = report["changes"]
        ms = [one["publication_to_last_ack_ms"] for one in changes]
        times.append((count, sorted(ms)[len(ms) // 2]))
        memory_curve.append((count, count * report["server_memory"]["private_kib_per_stream"] / 1024))
        if count in TARGET_MS and bench.wants(f"push-{count}"):
            yield Row(f"push-{count}", f"one change of trust acknowledged by {count:,} streams", "ms", TARGET_MS[count],
                      ms, details={"cpu_us_per_stream": [one["server_cpu_us_per_stream"] for one in changes]})
    if bench.wants("push-cpu"):
        yield _cpu_row("push-cpu", "CPU of that, a stream of 10,000", report)
    bench.curve("push-by-streams", times)
    bench.curve("memory-by-streams", memory_curve)
    if bench.wants("push-cpu-shared"):
        with BenchServer(bench.build, bench.folder("fan-out-shared")) as server:
            report = streams(server, "--streams", SIZES[-1], "--connections", SIZES[-1] // 100, "--changes", REPEATS)
        yield _cpu_row("push-cpu-shared", "the same with 100 streams on a connection", report)


def _cpu_row(name, what, report):
    """From the first stream's reception to rest; what preparing the change took is beside it."""
    changes = report["changes"]
    return Row(name, what, "us", 5, [one["fan_out_cpu_us_per_stream"] for one in changes],
               details={"with_the_change_itself_us": [one["server_cpu_us_per_stream"] for one in changes]})
