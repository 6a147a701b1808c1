"""Runs the README's commands on a Debian that has nothing: a bare root file system, made for this and removed again.

Started as root, by test/run.py --all or by hand: python3 test/bare_root/bare_root.py [--junit FILE]. README.md says what is in the root.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build" / "bare-root"
CCACHE_IN_ROOT = "/var/cache/ccache"
USER = "newcomer"
# A cold compiler cache makes a case take this long at the most; a warm one a tenth of it.
CASE_TIMEOUT_S = 2400

# The settings of the machine's package clients: where they fetch from and whom they trust. Their values stay on the machine.
CLIENT_VARIABLES = re.compile(
    r"(PIP|GO(PROXY|SUMDB|NOSUMDB|NOSUMCHECK|FLAGS|PRIVATE|NOPROXY|TOOLCHAIN)$|SSL_CERT|REQUESTS_CA|CURL_CA|GIT_SSL)"
    r"|(?i:(http|https|no|all)_proxy)$")
CLIENT_FILES = ("/etc/apt", "/usr/share/keyrings", "/etc/pip.conf", "/usr/local/share/ca-certificates",
                "/etc/ssl/certs/ca-certificates.crt")
CLIENT_FILES_IN_HOME = (".config/pip", ".pip", ".config/go/env")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


class CaseFailed(Exception):
    """A command did not do what the README promises; the text is what it printed."""


@dataclasses.dataclass
class Case:
    name: str
    seconds: float
    failure: str = ""


def run(command, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", **options)
    if done.returncode != 0:
        raise CaseFailed(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def own_package_source():
    """(URL, suite) of the Debian archive this machine installs from, as apt itself understands its sources."""
    suite = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
    suite = suite["VERSION_CODENAME"].strip('"')
    targets = run(["apt-get", "indextargets", "Created-By: Packages", "--format", "$(SITE) $(RELEASE) $(COMPONENT)"])
    for line in targets.splitlines():
        site, release, component = line.split()
        if (release, component) == (suite, "main"):
            return site, suite
    raise CaseFailed(f"no package source of this machine has {suite} main; apt-get indextargets says:\n{targets}")


def copy_into(root, path):
    path = pathlib.Path(path)
    target = root / path.relative_to("/")
    if path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
    elif path.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def client_environment():
    return {name: value for name, value in os.environ.items() if CLIENT_VARIABLES.match(name)}


def copy_client_settings(root):
    """What the machine's package clients are told, and no more: sources, certificates they trust, pip's and Go's files."""
    shutil.rmtree(root / "etc/apt")  # debootstrap's own guess of the sources would stand beside the machine's
    for path in CLIENT_FILES:
        copy_into(root, path)
    home = pathlib.Path.home()
    for name in CLIENT_FILES_IN_HOME:
        source = home / name
        for target in (pathlib.Path("root") / name, pathlib.Path("home") / USER / name):
            if source.is_dir():
                shutil.copytree(source, root / target, dirs_exist_ok=True)
            elif source.exists():
                (root / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, root / target)
    for name in ("etc/resolv.conf", "etc/hosts"):
        copy_into(root, "/" + name)
    for value in client_environment().values():
        if value.startswith("/") and os.path.isfile(value):
            copy_into(root, value)


def make_base(root):
    """A minimal Debian: what debootstrap calls minbase, and two packages without which nothing can be fetched."""
    site, suite = own_package_source()
    # Nobody needs this root after a power cut, so dpkg need not wait for the disk after each file.
    (root / "etc/dpkg/dpkg.cfg.d").mkdir(parents=True)
    (root / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")
    run(["debootstrap", "--variant=minbase", "--include=ca-certificates,git", suite, root, site])
    copy_client_settings(root)
    return f"{suite}, {run(['du', '-sm', root]).split()[0]} MB"


def mount_kernel_folders(root):
    run(["mount", "-t", "proc", "proc", root / "proc"])
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "dev"])
    for device in DEVICES:
        (root / "dev" / device).touch()
        run(["mount", "--bind", f"/dev/{device}", root / "dev" / device])
    for name in ("pts", "shm"):
        (root / "dev" / name).mkdir()
    run(["mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", root / "dev/pts"])
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    (root / "dev/fd").symlink_to("/proc/self/fd")
    run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "dev/shm"])


def mount_compiler_cache(root):
    """The machine's ccache: what it holds it need not compile again. The root has a ccache of its own, which uses it."""
    if not shutil.which("ccache"):
        return {}
    cache = pathlib.Path(run(["ccache", "--get-config", "cache_dir"]).strip())
    cache.mkdir(parents=True, exist_ok=True)
    target = root / CCACHE_IN_ROOT.lstrip("/")
    target.mkdir(parents=True)
    run(["mount", "--bind", cache, target])
    return {"CCACHE_DIR": CCACHE_IN_ROOT, "CCACHE_MAXSIZE": run(["ccache", "--get-config", "max_size"]).strip()}


def clone_tree(bare):
    """A clone of the tree under test, with what its author has not committed yet."""
    target = bare.path / bare.tree.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, target])
    changed = subprocess.run(["git", "-C", ROOT, "diff", "--binary", "HEAD"], capture_output=True, check=True).stdout
    if changed:
        subprocess.run(["git", "-C", target, "apply"], input=changed, check=True)


class BareRoot:
    """One root file system. Its commands see nothing of the machine's files or processes."""

    def __init__(self, path, tree):
        """`tree` is where the clone stands in it."""
        self.path = path
        self.tree = tree
        mount_kernel_folders(path)
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
                            **mount_compiler_cache(path)}
        for name, value in client_environment().items():
            # A folder of the machine that is not here (of prebuilt wheels, say) is no setting.
            if not value.startswith("/") or (path / value.lstrip("/")).exists():
                self.environment[name] = value

    def popen(self, command, user="root", **environment):
        home = "/root" if user == "root" else f"/home/{user}"
        words = ["chroot", f"--userspec={user}:{user}", "--groups=", self.path, "/bin/sh", "-c",
                 f"cd {self.tree} 2>/dev/null || cd {home}; {command}"]
        return subprocess.Popen(words, env={**self.environment, "HOME": home, "USER": user, **environment},
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                errors="replace", start_new_session=True)

    def run(self, command, **options):
        """The output of `command`, shown as it comes."""
        lines = []
        with self.popen(command, **options) as process:
            for line in self._lines_until_deadline(process):
                lines.append(line)
            process.wait()
        if process.returncode != 0:
            raise CaseFailed(f"{command}: exit code {process.returncode}\n{''.join(lines)}")
        return "".join(lines)

    def run_until(self, command, wanted, **options):
        """Starts `command`, waits for a line with `wanted` in it, then ends it as Ctrl-C does."""
        lines = []
        with self.popen(command, **options) as process:
            for line in self._lines_until_deadline(process):
                lines.append(line)
                if wanted in line:
                    os.killpg(process.pid, signal.SIGINT)
            process.wait()
        output = "".join(lines)
        if wanted not in output:
            raise CaseFailed(f"{command}: exit code {process.returncode}; it never said {wanted!r}\n{output}")
        return output

    @staticmethod
    def _lines_until_deadline(process):
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
        signal.alarm(CASE_TIMEOUT_S)
        try:
            for line in process.stdout:
                print("    " + line, end="", flush=True)
                yield line
        finally:
            signal.alarm(0)


def demo_case(bare):
    output = bare.run("./cli/quickstart.sh --demo")
    if output.count("failed requests: 0") < 2:
        raise CaseFailed("the demo did not say twice that no request failed:\n" + output)


def workflow_case(bare):
    """The README's other way to build: from where the first one left off there is nothing to do, but all to configure."""
    bare.run("cmake --workflow --preset release")
    unwanted = bare.run("dpkg-query -W -f '${Package}\\n' | grep -E 'gtest|gmock|googletest|benchmark' || true").split()
    if unwanted:
        raise CaseFailed(f"building the command installed packages of the tests: {unwanted}")
    if "meshca" not in bare.run("build/release/meshca version"):
        raise CaseFailed("build/release/meshca is not there")


def cpp_suites_case(bare):
    output = bare.run("./test/run.sh --cpp-only")
    closing = re.search(r"^(\d+) passed, 0 failed$", output, re.MULTILINE)
    if not closing or int(closing[1]) < 500:
        raise CaseFailed("test/run.sh did not count its C++ cases:\n" + output[-4000:])


def sudo_case(bare):
    """A user who is not root and may use sudo gets the same: packages, build, a server that answers, Ctrl-C."""
    bare.run("apt-get update -qq")
    bare.run("apt-get install -y -qq --no-install-recommends sudo", DEBIAN_FRONTEND="noninteractive")
    bare.run(f"useradd --no-create-home --shell /bin/bash {USER}")
    (bare.path / "etc/sudoers.d/newcomer").write_text(
        f'{USER} ALL=(ALL) NOPASSWD: ALL\nDefaults env_keep += "http_proxy https_proxy no_proxy"\n')
    clone_tree(bare)
    bare.run(f"chown -R {USER}:{USER} /home/{USER}")
    # The cache is root's: this user reads it, and what it lacks is compiled and not kept.
    bare.run_until("./cli/quickstart.sh", "Ctrl-C stops the server.", user=USER, CCACHE_READONLY="1",
                   CCACHE_TEMPDIR=f"/home/{USER}/.ccache-temp")


def run_cases(report):
    """Inside namespaces of its own: every mount and process made here ends with them."""
    cases = []

    @contextlib.contextmanager
    def case(name):
        print(f"  bare root: {name}", flush=True)
        begun, failure = time.monotonic(), ""
        try:
            yield
        except (CaseFailed, OSError, subprocess.SubprocessError) as error:
            failure = str(error) or repr(error)
        cases.append(Case(name, time.monotonic() - begun, failure))
        print(f"  bare root: {name}: {'FAILED' if failure else 'passed'} after {cases[-1].seconds:.0f} s", flush=True)

    run(["mount", "--make-rprivate", "/"])
    base, second = WORK / "base", WORK / "second"
    with case("debootstrap"):
        base.mkdir()
        print("    " + make_base(base), flush=True)
        run(["cp", "-a", base, second])
    if not cases[-1].failure:
        # Where the tree stands on the machine: a unit of several sources names them by their whole paths, and the
        # compiler's cache goes by these names.
        bare = BareRoot(base, ROOT)
        clone_tree(bare)
        for name, function in (("quickstart.sh --demo", demo_case), ("cmake --workflow --preset release", workflow_case),
                               ("test/run.sh --cpp-only", cpp_suites_case)):
            with case(name):
                function(bare)
        with case("quickstart.sh as a user with sudo"):
            sudo_case(BareRoot(second, pathlib.Path("/home") / USER / "meshca"))
    write_junit(report, cases)
    failed = sum(1 for each in cases if each.failure)
    print(f"bare root: {sum(each.seconds for each in cases):.0f} s in all", flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def write_junit(path, cases):
    suite = ET.Element("testsuite", name="bare_root", tests=str(len(cases)))
    for each in cases:
        node = ET.SubElement(suite, "testcase", classname="bare_root", name=each.name, time=f"{each.seconds:.1f}")
        if each.failure:
            # XML knows no control bytes, and a terminal's colours are some.
            text = re.sub(r"[^\t\n\x20-\ufffd]", "?", each.failure)
            ET.SubElement(node, "failure", message=text.splitlines()[0]).text = text
    ET.ElementTree(suite).write(path)


def in_new_namespaces(report):
    """Runs this program again where its mounts and processes are its own, and removes the folder afterwards."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, __file__, "--inside",
             "--junit", report]
    process = subprocess.Popen([str(word) for word in words], env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
    # Whoever ends this program ends the namespaces, and with them all that runs or is mounted there.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: process.kill())
    try:
        return process.wait()
    finally:
        process.kill()
        shutil.rmtree(WORK, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(prog="test/bare_root/bare_root.py", description=__doc__)
    parser.add_argument("--junit", type=pathlib.Path, metavar="FILE", help="write the cases there, as JUnit's XML")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        sys.exit("bare_root.py: a root file system can be made by root only, with debootstrap, which test/packages.sh lists")
    with contextlib.ExitStack() as stack:
        report = options.junit or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "bare-root.xml"
        # Started in the background of a shell, all of us would ignore the Ctrl-C that ends the quickstart's server.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.exit(run_cases(report) if options.inside else in_new_namespaces(report.resolve()))


if __name__ == "__main__":
    main()
