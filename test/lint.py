#!/usr/bin/env python3
"""clang-format and clang-tidy on all code of ours; exits 1 on any finding.

usage: lint.py BUILD_DIR [FILE...]     BUILD_DIR was configured with the preset `lint`, which compiles with Clang
                                       and -Wthread-safety, so clang-tidy reports those findings too.
"""

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


def thread_safe(name, compile_commands):
    """The findings of Clang's own warnings, thread safety above all, without the cost of clang-tidy."""
    command = shlex.split(compile_commands[name]["command"])
    while os.path.basename(command[0]) == "ccache":
        command = command[1:]
    command = [word for i, word in enumerate(command) if word not in ("-c", "-o") and command[i - 1] != "-o"]
    done = subprocess.run([*command, "-fsyntax-only"], cwd=compile_commands[name]["directory"],
                          capture_output=True, text=True)
    return done.returncode, done.stderr


def tidy(name, build_dir):
    done = subprocess.run(["clang-tidy-14", "--quiet", "-p", str(build_dir), str(ROOT / name)],
                          capture_output=True, text=True)
    noise = re.compile(r"^\d+ warnings? (and \d+ errors? )?generated|^Suppressed |^Use -header-filter")
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not noise.match(line)]
    return done.returncode, "\n".join(lines)


def main():
    build_dir = pathlib.Path(sys.argv[1]).resolve()
    only = set(sys.argv[2:])
    with open(build_dir / "compile_commands.json", encoding="utf-8") as file:
        commands = {os.path.relpath(entry["file"], ROOT): entry for entry in json.load(file)}
    files = [name for name in sources() if not only or name in only]
    failed = 0

    done = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *files], cwd=ROOT, capture_output=True, text=True)
    unformatted = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error: code should be clang-formatted", done.stderr, re.M)))
    for name in unformatted:
        failed += 1
        print(f"{name}: not formatted: clang-format-14 -i {name}")

    # Product code gets clang-tidy; tests get Clang's warnings, because GoogleTest's macros cost minutes there.
    compiled = [name for name in files if name in commands]
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {pool.submit(thread_safe, name, commands) if name.startswith("test/") else
                pool.submit(tidy, name, build_dir): name for name in compiled}
        for job in futures.as_completed(jobs):
            code, output = job.result()
            if code != 0:
                failed += 1
                print(f"--- {jobs[job]}\n{output}", flush=True)
    print(f"lint: {len(files)} files formatted, {len(compiled)} analysed, {failed} with findings")
    return 1 if failed or not compiled else 0


if __name__ == "__main__":
    sys.exit(main())
