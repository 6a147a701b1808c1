"""Who is special where: operators by the admin socket, nobody by the API socket."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import certificates
import grpc
import grpc_messages
import meshca_process
import pytest

WEB = "spiffe://cluster.local/ns/default/sa/web"
CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
OVERFLOW_UID = int(pathlib.Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))


def certificate(socket, spiffe_id=WEB, token=None):
    """A certificate by that socket; or the RpcError."""
    request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")
    csr = certificates.csr_pem(certificates.new_key(), spiffe_id)
    metadata = [("authorization", f"Bearer {token}")] if token else None
    with grpc_messages.unix_channel(socket) as channel:
        answer = grpc_messages.call(channel, CREATE)(request(csr=csr), timeout=60, metadata=metadata)
    return certificates.load(answer.cert_chain[0])


def refusal(socket, spiffe_id=WEB):
    with pytest.raises(grpc.RpcError) as error:
        certificate(socket, spiffe_id)
    return error.value.code(), error.value.details()


def record(ca, spiffe_id=WEB):
    return next(row for row in json.loads(ca.cli("cert", "list", "-o", "json").stdout) if row["spiffe_id"] == spiffe_id)


def test_the_servers_own_user_holds_nothing_on_the_api_socket_without_an_entry(server):
    ca = server()
    command = f"meshca entry create spiffe://cluster.local/... --selector unix:uid:{os.geteuid()}"
    code, details = refusal(ca.api_socket)
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert command in details
    ca.entitle(WEB)
    certificate(ca.api_socket)
    assert record(ca)["auth_method"] == "unix-peer"
    other = "spiffe://cluster.local/ns/default/sa/other"
    code, details = refusal(ca.api_socket, other)
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert f"meshca entry create {other} --selector unix:uid:{os.geteuid()}" in details, "the whole command this time"


def test_whoever_may_use_the_admin_socket_may_name_any_identity_but_reserved_ones(server):
    ca = server()
    certificate(ca.admin_socket)
    assert (record(ca)["auth_method"], record(ca)["caller"]) == ("server-user", f"uid {os.geteuid()}")
    code, _ = refusal(ca.admin_socket, "spiffe://cluster.local/meshca/admin/me")
    assert code == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("name", ["api_socket", "admin_socket"])
def test_tokens_work_by_both_sockets(server, name):
    ca = server()
    token = ca.cli("token", "create", WEB).stdout.strip()
    certificate(getattr(ca, name), token=token)
    assert record(ca)["auth_method"] == "join-token"


def test_commands_take_the_admin_socket_where_they_may_and_say_so(server, tmp_path):
    ca = server()
    by_admin = ca.cli("request", WEB, "--out-dir", tmp_path / "out")
    assert f"by the admin socket {ca.admin_socket}" in by_admin.stderr
    assert record(ca)["auth_method"] == "server-user"
    assert f"by the admin socket {ca.admin_socket}" in ca.cli("sds", "get", WEB).stderr

    # Who may not connect to it goes by the API socket, where the refusal has the command that helps.
    elsewhere = ("--admin-socket", tmp_path / "none.sock")
    for words in (("request", WEB, "--out-dir", tmp_path / "api"), ("sds", "get", WEB)):
        refused = ca.cli(*words, *elsewhere, check=False)
        assert refused.returncode == 1
        assert f"by the API socket {ca.api_socket}" in refused.stderr
        assert "meshca entry create" in refused.stderr and f"--selector unix:uid:{os.geteuid()}" in refused.stderr
    asked = ca.cli("sds", "get", WEB, "--api-socket", ca.api_socket, check=False)
    assert f"by the API socket {ca.api_socket}" in asked.stderr, "that was asked for"
    assert f"meshca entry create {WEB} --selector unix:uid:" in asked.stderr
    ca.entitle(WEB)
    ca.cli("request", WEB, "--out-dir", tmp_path / "api", *elsewhere)
    shown = ca.cli("sds", "get", "default", "-o", "json", *elsewhere)
    assert json.loads(shown.stdout)["spiffe_id"] == WEB
    named = ca.cli("sds", "get", "default", "-o", "json", "--socket", ca.api_socket)
    assert json.loads(named.stdout)["spiffe_id"] == WEB and named.stderr == ""


@contextlib.contextmanager
def server_in_a_user_namespace(meshca):
    """A server for which no user of this host has a number: neither we, nor root, nor itself."""
    folder = pathlib.Path(tempfile.mkdtemp())
    ca = meshca_process.MeshcaProcess(meshca, folder, folder / "state")
    command = ca.command()
    ca.command = lambda: ["unshare", "--user", *command]
    try:
        yield ca.start()
    finally:
        ca.stop()
        shutil.rmtree(folder)


def test_an_unmapped_user_of_a_user_namespace_is_nobody(meshca):
    """Fails, and is not skipped, where this machine has no user namespaces: nothing else shows the kernel's side."""
    probe = subprocess.run(["unshare", "--user", "id", "-u"], capture_output=True, text=True, check=False)
    assert probe.stdout.strip() == str(OVERFLOW_UID), f"this machine makes no user namespaces: {probe.stderr}"
    with server_in_a_user_namespace(meshca) as ca:
        code, details = refusal(ca.api_socket)
        assert code == grpc.StatusCode.PERMISSION_DENIED
        assert f"uid {OVERFLOW_UID}" in details and "a uid of its own" in details
        for kind in ("uid", "gid"):
            refused = ca.cli("entry", "create", WEB, "--selector", f"unix:{kind}:{OVERFLOW_UID}", check=False)
            assert refused.returncode == 1
            assert "names nobody" in refused.stderr and "SELECTOR_NOBODY" in refused.stderr
        file = ca.folder / "entries.yaml"
        file.write_text(f"entries:\n- spiffe_id: {WEB}\n  selectors: [\"unix:uid:{OVERFLOW_UID}\"]\n", encoding="utf-8")
        applied = ca.cli("entry", "apply", "-f", file, check=False)
        assert applied.returncode == 1 and "SELECTOR_NOBODY" in applied.stderr
        certificate(ca.admin_socket)  # the permissions of that socket's file have decided who we are
