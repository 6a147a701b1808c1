"""Builds the presets, runs every suite, counts every case. Started by test/run.sh, which installs what it needs."""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent import futures

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "test-results"
WORKERS = 2
CASE_TIMEOUT_S = 300
# What the clients in test/interop/clients are built with.
TOOLCHAINS = ("go", "java", "javac", "mvn", "node", "npm", "cargo", "rustc", "g++")


@dataclasses.dataclass
class Outcome:
    """What one suite came to. A skipped case counts as failed: nothing is left out quietly."""
    name: str
    passed: int = 0
    failures: list = dataclasses.field(default_factory=list)  # (case, what it printed)
    seconds: float = 0.0

    def fail(self, case, text):
        self.failures.append((case, text.strip()))


class Report:
    """Prints one line a suite as it ends, with the failures below it, and adds up."""

    def __init__(self):
        self.outcomes = []

    def add(self, outcome):
        self.outcomes.append(outcome)
        failed = f", {len(outcome.failures)} FAILED" if outcome.failures else ""
        print(f"{outcome.name:<34} {outcome.passed:5d} passed{failed}   {duration(outcome.seconds)}", flush=True)
        for case, text in outcome.failures:
            print(f"  FAILED {case}\n" + indent(last_lines(text, 60)), flush=True)

    def close(self):
        passed = sum(outcome.passed for outcome in self.outcomes)
        failed = [(outcome.name, case, text) for outcome in self.outcomes for case, text in outcome.failures]
        if failed:
            # With the last words of each: whoever is shown only the end of a long output still learns what failed.
            print("\nfailed:")
            for name, case, text in failed:
                print(f"  {name}: {case}\n" + indent(last_lines(text, 24)))
        print(f"\n{passed} passed, {len(failed)} failed", flush=True)
        return 1 if failed or passed == 0 else 0


def duration(seconds):
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def indent(text):
    return "\n".join("    " + line for line in text.splitlines())


def last_lines(text, count):
    lines = text.splitlines()
    return "\n".join(lines if len(lines) <= count else [f"... {len(lines) - count} lines before", *lines[-count:]])


def sanitizer_report(output):
    """The first report of a sanitizer in `output`, the top of each of its stacks alone; None where there is none.

    Such a report may stand anywhere among the lines of the cases, so that the end of the output does not show it.
    """
    lines = output.splitlines()
    begins = next((i for i, line in enumerate(lines) if re.search(r"(WARNING|ERROR): \w+Sanitizer|: runtime error: ", line)), None)
    if begins is None:
        return None
    ends = next((i for i, line in enumerate(lines[begins:], begins) if line.startswith("SUMMARY:")), begins + 60)
    return "\n".join(line[:240] for line in lines[begins:ends + 1] if line.strip() and not re.match(r"\s*#([5-9]|\d\d)", line))


@contextlib.contextmanager
def timed(outcome):
    start = time.monotonic()
    yield outcome
    outcome.seconds = time.monotonic() - start


def run(command, timeout=None, **options):
    """(exit code, output) of `command`, which is ended with all it started when the time is up."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          text=True, errors="replace", start_new_session=True, **options) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return -signal.SIGKILL, f"{output}\nended after {timeout} s"


def one_step(name, command, **options):
    """A suite of one case: the command's exit code."""
    with timed(Outcome(name)) as outcome:
        code, output = run(command, cwd=ROOT, **options)
        if code == 0:
            outcome.passed = 1
        else:
            outcome.fail(f"exit code {code}", output)
    return outcome


def run_with_progress(command):
    """As run(), showing ninja's "[12/340] ..." twice a minute: a cold build takes minutes."""
    lines, shown = [], time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          text=True, errors="replace", cwd=ROOT) as process:
        for line in process.stdout:
            lines.append(line)
            if line.startswith("[") and time.monotonic() - shown > 30:
                shown = time.monotonic()
                print("  " + line[:110].rstrip(), flush=True)
    return process.returncode, "".join(lines)


def build(preset):
    """What the tests need of `preset`. The preset release makes the command alone; release-tests adds them, in its folder."""
    with timed(Outcome(f"build {preset}")) as outcome:
        preset = "release-tests" if preset == "release" else preset
        for command in (["cmake", "--preset", preset], ["cmake", "--build", "--preset", preset]):
            print(f"$ {' '.join(command)}", flush=True)
            code, output = run_with_progress(command)
            if code != 0:
                outcome.fail(" ".join(command), output)
                return outcome
        outcome.passed = 1
    return outcome


def count_junit(outcome, path):
    """Adds the cases of one GoogleTest or pytest XML report to `outcome`; says whether there were any."""
    cases = list(ET.parse(path).getroot().iter("testcase"))
    for case in cases:
        name = f"{case.get('classname')}.{case.get('name')}"
        bad = [node for tag in ("failure", "error", "skipped") for node in case.findall(tag)]
        if bad:
            outcome.fail(name, "\n".join(f"{node.tag}: {node.get('message') or ''}\n{node.text or ''}" for node in bad))
        elif case.get("result") == "skipped" or case.get("status") == "notrun":
            outcome.fail(name, "skipped or disabled: a case runs or does not exist")
        else:
            outcome.passed += 1
    return bool(cases)


def ctest_entries(preset):
    """Exit code, and every test of the preset's build tree as (name, command or None, properties)."""
    code, output = run(["ctest", "--test-dir", str(ROOT / "build" / preset), "--show-only=json-v1"])
    tests = json.loads(output)["tests"] if code == 0 else []
    return code, [(test["name"], test.get("command"), {p["name"]: p["value"] for p in test.get("properties", [])})
                  for test in tests]


def run_ctest_entry(preset, name, command, properties):
    with timed(Outcome(name if preset == "release" else f"{preset} {name}")) as outcome:
        if not command or not os.path.exists(command[0]) and not shutil.which(command[0]):
            outcome.fail(name, "its program was not built")
            return outcome
        report = RESULTS / f"{preset}-{name}.xml"
        report.unlink(missing_ok=True)
        environment = dict(os.environ, GTEST_OUTPUT=f"xml:{report}")
        environment.update(entry.split("=", 1) for entry in properties.get("ENVIRONMENT", []))
        code, output = run(command, timeout=float(properties.get("TIMEOUT", CASE_TIMEOUT_S)), env=environment,
                           cwd=properties.get("WORKING_DIRECTORY", ROOT))
        ran = report.exists() and count_junit(outcome, report)
        if not ran:
            outcome.fail(name, (sanitizer_report(output) or output) + f"\nexit code {code}; it reported no case at all")
        elif code != 0 and not outcome.failures:
            outcome.fail(name, (sanitizer_report(output) or output) + f"\nexit code {code} though every case passed")
    return outcome


def run_ctest(preset, report, only):
    """Two binaries at a time; those marked RUN_SERIAL afterwards, alone."""
    code, entries = ctest_entries(preset)
    if code != 0 or not entries:
        outcome = Outcome(f"{preset} tests")
        outcome.fail(preset, "build tree has no test")
        report.add(outcome)
    entries = [entry for entry in entries if not only or only in entry[0]]
    together = [entry for entry in entries if not entry[2].get("RUN_SERIAL")]
    with futures.ThreadPoolExecutor(WORKERS) as pool:
        for job in futures.as_completed([pool.submit(run_ctest_entry, preset, *entry) for entry in together]):
            report.add(job.result())
    for entry in entries:
        if entry not in together:
            report.add(run_ctest_entry(preset, *entry))


def run_pytest(name, markers, workers, only, needed=True):
    xml = RESULTS / f"{name.replace(' ', '-')}.xml"
    xml.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "test", "-q", "-m", markers, f"--junitxml={xml}", "--tb=short",
               "-p", "no:cacheprovider", "--durations=5"]
    command += ["-n", str(workers), "--dist=loadfile"] if workers > 1 else []
    command += ["-k", only] if only else []
    with timed(Outcome(name)) as outcome:
        code, output = run(command, cwd=ROOT, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
        ran = xml.exists() and count_junit(outcome, xml)
        if code == 5 and not needed:  # pytest found no test with these markers
            return None
        if not ran:
            outcome.fail(name, output + "\nno test ran")
        elif code != 0 and not outcome.failures:
            outcome.fail(name, output)
    slow = [line for line in output.splitlines() if "s call " in line or "s setup " in line]
    print("\n".join(["slowest:", *slow]) if slow else "", flush=True)
    return outcome


def run_bare_root():
    """The README's commands on a Debian with nothing on it. It shows what it does: it takes minutes."""
    xml = RESULTS / "bare-root.xml"
    xml.unlink(missing_ok=True)
    with timed(Outcome("bare root")) as outcome:
        code = subprocess.run([sys.executable, "test/bare_root/bare_root.py", "--junit", xml], cwd=ROOT, stdin=subprocess.DEVNULL).returncode
        if not (xml.exists() and count_junit(outcome, xml)) or code != 0 and not outcome.failures:
            outcome.fail("bare_root.py", f"exit code {code}, and no failed case says why")
    return outcome


def missing_toolchains():
    outcome = Outcome("toolchains")
    for tool in TOOLCHAINS:
        if shutil.which(tool):
            outcome.passed += 1
        else:
            outcome.fail(tool, f"{tool} is not on the PATH; a client in test/interop/clients is built with it")
    return outcome


def main():
    parser = argparse.ArgumentParser(prog="./test/run.sh", description=__doc__)
    parser.add_argument("--all", action="store_true", help="sanitizers, lint, fuzz smoke, every language's client too")
    parser.add_argument("--only", metavar="WORD", help="only test programs and pytest cases whose name holds WORD")
    parser.add_argument("--no-build", action="store_true", help="run what is built")
    parser.add_argument("--cpp-only", action="store_true", help="the release build and its GoogleTest binaries; nothing else")
    options = parser.parse_args()
    if options.all and options.cpp_only:
        parser.error("--all and --cpp-only exclude each other")
    RESULTS.mkdir(parents=True, exist_ok=True)
    os.environ["MESHCA_BUILD_DIR"] = str(ROOT / "build" / "release")
    report = Report()

    def add(outcome):
        if outcome is not None:
            report.add(outcome)
        return outcome is not None and not outcome.failures

    if options.all:
        add(missing_toolchains())
    built = options.no_build or add(build("release"))
    if built:
        run_ctest("release", report, options.only)
    if options.cpp_only:
        return report.close()
    if built:
        add(run_pytest("pytest", "not all_only and not alone", WORKERS, options.only, needed=not options.only))
        add(run_pytest("pytest alone", "not all_only and alone", 1, options.only, needed=False))
        if options.all:
            add(run_pytest("pytest clients", "all_only", 1, options.only, needed=not options.only))
    if options.all:
        add(run_bare_root())
        asan_built = not options.no_build and add(build("asan"))
        if options.no_build or asan_built:
            run_ctest("asan", report, options.only)
            add(one_step("fuzz smoke", ["test/fuzz/run.sh", "10"]))
        if options.no_build or add(build("tsan")):
            run_ctest("tsan", report, options.only)
        lint_needs = ["sh", "-c", "cmake --preset lint && cmake --build build/lint --target proto_headers interop_headers"]
        if add(one_step("configure lint", lint_needs)):
            built = ["--built", "build/asan"] if asan_built else []
            add(one_step("lint", [sys.executable, "test/lint.py", *built, "build/lint"]))
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
