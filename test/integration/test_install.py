"""What `cmake --install` puts down: a server that loads no more than it needs, and a command that calls it."""

import pathlib
import re
import subprocess

import meshca_process
import pytest

LIBRARY = "libmeshca_grpc_client.so"


@pytest.fixture
def installed(build_dir, tmp_path):
    """The prefix of a fresh installation."""
    prefix = tmp_path / "prefix"
    subprocess.run(["cmake", "--install", build_dir, "--prefix", prefix], check=True, capture_output=True, timeout=60)
    return prefix


@pytest.fixture
def running(installed, tmp_path):
    process = meshca_process.MeshcaProcess(installed / "bin" / "meshca", tmp_path, tmp_path / "state")
    process.start()
    yield process
    process.stop()


def mapped(pid):
    return {pathlib.Path(path).name for path in re.findall(r"(/\S+\.so\S*)", pathlib.Path(f"/proc/{pid}/maps").read_text())}


def test_the_server_never_loads_grpc(running):
    assert "ready" in running.cli("status").stdout
    libraries = mapped(running.pid)
    assert any(name.startswith("libcrypto.so") for name in libraries)
    assert not [name for name in libraries if name.startswith(("libgrpc", LIBRARY))]


def test_a_command_without_its_library_says_what_to_install(running, installed):
    (installed / "lib" / "meshca" / LIBRARY).unlink()
    done = running.cli("status", check=False)
    assert done.returncode != 0
    assert LIBRARY in done.stderr and "lib/meshca" in done.stderr
