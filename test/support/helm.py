"""Helm, built from its Go module, and what it makes of our chart."""

import json
import pathlib
import shutil
import subprocess

import go_modules
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "meshca"
SOURCES = ROOT / "test" / "charts" / "helm"
BUILT = ROOT / "build" / "interop" / "helm"
MODULE = "helm.sh/helm/v3"
# What it renders for where no API server is asked; its releases have the newest one they know, a build by hand 1.20.
KUBERNETES = ("1", "37")
NAMESPACE = "meshca-system"


class HelmError(AssertionError):
    """It ended with a fault, which is the text."""


def build():
    """The program: two minutes of one core the first time, and less after kube-apiserver, with which it shares modules."""
    variables = {f"{MODULE}/pkg/{package}.k8sVersion{part}": number for package in ("chartutil", "lint/rules")
                 for part, number in zip(("Major", "Minor"), KUBERNETES)}
    flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in variables.items())])
    with go_modules.alone_in(BUILT):
        shutil.copytree(SOURCES, BUILT, dirs_exist_ok=True)
        go = go_modules.go_program(BUILT / "go.mod", BUILT / "toolchain")
        go_modules.ran(go, "build", "-p", "2", f"-ldflags={flags}", "-o", BUILT / "helm", f"{MODULE}/cmd/helm", cwd=BUILT,
                       env={"CGO_ENABLED": "0"})
    return BUILT / "helm"


class Helm:
    """Helm as one user of a cluster; without `kubeconfig` it can only render. Its own files lie in `folder`."""

    def __init__(self, program, folder, kubeconfig=None):
        self._program = program
        self._folder = pathlib.Path(folder)
        words = {"HELM_CACHE_HOME": "cache", "HELM_CONFIG_HOME": "config", "HELM_DATA_HOME": "data", "HOME": "home"}
        self._env = {name: str(self._folder / word) for name, word in words.items()}
        self._kubeconfig = ["--kubeconfig", kubeconfig] if kubeconfig else []
        self._values = 0

    def run(self, *words, timeout=120):
        """What it printed."""
        done = subprocess.run([str(word) for word in (self._program, *words, *self._kubeconfig)], env=self._env, text=True,
                              capture_output=True, check=False, timeout=timeout)
        if done.returncode != 0:
            raise HelmError(done.stdout + done.stderr)
        return done.stdout

    def lint(self, values):
        return self.run("lint", "--strict", CHART, "--values", self.values_file(values))

    def render(self, values, release="meshca", namespace=NAMESPACE, chart=CHART):
        """The objects of a release, in order."""
        text = self.run("template", release, chart, "--namespace", namespace, "--values", self.values_file(values))
        return [thing for thing in yaml.safe_load_all(text) if thing]

    def install(self, values, release="meshca", namespace=NAMESPACE, verb="install"):
        return self.run(verb, release, CHART, "--namespace", namespace, "--values", self.values_file(values))

    def values_file(self, values):
        self._values += 1
        path = self._folder / f"values-{self._values}.yaml"
        path.write_text(json.dumps(values), encoding="utf-8")
        return path


def named(things, kind, name=None):
    """The one object of this kind, of this name where it is given."""
    found = [thing for thing in things if thing["kind"] == kind and name in (None, thing["metadata"]["name"])]
    assert len(found) == 1, f"{kind} {name or ''}: {len(found)} of them"
    return found[0]
