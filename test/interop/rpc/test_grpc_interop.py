"""The official gRPC interop client (Go) against the edge: every required case, plaintext and TLS."""

import fcntl
import os
import subprocess

import pytest

CLIENT = "google.golang.org/grpc/interop/client@v1.64.1"  # The last that Debian 12's Go 1.19 builds.
CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
         "custom_metadata", "status_code_and_message", "special_status_message", "unimplemented_method",
         "unimplemented_service", "cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server"]


@pytest.fixture(scope="session")
def interop_client(build_dir):
    """The client, built once a build tree."""
    folder = build_dir / "test/interop/rpc"
    client = folder / "client"
    with open(folder / "client.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Several pytest workers want it.
        if not client.exists():
            env = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-mod=mod"}
            done = subprocess.run(["go", "install", CLIENT], env=env, cwd=folder, capture_output=True, text=True,
                                  timeout=280, check=False)
            assert done.returncode == 0, done.stderr
    return client


@pytest.mark.timeout(300)
@pytest.mark.parametrize("transport", ["plaintext", "tls"])
def test_interop_client(interop_client, edge, edge_certificate, transport):
    server = edge(tls=transport == "tls")
    host, port = server.host_port
    command = [interop_client, f"--server_host={host}", f"--server_port={port}"]
    if transport == "tls":
        command += ["--use_tls", "--use_test_ca", f"--ca_file={edge_certificate[0]}",
                    "--server_host_override=foo.test.google.fr"]
    failed = {}
    for case in CASES:
        done = subprocess.run([*command, f"--test_case={case}"], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            failed[case] = done.stderr[-500:]
    assert not failed
    assert server.stats()["limits"] == dict.fromkeys(server.stats()["limits"], 0), "a real client meets no limit"
