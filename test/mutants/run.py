#!/usr/bin/env python3
"""Switches guards off one by one, in a scratch copy, and fails when the tests that must notice do not.

    test/mutants/run.py                 every mutant: an hour on two cores
    test/mutants/run.py --batch 1/6     the first sixth of them; mutants of one file stay together
    test/mutants/run.py NAME...         these
    test/mutants/run.py --list          what there is

A mutant counts as killed when at least one of its tests fails. It is an error when all of them pass (a survivor), when
its old text is not in its file exactly once, when it does not compile, and when its tests fail without it.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import time

import mutants as mutant_list

ROOT = mutant_list.ROOT
SCRATCH = ROOT / "build" / "mutants"
SOURCE = SCRATCH / "source"
# As test/run.sh builds it, and where that puts it: paths counted from there are those of every other clone, so ccache
# knows the objects.
PRESET, BUILD = "release-tests", SOURCE / "build" / "release"
TEST_TIMEOUT_S = 300
PYTEST_TIMEOUT_S = 900  # pytest ends a case of its own by itself, sooner
PYTEST = ROOT / "build" / "venv" / "bin" / "python"


class Broken(Exception):
    """A mutant that proves nothing: the text says why."""


def run(command, timeout=None, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, **options)
    return done.returncode, done.stdout


def must(command, what, **options):
    code, output = run(command, **options)
    if code != 0:
        sys.exit(f"{what}: exit code {code}\n" + "\n".join(output.splitlines()[-40:]))
    return output


def write_if_changed(path, content):
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def copy_tree():
    """Today's files into the scratch folder. What did not change keeps its time, so that only the rest is built again."""
    names = must(["git", "-C", ROOT, "ls-files", "-z"], "git ls-files").split("\0")
    wanted = {name for name in names if name and (ROOT / name).is_file()}
    for name in wanted:
        write_if_changed(SOURCE / name, (ROOT / name).read_bytes())
        shutil.copymode(ROOT / name, SOURCE / name)
    for path in SOURCE.rglob("*"):
        name = path.relative_to(SOURCE)
        if path.is_file() and name.parts[0] != "build" and str(name) not in wanted:
            path.unlink()


def configure():
    must(["cmake", "--preset", PRESET], "cmake", cwd=SOURCE)


def build(targets, jobs):
    return run(["ninja", "-C", BUILD, f"-j{jobs}", *sorted(targets)])


def run_test(test):
    """(passed, how many cases ran) of one test of the list."""
    if test.target == "pytest":
        report = SCRATCH / "pytest.txt"
        code, output = run([PYTEST, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "test/pytest.ini", "--rootdir=.",
                            test.case], timeout=PYTEST_TIMEOUT_S, cwd=SOURCE,
                           env=dict(os.environ, MESHCA_BUILD_DIR=str(BUILD), PYTHONDONTWRITEBYTECODE="1"))
        report.write_text(output)
        return code == 0, 0 if code == 5 or "no tests ran" in output else 1
    command = mutant_list.gtest_binaries(BUILD)[test.target]
    try:
        code, output = run([*command, f"--gtest_filter={test.case}", "--gtest_brief=1"], timeout=TEST_TIMEOUT_S, cwd=SOURCE)
    except subprocess.TimeoutExpired:
        return False, 1  # it waits for what the guard would have brought
    counted = [line for line in output.splitlines() if line.startswith("[==========]") and " ran." in line]
    # A guard that aborts the process leaves no count: that is a failure too.
    return code == 0, int(counted[-1].split()[1]) if counted else 1


def prove_baseline(targets, chosen, jobs):
    """Unchanged, the targets build and every named test runs and passes."""
    start = time.monotonic()
    print(f"building {', '.join(targets)}", flush=True)
    code, output = build(targets, jobs)
    if code != 0:
        sys.exit("the unchanged tree does not build:\n" + "\n".join(output.splitlines()[-40:]))
    bad = []
    for test in sorted({test for mutant in chosen for test in mutant.tests}, key=str):
        passed, cases = run_test(test)
        if not passed or cases == 0:
            bad.append(f"{test}: {'fails without any mutant' if cases else 'there is no such test'}")
    if bad:
        sys.exit("\n".join(bad))
    print(f"  {len(chosen)} mutants, after {time.monotonic() - start:.0f} s", flush=True)


def try_mutant(mutant, jobs):
    """Raises Broken unless the mutant is killed; returns the tests that noticed."""
    path = SOURCE / mutant.file
    unchanged = path.read_text()
    if unchanged.count(mutant.old) != 1:
        raise Broken(f"its old text is {unchanged.count(mutant.old)} times in {mutant.file}")
    try:
        path.write_text(mutant.applied_to(unchanged))
        code, output = build(mutant.targets, jobs)
        if code != 0:
            raise Broken("it does not compile:\n" + "\n".join(output.splitlines()[-25:]))
        noticed = [test for test in mutant.tests if not run_test(test)[0]]
    finally:
        path.write_text(unchanged)
    if not noticed:
        raise Broken(f"SURVIVED: {', '.join(map(str, mutant.tests))} passed though \"{mutant.guard}\" was switched off")
    return noticed


def report_on(mutant, jobs):
    """Tries one mutant and says what came of it; whether it was killed."""
    start = time.monotonic()
    killed = False
    try:
        verdict = "killed by " + ", ".join(map(str, try_mutant(mutant, jobs)))
        killed = True
    except Broken as fault:
        verdict = f"FAILED: {fault}"
    print(f"{mutant.name:<34} {time.monotonic() - start:4.0f} s  {verdict}", flush=True)
    return killed


def batch(text):
    number, slash, count = text.partition("/")
    if not (slash and number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not N/M with 1 <= N <= M")
    return int(number), int(count)


def main():
    everything = mutant_list.load()
    parser = argparse.ArgumentParser(prog="test/mutants/run.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--batch", metavar="N/M", type=batch, help="only this part")
    parser.add_argument("--list", action="store_true", help="show what there is and end")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="compilers at a time")
    options = parser.parse_args()
    unknown = set(options.names) - {mutant.name for mutant in everything}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in everything if not options.names or mutant.name in options.names]
    if options.batch:
        # Neighbours share a build, so a batch is a stretch of the list.
        number, count = options.batch
        chosen = chosen[len(chosen) * (number - 1) // count:len(chosen) * number // count]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name:<34} {mutant.guard}")
        return 0
    if any(test.target == "pytest" for mutant in chosen for test in mutant.tests) and not PYTEST.exists():
        sys.exit(f"{PYTEST} is missing, and whole-server tests run by it: ./test/run.sh makes it")
    copy_tree()
    configure()
    failed = 0
    for targets, group in itertools.groupby(chosen, key=lambda mutant: mutant.targets):
        group = list(group)
        prove_baseline(targets, group, options.jobs)
        failed += sum(not report_on(mutant, options.jobs) for mutant in group)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
