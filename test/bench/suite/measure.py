"""Measures every row of the table of promised figures, and prints it. Started by test/bench/run.sh."""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import agent_rows
import database_rows
import issuance_rows
import kubernetes_rows
import overload_rows
import process_rows
import report
import stream_rows
from bench_server import ROOT, cores
from svg_plot import svg

# Each is a generator of rows, and says with `bench.wants` which of these names it should measure.
GROUPS = (
    (issuance_rows.issuance, ("issuance", "one-at-a-time", "connections-200")),
    (database_rows.growth, ("rows-5000000", "start-5000000")),
    (issuance_rows.new_connections, ("new-tls", "new-mtls")),
    (process_rows.fresh, ("memory-idle", "memory-after-100000", "start-fresh")),
    (stream_rows.memory, ("stream-own", "stream-shared")),
    (stream_rows.fan_out, ("push-1000", "push-10000", "push-cpu", "push-cpu-shared")),
    (database_rows.pruning, ("pruning",)),
    (agent_rows.simulated, ("agent-memory", "agent-idle-cpu", "sign-batches", "agents-rotation", "agents-restart")),
    (agent_rows.real, ("agent-idle", "agent-full", "agent-stream", "agent-push", "agent-push-commit", "jwt-minted",
                       "jwt-again")),
    (kubernetes_rows.tokens, ("token-local",)),
    (kubernetes_rows.memory, ("pods-memory",)),
    (kubernetes_rows.api_return, ("api-return",)),
    (overload_rows.overload, ("overload-rate", "overload-refusal", "overload-health")),
)
NAMES = [name for _, names in GROUPS for name in names]
# name of the curve: title, x, y, the promised bound where there is one
CURVES = {
    "cost-by-rows": ("Cost of a certificate", "issuances recorded", "CPU, times P-256 verify + sign", 1.6),
    "push-by-streams": ("A change of trust reaches every stream", "streams", "ms until the last acknowledgement", None),
    "memory-by-streams": ("Memory of SDS streams", "streams, each on a connection of its own", "MiB", None),
}


class Bench:
    """What a group of rows needs: the build, folders on the disk to be measured, which rows are wanted."""

    def __init__(self, build, work, names):
        self.build = build
        self.curves = {}
        self._work = work
        self._names = set(names)

    def wants(self, name):
        return name in self._names

    def folder(self, name):
        """A fresh one."""
        path = self._work / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def curve(self, name, points):
        self.curves[name] = points


def file_system(path):
    done = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", path], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "an unknown file system"


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")


def about(work, rows):
    arithmetic = [row.details["arithmetic_us"] for row in rows if "arithmetic_us" in row.details]
    return {"processor": processor(), "cores": len(os.sched_getaffinity(0)), "file_system": file_system(work),
            "arithmetic_us": statistics.median(arithmetic) if arithmetic else 0.0}


def measure(bench):
    rows = []
    for group, names in GROUPS:
        if not any(map(bench.wants, names)):
            continue
        started = time.monotonic()
        for row in group(bench):
            print(f"  {row.name:<20} {' '.join(report.cells(row)[1:])}", file=sys.stderr, flush=True)
            rows.append(row)
        print(f"{group.__name__}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return rows


def write_readme(rows, curves, conditions):
    plots = ROOT / "test" / "bench" / "plots"
    plots.mkdir(exist_ok=True)
    images = []
    for name, points in curves.items():
        title, x_label, y_label, limit = CURVES[name]
        (plots / f"{name}.svg").write_text(svg(title, x_label, y_label, points, limit), encoding="utf-8")
        images.append(f"![{title}](test/bench/plots/{name}.svg)")
    path = ROOT / "README.md"
    section = "\n\n".join([conditions, report.markdown(rows), "\n".join(images)])
    path.write_text(report.with_section(path.read_text(encoding="utf-8"), section), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="test/bench/run.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, all else on stderr")
    parser.add_argument("--only", metavar="ROW", nargs="+", choices=NAMES, default=NAMES,
                        help=f"measure these alone: {', '.join(NAMES)}")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build" / "bench",
                        help="folder for the servers' state, on the disk to be measured (build/bench)")
    parser.add_argument("--write-readme", action="store_true", help="put table and plots into README.md")
    options = parser.parse_args()
    if options.write_readme and options.only is not NAMES:
        parser.error("--write-readme wants every row: leave out --only")
    cores()
    work = options.work / "state"
    build = pathlib.Path(os.environ.get("MESHCA_BUILD_DIR", ROOT / "build" / "release"))
    bench = Bench(build, work, options.only)
    rows = measure(bench)
    shutil.rmtree(work, ignore_errors=True)
    facts = about(work.parent, rows)
    if options.json:
        document = {"rows": [row.to_json() for row in rows], "curves": bench.curves, "about": facts}
        print(json.dumps(document, indent=1))
    else:
        print(f"{report.table(rows)}\n\n{report.conditions(facts)}")
    if options.write_readme:
        write_readme(rows, bench.curves, report.conditions(facts))
    missed = [row.name for row in rows if not row.met]
    print(f"{len(rows)} figures, {len(rows) - len(missed)} as promised"
          f"{'; missed: ' + ', '.join(missed) if missed else ''}", file=sys.stderr)


if __name__ == "__main__":
    main()
