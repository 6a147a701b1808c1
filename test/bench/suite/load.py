"""Runs meshca-bench against a BenchServer, on the load's core, and reads its report."""

import json
import statistics
import subprocess

from bench_server import WORKLOAD, cores, on_core


class LoadError(Exception):
    """The load could not measure, or an answer was none that counts."""


def run(server, words):
    """The report of `meshca-bench WORDS` about `server`: what it costs is read from that process."""
    return run_alone(server.build, [*words, "--server-pid", server.pid], server.background.output)


def run_alone(build, words, explain=lambda: ""):
    """The report of `meshca-bench WORDS`; where it fails, with what `explain` says."""
    command = [str(word) for word in (build / "test/bench/meshca-bench", *words, "--json")]
    with on_core(cores()[1]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900,
                              stdin=subprocess.DEVNULL)
    if done.returncode != 0 or not done.stdout:
        raise LoadError(f"{' '.join(command)} exited {done.returncode}\n{done.stderr}\n{explain()}")
    return json.loads(done.stdout)


def certificates(server, *words, identity=None, errors_allowed=False):
    """`meshca-bench csr`: the report's rounds."""
    identity = identity or ["--token-file", server.folder / "token"]
    report = run(server, ["csr", "--address", server.grpc, "--root", server.root_file(), "--id", WORKLOAD, *identity,
                           "--yardstick", *words])
    for one in report["rounds"]:
        if (one["errors"] or one["not_sent"]) and not errors_allowed:
            raise LoadError(f"not every request got a certificate: {one['errors']}, {one['not_sent']} not sent; "
                            f"{report['error_messages']}")
        if one["ok"] and not one["verified"]:
            raise LoadError("no certificate was checked")
    return report["rounds"]


def streams(server, *words):
    """`meshca-bench sds` on the API socket: the report."""
    server.entitle(WORKLOAD)
    log = server.background.stderr_path
    published = f"grep -E 'root.(publish|abort) ' {log} | tail -1 | cut -d' ' -f1"
    change = [word for step in ("prepare", "abort")
              for word in ("--trigger", f"{server.meshca} root {step} --state-dir {server.state_dir}")]
    report = run(server, ["sds", "--address", f"unix:{server.api_socket}", *change,
                           "--published-at-command", published, *words])
    if report["ended_streams_by_code"]:
        raise LoadError(f"streams ended: {report['ended_streams_by_code']}")
    return report


def middle(rounds, pick):
    """The median of what `pick` takes of each round."""
    return statistics.median(pick(one) for one in rounds)


def usual(rounds):
    """A usual round, for people: what the ratio hides."""
    return {
        "cpu_us": middle(rounds, lambda one: one["cpu_us"]),
        "arithmetic_us": middle(rounds, lambda one: one["arithmetic_us"]),
        "per_second": middle(rounds, lambda one: one["per_second"]),
        "p50_ms": middle(rounds, lambda one: one["latency_ms"]["p50"]),
        "p99_ms": middle(rounds, lambda one: one["latency_ms"]["p99"]),
        "certificates": sum(one["ok"] for one in rounds),
        "checked": sum(one["verified"] for one in rounds),
    }
