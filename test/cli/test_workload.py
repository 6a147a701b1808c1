"""The SPIFFE Workload API on the sockets of a real server: what goes over the wire, and the command that shows it."""

import json
import os
import signal
import time

import grpc
import grpc_messages
import pytest
from background import Background, wait_until

WEB = "spiffe://cluster.local/ns/default/sa/web"
API = "spiffe://cluster.local/ns/default/sa/api"
HEADER = (("workload.spiffe.io", "true"),)
UID = f"unix:uid:{os.geteuid()}"


def fetch(socket, method, request="X509SVIDRequest", response="X509SVIDResponse", metadata=HEADER, timeout=60):
    """The first message of a stream, or the answer of a call."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        streams = method not in ("FetchJWTSVID", "ValidateJWTSVID")
        make = channel.unary_stream if streams else channel.unary_unary
        call = make(f"/SpiffeWorkloadAPI/{method}", request_serializer=lambda message: message.SerializeToString(),
                    response_deserializer=grpc_messages.message(response).FromString)
        answer = call(grpc_messages.message(request)() if isinstance(request, str) else request, metadata=metadata,
                      timeout=timeout)
        return next(answer) if streams else answer


def refusal(*args, **options):
    with pytest.raises(grpc.RpcError) as error:
        fetch(*args, **options)
    return error.value.code(), error.value.details()


def subscribers(ca, kind):
    return [row for row in json.loads(ca.cli("subscriber", "list", "-o", "json").stdout) if row["kind"] == kind]


def test_without_the_security_header_it_is_an_invalid_argument_and_a_newer_method_is_unimplemented(server):
    ca = server()
    ca.entitle(WEB)
    for method in ("FetchX509SVID", "FetchX509Bundles", "FetchJWTSVID", "FetchJWTBundles", "ValidateJWTSVID"):
        for metadata in ((), (("workload.spiffe.io", "True"),)):
            code, details = refusal(ca.api_socket, method, metadata=metadata)
            assert code == grpc.StatusCode.INVALID_ARGUMENT and "workload.spiffe.io" in details, (method, metadata)
    assert refusal(ca.api_socket, "FetchWITSVID")[0] == grpc.StatusCode.UNIMPLEMENTED


def test_nobody_has_anything_without_an_entry_and_a_call_right_after_the_entry_succeeds(server):
    ca = server()
    for socket in (ca.api_socket, ca.admin_socket):
        code, details = refusal(socket, "FetchX509SVID")
        assert code == grpc.StatusCode.PERMISSION_DENIED
        assert f"meshca entry create spiffe://cluster.local/... --selector {UID}" in details
    entry = ca.cli("entry", "create", WEB, "--selector", UID).stdout.strip()
    answer = fetch(ca.api_socket, "FetchX509SVID")
    assert [svid.spiffe_id for svid in answer.svids] == [WEB]
    ca.cli("entry", "delete", entry)
    assert refusal(ca.api_socket, "FetchX509SVID")[0] == grpc.StatusCode.PERMISSION_DENIED


def test_it_is_served_on_the_sockets_alone(server):
    ca = server("--sds-over-mtls", "true")
    with grpc_messages.tls_channel(ca.grpc, ca.root_pem.encode()) as channel:
        call = channel.unary_stream("/SpiffeWorkloadAPI/FetchX509Bundles",
                                    request_serializer=lambda message: message.SerializeToString(),
                                    response_deserializer=grpc_messages.message("X509BundlesResponse").FromString)
        with pytest.raises(grpc.RpcError) as error:
            next(call(grpc_messages.message("X509BundlesRequest")(), metadata=HEADER, timeout=60))
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_the_command_shows_identities_and_bundles_and_never_a_key(server):
    ca = server()
    refused = ca.cli("workload", "x509", check=False)
    assert refused.returncode == 1 and "meshca entry create" in refused.stderr
    ca.entitle(WEB, API)
    text = ca.cli("workload", "x509").stdout
    assert "private key not shown" in text and WEB in text and API in text and ca.root_fingerprint in text
    shown = ca.cli("workload", "x509", "-o", "json").stdout
    assert "PRIVATE KEY" not in shown
    view = json.loads(shown)
    assert [svid["spiffe_id"] for svid in view["svids"]] == [WEB, API]
    assert view["svids"][0]["chain_pem"].startswith("-----BEGIN CERTIFICATE-----")
    bundles = json.loads(ca.cli("workload", "bundles", "-o", "json").stdout)["bundles"]
    assert [bundle["trust_domain"] for bundle in bundles] == ["spiffe://cluster.local"]
    assert bundles[0]["fingerprints"] == [ca.root_fingerprint] and bundles[0]["pem"].strip() == ca.root_pem.strip()
    assert json.loads(bundles[0]["jwks"])["keys"] == [] or bundles[0]["jwt_key_ids"]


def test_the_command_finds_the_socket_where_every_client_does(server):
    ca = server()
    ca.entitle(WEB)
    for words in (("--socket", ca.api_socket), ("--socket", f"unix://{ca.api_socket}")):
        assert WEB in ca.cli("workload", "x509", *words).stdout
    done = ca.cli("workload", "x509", "--socket", ca.folder / "nothing.sock", check=False)
    assert done.returncode == 1 and "nothing.sock" in done.stderr
    assert ca.cli("workload", "jwt", check=False).returncode == 2, "no token is for everybody"


def test_watching_shows_each_change_and_ends_with_the_right(server):
    ca = server()
    entry = ca.cli("entry", "create", WEB, "--selector", UID).stdout.strip()
    watch = Background([ca.meshca, "workload", "x509", "--watch", "-o", "json", "--state-dir", ca.state_dir],
                       ca.folder / "watch.err", ca.env)
    try:
        first = json.loads(watch.wait_for_line("{")[-1])
        serial = first["svids"][0]["serial"]
        ca.cli("cert", "renew", serial)
        wait_until(lambda: len(watch.lines) >= 2, 60, "the renewed key")
        assert json.loads(watch.lines[1])["svids"][0]["serial"] != serial
        other = ca.cli("entry", "create", API, "--selector", UID).stdout.strip()
        wait_until(lambda: len(json.loads(watch.lines[-1])["svids"]) == 2, 60, "the second identity")
        ca.cli("entry", "delete", entry)
        wait_until(lambda: [svid["spiffe_id"] for svid in json.loads(watch.lines[-1])["svids"]] == [API], 60,
                   "the first identity gone")
        ca.cli("entry", "delete", other)
        assert watch.process.wait(60) == 1
        assert "PERMISSION_DENIED" in watch.stderr_text() or "meshca entry create" in watch.stderr_text()
    finally:
        if watch.running():
            watch.kill()


def test_a_subscriber_is_listed_with_what_was_delivered_and_can_be_evicted(server):
    ca = server("--rotation-delivered-after", "1s")
    ca.entitle(WEB)
    watch = Background([ca.meshca, "workload", "x509", "--watch", "-o", "json", "--state-dir", ca.state_dir],
                       ca.folder / "watch.err", ca.env)
    try:
        serial = json.loads(watch.wait_for_line("{")[-1])["svids"][0]["serial"]
        row = wait_until(lambda: [row for row in subscribers(ca, "workload-api") if row["delivered_at"]], 60,
                         "the delivery")[0]
        assert row["connected"] and row["spiffe_id"] == WEB and row["serial"] == serial
        assert row["bundle_sequence"] >= 1 and row["acknowledged_at"] is None and not row["takes_jwt_keys"]
        assert "delivered " in ca.cli("subscriber", "show", row["instance"]).stdout
        assert 'meshca_sds_subscribers_of_kind{kind="workload-api"} 1' in ca.get("/metrics")
        ca.cli("subscriber", "evict", row["instance"])
        assert watch.process.wait(60) == 1
        assert "an operator evicted this subscriber" in watch.stderr_text()
    finally:
        if watch.running():
            watch.kill()


def test_a_rotation_goes_on_by_what_was_delivered(server):
    ca = server("--rotation-delivered-after", "1s", "--rotation-settle", "0s")
    ca.entitle(WEB)
    watch = Background([ca.meshca, "workload", "x509", "--watch", "-o", "json", "--state-dir", ca.state_dir],
                       ca.folder / "watch.err", ca.env)
    try:
        first = json.loads(watch.wait_for_line("{")[-1])
        wait_until(lambda: subscribers(ca, "workload-api"), 60, "the subscriber")
        begun = time.monotonic()
        ca.cli("root", "rotate", timeout=240)
        assert time.monotonic() - begun > 2, "each step waited for its delivery"
        last = json.loads(watch.lines[-1])
        new_root = ca.cli("bundle", "show", "--format", "pem").stdout.strip()
        wait_until(lambda: json.loads(watch.lines[-1])["bundles"][0]["pem"].strip() == new_root, 60, "the new root alone")
        assert last["svids"][0]["serial"] != first["svids"][0]["serial"]
        assert any(len(json.loads(line)["bundles"][0]["fingerprints"]) == 2 for line in watch.lines), "both for a while"
    finally:
        watch.signal(signal.SIGINT)
        watch.process.wait(60)
