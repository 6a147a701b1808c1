"""SDS over the real edge, by somebody else's gRPC: what every client sees on the wire, whatever its language."""

import json
import os
import pathlib

import grpc
import grpc_messages
import pytest
from background import wait_until
from sds_stream import DISCOVERY, SERVICE, TYPE, Stream, secrets

WEB = "spiffe://cluster.local/ns/test/sa/web"


@pytest.fixture
def ca(server):
    return server("--sds-over-mtls")


@pytest.fixture
def unix(ca):
    ca.entitle(WEB)
    with grpc_messages.unix_channel(ca.api_socket) as channel:
        yield channel


@pytest.fixture(params=["StreamSecrets", "DeltaSecrets"])
def stream(request, unix):
    made = Stream(unix, request.param)
    yield made
    made.cancel()


def test_key_chain_and_roots_fit(ca, stream, tmp_path):
    stream.ask([WEB, "ROOTCA", "spiffe://cluster.local"])
    found = secrets(stream.next())
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    tls = found[WEB].tls_certificate
    chain = x509.load_pem_x509_certificates(tls.certificate_chain.inline_bytes)
    key = serialization.load_pem_private_key(tls.private_key.inline_bytes, None)
    (root,) = x509.load_pem_x509_certificates(found["ROOTCA"].validation_context.trusted_ca.inline_bytes)
    assert key.public_key() == chain[0].public_key()
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [WEB]
    for lower, upper in zip(chain, [*chain[1:], root]):
        lower.verify_directly_issued_by(upper)
    assert found["spiffe://cluster.local"].validation_context == found["ROOTCA"].validation_context


@pytest.mark.parametrize(("names", "type_url", "code", "words"), [
    (["default"], "type.googleapis.com/envoy.config.cluster.v3.Cluster", "INVALID_ARGUMENT", "is not served here"),
    ([f"{WEB}{n}" for n in range(5000)], TYPE, "INVALID_ARGUMENT", "names 5000 secrets; one stream may hold at most 256"),
    ([f"n{n}" for n in range(10_000)], TYPE, "INVALID_ARGUMENT", "names 10000 secrets"),
    (["x" * 300_000], TYPE, "RESOURCE_EXHAUSTED", ""),
    (["nonsense"], TYPE, "PERMISSION_DENIED", "there is no such secret"),
    ([f"{WEB}-other"], TYPE, "PERMISSION_DENIED", f"let it: meshca entry create {WEB}-other --selector unix:uid:"),
    (["spiffe://elsewhere.test"], TYPE, "PERMISSION_DENIED", "no bundle of this trust domain"),
], ids=["wrong-type", "5000-names", "10000-names", "huge", "unknown", "no-entry-for-it", "other-domain"])
def test_refusals(stream, names, type_url, code, words):
    stream.ask(names, type_url=type_url)
    ended, details = stream.end()
    assert ended.name == code
    assert words in details


@pytest.mark.parametrize("method", ["StreamSecrets", "DeltaSecrets", "FetchSecrets"])
def test_nobody_is_special_on_the_api_socket_and_the_refusal_has_the_whole_command(ca, method):
    """The tests run as the server's own user, who could name any identity there once."""
    with grpc_messages.unix_channel(ca.api_socket) as channel:
        if method == "FetchSecrets":
            request = grpc_messages.message(f"{DISCOVERY}.DiscoveryRequest")
            with pytest.raises(grpc.RpcError) as error:
                grpc_messages.call(channel, f"{SERVICE}/{method}")(request(resource_names=["ROOTCA", WEB]), timeout=60)
            code, details = error.value.code(), error.value.details()
        else:
            stranger = Stream(channel, method)
            stranger.ask(["ROOTCA", WEB])
            code, details = stranger.end()
    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert f"meshca entry create {WEB} --selector unix:uid:{os.geteuid()}" in details


@pytest.mark.parametrize("method", ["StreamSecrets", "DeltaSecrets", "FetchSecrets"])
def test_on_the_admin_socket_any_identity_may_be_named_but_reserved_ones(ca, method):
    any_id, reserved = "spiffe://cluster.local/anything", "spiffe://cluster.local/meshca/admin/me"
    with grpc_messages.unix_channel(ca.admin_socket) as channel:
        if method == "FetchSecrets":
            request = grpc_messages.message(f"{DISCOVERY}.DiscoveryRequest")
            fetch = grpc_messages.call(channel, f"{SERVICE}/{method}")
            assert set(secrets(fetch(request(resource_names=[any_id]), timeout=60))) == {any_id}
            with pytest.raises(grpc.RpcError) as error:
                fetch(request(resource_names=[reserved]), timeout=60)
            code = error.value.code()
        else:
            operator = Stream(channel, method)
            operator.ask([any_id])
            assert set(secrets(operator.next())) == {any_id}
            operator.cancel()
            greedy = Stream(channel, method)
            greedy.ask([reserved])
            code, _ = greedy.end()
    assert code == grpc.StatusCode.PERMISSION_DENIED
    record = next(row for row in json.loads(ca.cli("cert", "list", "-o", "json").stdout) if row["spiffe_id"] == any_id)
    assert (record["auth_method"], record["caller"]) == ("server-user", f"uid {os.geteuid()}")


def test_fetch_answers_once(unix):
    fetch = grpc_messages.call(unix, f"{SERVICE}/FetchSecrets")
    request = grpc_messages.message(f"{DISCOVERY}.DiscoveryRequest")
    response = fetch(request(resource_names=[WEB, "ROOTCA", "nonsense"]), timeout=60)
    assert set(secrets(response)) == {WEB, "ROOTCA"}
    for names, code in (([], "INVALID_ARGUMENT"), (["nonsense"], "PERMISSION_DENIED")):
        with pytest.raises(grpc.RpcError) as error:
            fetch(request(resource_names=names), timeout=60)
        assert error.value.code().name == code


def test_a_node_of_sixty_kilobytes_is_read_once(ca, stream):
    node = grpc_messages.message("envoy.config.core.v3.Node")(id="big").SerializeToString() + b"\x1a\xe0\xd4\x03" + b"x" * 60_000
    stream.ask(["ROOTCA"], node=node)
    first = stream.next()
    stream.ask(["ROOTCA"] if not stream.delta else [], nonce=first.nonce)
    wait_until(lambda: '"big"' in ca.cli("subscriber", "list", "-o", "json").stdout, 60, "the subscriber")


def test_over_tls_a_certificate_is_the_only_way(ca, tmp_path):
    ca.cli("request", WEB, "--out-dir", tmp_path / "web")
    files = [(tmp_path / "web" / name).read_bytes() for name in ("root-cert.pem", "cert-chain.pem", "key.pem")]
    with grpc_messages.tls_channel(ca.grpc, files[0]) as channel:
        stranger = Stream(channel, "StreamSecrets")
        stranger.ask(["ROOTCA"])
        code, details = stranger.end()
        assert code == grpc.StatusCode.UNAUTHENTICATED
        assert "client certificate" in details
        stranger.cancel()
    with grpc_messages.tls_channel(ca.grpc, *files) as channel:
        own = Stream(channel, "DeltaSecrets")
        own.ask(["default", f"{WEB}-other"])
        response = own.next()
        assert set(secrets(response)) == {"default"}
        assert list(response.removed_resources) == [f"{WEB}-other"]
        own.cancel()


def test_the_key_of_a_workload_is_never_on_disk(ca, stream):
    stream.ask([WEB, "ROOTCA"])
    found = secrets(stream.next())
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(found[WEB].tls_certificate.private_key.inline_bytes, None)
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    files = {path: path.read_bytes() for path in pathlib.Path(ca.state_dir).rglob("*") if path.is_file()}
    assert any(path.name.endswith(".db-wal") or path.name.endswith(".db") for path in files)
    for path, content in files.items():
        for form in (secret, secret.hex().encode(), b"PRIVATE KEY"):
            assert form not in content, f"{path} holds a key"
