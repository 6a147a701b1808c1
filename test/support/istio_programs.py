"""Istio's own programs, built from Istio's module at the version that istio/go.mod pins; and files of that module."""

import json
import pathlib
import shutil

import go_modules

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "test" / "interop" / "envoy" / "istio"
BUILT = ROOT / "build" / "interop" / "istio"
MODULE = "istio.io/istio"


def build(*names):
    """(the module's folder, one program for each of `names`): "pilot-agent", "pilot-discovery", which is istiod. What is up
    to date is left alone; programs that are asked for together share one pass of the compiler, and all share its cache."""
    with go_modules.alone_in(BUILT):
        shutil.copytree(SOURCES, BUILT, dirs_exist_ok=True)
        go = go_modules.go_program(BUILT / "go.mod", BUILT / "toolchain")
        module = pathlib.Path(json.loads(go_modules.ran(go, "mod", "download", "-json", MODULE, cwd=BUILT))["Dir"])
        # Built where it lies: the module's own go.sum says what its packages have to be. No C: nothing of it is needed here.
        go_modules.ran(go, "build", "-p", "2", "-ldflags=-s -w", "-o", f"{BUILT}/", *(f"./pilot/cmd/{name}" for name in names),
                       cwd=module, env={"CGO_ENABLED": "0"})
    return module, *(BUILT / name for name in names)


def build_pilot_agent():
    """(program, Envoy's bootstrap template)"""
    module, program = build("pilot-agent")
    return program, bootstrap_template(module)


def bootstrap_template(module):
    return module / "tools/packaging/common/envoy_bootstrap.json"
