#!/usr/bin/env python3
"""clang-format and clang-tidy on all code of ours; exits 1 on any finding.

usage: lint.py [--built OTHER] BUILD_DIR [FILE...]

BUILD_DIR was configured with the preset `lint`, which compiles with Clang and -Wthread-safety, so clang-tidy reports those
findings too, and which puts several files into one unit: the headers are most of the work, and are read once. With FILE, the
units that hold it. OTHER is a folder that Clang has just built with the same warnings: tests that are in it too need no
second look.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
from concurrent import futures

ROOT = pathlib.Path(__file__).resolve().parent.parent
OURS = ("ca", "storage", "sds", "cli", "test")


def sources():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *OURS],
                            cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return [name for name in listed if name.endswith((".h", ".cc")) and (ROOT / name).exists()]


@dataclasses.dataclass
class Unit:
    """What is compiled at once: a file of ours, or a generated one that includes several."""
    path: str
    command: list
    folder: str
    files: list  # relative to ROOT


def units(build_dir):
    """All of them, the generated code of proto/ left out."""
    with open(build_dir / "compile_commands.json", encoding="utf-8") as file:
        for entry in json.load(file):
            path = pathlib.Path(entry["file"])
            included = re.findall(r'^#include "(.*\.cc)"', path.read_text(encoding="utf-8"), re.M)
            files = [os.path.relpath(name, ROOT) for name in included or [path]]
            if files[0].startswith(tuple(f"{name}/" for name in OURS)):
                yield Unit(str(path), shlex.split(entry["command"]), entry["directory"], files)


def compiler_findings(unit):
    """Those of Clang's own warnings, thread safety above all, without the cost of clang-tidy."""
    command = unit.command
    command = command[next(i for i, word in enumerate(command) if "clang" in os.path.basename(word)):]
    command = [word for i, word in enumerate(command) if word not in ("-c", "-o") and command[i - 1] != "-o"]
    done = subprocess.run([*command, "-fsyntax-only"], cwd=unit.folder, capture_output=True, text=True)
    return done.returncode, done.stderr


def tidy_findings(unit, build_dir):
    # A unit of several files includes sources: that is what it is for.
    done = subprocess.run(["clang-tidy-14", "--quiet", "--checks=-bugprone-suspicious-include", "-p", str(build_dir), unit.path],
                          cwd=ROOT, capture_output=True, text=True)
    noise = re.compile(r"^\d+ warnings? (and \d+ errors? )?generated|^Suppressed |^Use -header-filter")
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not noise.match(line)]
    return done.returncode, "\n".join(lines)


def is_test(unit):
    return unit.files[0].startswith("test/")


def findings(unit, build_dir):
    # Product code gets clang-tidy; tests get Clang's warnings, because GoogleTest's macros cost minutes there.
    return compiler_findings(unit) if is_test(unit) else tidy_findings(unit, build_dir)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--built", type=pathlib.Path)
    parser.add_argument("build_dir", type=pathlib.Path)
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    build_dir = options.build_dir.resolve()
    only = set(options.files)
    built = {name for unit in units(options.built) for name in unit.files} if options.built else set()
    files = [name for name in sources() if not only or name in only]
    failed = 0

    done = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *files], cwd=ROOT, capture_output=True, text=True)
    unformatted = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error: code should be clang-formatted", done.stderr, re.M)))
    for name in unformatted:
        failed += 1
        print(f"{name}: not formatted: clang-format-14 -i {name}")

    chosen = [unit for unit in units(build_dir)
              if (not only or only.intersection(unit.files)) and not (is_test(unit) and built.issuperset(unit.files))]
    analysed = {name for unit in chosen for name in unit.files}
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {pool.submit(findings, unit, build_dir): unit for unit in chosen}
        for job in futures.as_completed(jobs):
            code, output = job.result()
            if code != 0:
                failed += 1
                print(f"--- {' '.join(jobs[job].files)}\n{output}", flush=True)
    print(f"lint: {len(files)} files formatted, {len(analysed)} analysed, {failed} findings")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
