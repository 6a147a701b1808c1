"""Fixtures for every Python test: a built meshca, servers and Envoys that are started for one test and ended with it.

Tests use loopback only, port 0, and folders of their own. The markers are in pytest.ini.
"""

import os
import pathlib
import signal

import agent_process
import envoy_process
import meshca_process
import pytest

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every command started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def build_dir():
    """The build tree under test: $MESHCA_BUILD_DIR, by default build/release."""
    return pathlib.Path(os.environ.get("MESHCA_BUILD_DIR", ROOT / "build" / "release")).resolve()


@pytest.fixture(scope="session")
def meshca(build_dir):
    """Path of the meshca command."""
    path = build_dir / "meshca"
    assert path.exists(), f"{path} is not built: cmake --workflow --preset release"
    return path


@pytest.fixture
def server(meshca, tmp_path_factory):
    """Starts servers: `server()` or `server("--trust-domain", "a.test", config=TEXT)`; see MeshcaProcess."""
    started = []

    def start(*args, state_dir=None, config=None, env=None):
        folder = tmp_path_factory.mktemp("server")
        process = meshca_process.MeshcaProcess(meshca, folder, state_dir or folder / "state", args, config, env)
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def agent(meshca, tmp_path_factory):
    """Starts agents of a server: `agent(ca, "web-1")` joins by a new token; `agent(ca, state_dir=FOLDER)` has joined.

    `token`: a file to join by instead; `ready=False`: does not wait until it serves; see AgentProcess.
    """
    started = []

    def start(ca, node=None, *args, state_dir=None, token=None, ready=True, config=None, env=None):
        folder = tmp_path_factory.mktemp("agent")
        words = ["--server", ca.grpc, *args]
        if node is not None and token is None:
            token = folder / "token"
            ca.cli("token", "create", "--node", node, "--out", token)
        if token is not None:
            words += ["--token-file", token]
        process = agent_process.AgentProcess(meshca, folder, state_dir or folder / "state", words, config, env)
        started.append(process)
        process.start(ready=ready)
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def envoy(tmp_path_factory):
    """Starts Envoys: `envoy(bootstrap_dict)`; see EnvoyProcess."""
    started = []

    def start(bootstrap, *args, wait_ready=True, program=None):
        process = envoy_process.EnvoyProcess(tmp_path_factory.mktemp("envoy"), bootstrap, args, program)
        started.append(process)
        process.start(wait_ready)
        return process

    yield start
    for process in started:
        process.stop()
