"""What `cmake --install` puts down: one file, which serves, and which calls a server."""

import pathlib
import re
import subprocess

import meshca_process
import pytest

# Linked in from the archives of their packages; the rest stays shared.
INSIDE = ("libgrpc", "libabsl", "libprotobuf")


@pytest.fixture
def installed(build_dir, tmp_path):
    """The prefix of a fresh installation."""
    prefix = tmp_path / "prefix"
    subprocess.run(["cmake", "--install", build_dir, "--prefix", prefix], check=True, capture_output=True, timeout=120)
    return prefix


@pytest.fixture
def running(installed, tmp_path):
    process = meshca_process.MeshcaProcess(installed / "bin" / "meshca", tmp_path, tmp_path / "state")
    process.start()
    yield process
    process.stop()


def mapped(pid):
    return {pathlib.Path(path).name for path in re.findall(r"(/\S+\.so\S*)", pathlib.Path(f"/proc/{pid}/maps").read_text())}


def test_an_installation_is_one_file(installed):
    files = [path.relative_to(installed).as_posix() for path in installed.rglob("*") if not path.is_dir()]
    assert files == ["bin/meshca"]


def test_the_installed_command_looks_for_libraries_where_the_system_has_them(installed):
    dynamic = subprocess.run(["readelf", "--dynamic", "--wide", installed / "bin" / "meshca"], check=True,
                             capture_output=True, text=True, timeout=120).stdout
    assert "(NEEDED)" in dynamic
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic


def test_the_installed_command_calls_the_server_that_it_started(running):
    assert "ready" in running.cli("status").stdout


def test_what_is_linked_in_is_not_loaded_as_well(running):
    libraries = mapped(running.pid)
    assert any(name.startswith("libcrypto.so") for name in libraries)
    assert not [name for name in libraries if name.startswith(INSIDE)]
