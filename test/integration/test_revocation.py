"""Taking an identity back on a running server: what gets nothing more, whose connections end, and who notices nothing."""

import json
import os
import socket
import ssl
import time

import certificates
import grpc
import grpc_messages
import pytest
import rotation
from background import wait_until
from sds_stream import SERVICE, DISCOVERY, Stream, secrets

CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
WEB = "spiffe://cluster.local/ns/test/sa/web"
API = "spiffe://cluster.local/ns/test/sa/api"
REVOKED = (grpc.StatusCode.UNAUTHENTICATED, "revoked at ")
KEY_REVOKED = (grpc.StatusCode.PERMISSION_DENIED, "belongs to a certificate that was revoked")


class Held:
    """A key and its certificate, as a workload holds them."""

    def __init__(self, key, cert_chain):
        self.key = key
        self.chain = cert_chain
        self.serial = certificates.serial_hex(certificates.load(cert_chain[0]))

    def channel(self, ca):
        return grpc_messages.tls_channel(ca.grpc, ca.root_pem.encode(), "".join(self.chain).encode(),
                                         certificates.key_pem(self.key))


def ask(ca, channel, spiffe_id, key=None, token=None):
    """What a request for `spiffe_id` brings: Held, or (code, details)."""
    key = key or certificates.new_key()
    request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")(csr=certificates.csr_pem(key, spiffe_id))
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with channel:
        try:
            answer = grpc_messages.call(channel, CREATE)(request, metadata=metadata, timeout=60)
        except grpc.RpcError as error:
            return error.code(), error.details()
    return Held(key, answer.cert_chain)


def by_socket(ca, spiffe_id, key=None):
    return ask(ca, grpc_messages.unix_channel(ca.api_socket), spiffe_id, key)


def by_token(ca, spiffe_id, *options, key=None):
    token = ca.cli("token", "create", spiffe_id, *options).stdout.strip()
    return ask(ca, grpc_messages.tls_channel(ca.grpc, ca.root_pem.encode()), spiffe_id, key, token)


def renew(ca, held, spiffe_id=WEB, key=None):
    return ask(ca, held.channel(ca), spiffe_id, key)


def refused(answer, expected):
    assert not isinstance(answer, Held), "it was issued"
    code, words = expected
    assert answer[0] == code and words in answer[1], answer


def make_entry(ca, name, spiffe_id, selector=f"unix:uid:{os.getuid()}"):
    ca.cli("entry", "create", spiffe_id, "--selector", selector, "--id", name)


def rows(ca, *args):
    return json.loads(ca.cli("cert", "list", "-o", "json", *args).stdout)


def show(ca, serial):
    return json.loads(ca.cli("cert", "show", serial, "-o", "json").stdout)


def everything(ca):
    """What a dry run must leave as it was."""
    return ca.cli("cert", "list", "-o", "json").stdout, ca.cli("audit", "list", "-o", "json").stdout


def is_gone(connection):
    """Has the server ended this connection?"""
    try:
        while connection.recv(4096):
            pass
    except (TimeoutError, ssl.SSLWantReadError):
        return False
    except OSError:
        pass
    return True


def open_connection(ca, held, tmp_path):
    """An mTLS connection that has said what HTTP/2 begins with, and nothing else."""
    files = {"root.pem": ca.root_pem.encode(), "chain.pem": "".join(held.chain).encode(),
             "key.pem": certificates.key_pem(held.key)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(cafile=tmp_path / "root.pem")
    context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    context.set_alpn_protocols(["h2"])
    host, port = ca.grpc.rsplit(":", 1)
    connection = context.wrap_socket(socket.create_connection((host, int(port)), timeout=60), server_hostname="localhost")
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    assert connection.recv(9), "the server's settings"
    connection.settimeout(0.02)
    return connection


SELECTIONS = {
    "serial": lambda ca, held: [held.serial],
    "id": lambda ca, held: ["--id", "*/sa/web"],
    "entry": lambda ca, held: ["--entry", "web"],
    "node": lambda ca, held: ["--node", "node-1"],
    "issuer": lambda ca, held: ["--issuer", show(ca, held.serial)["authority_id"][:8]],
}


@pytest.mark.parametrize("selection", SELECTIONS)
def test_the_line_and_the_key_get_nothing_more_through_any_door(server, selection):
    ca = server()
    make_entry(ca, "web", WEB)
    first = by_token(ca, WEB, "--node", "node-1") if selection == "node" else by_socket(ca, WEB)
    second = renew(ca, first)
    third = renew(ca, second)
    other = by_token(ca, API)
    assert show(ca, third.serial)["line_serial"] == first.serial
    line = {first.serial, second.serial, third.serial}

    chosen = SELECTIONS[selection](ca, second)
    before = everything(ca)
    planned = json.loads(ca.cli("cert", "revoke", *chosen, "--dry-run", "-o", "json").stdout)
    assert everything(ca) == before
    assert renew(ca, third).serial, "nothing has happened yet"
    assert line <= {row["serial"] for row in planned["records"]}

    done = json.loads(ca.cli("cert", "revoke", *chosen, "--reason", "keycompromise", "-o", "json").stdout)
    assert done["certificates"] == planned["certificates"] + 1 and done["lines"] == planned["lines"]
    revoked = rows(ca, "--revoked")
    assert line < {row["serial"] for row in revoked}
    assert {row["revocation_reason"] for row in revoked} == {"keyCompromise"}
    for held in (first, second, third):
        refused(renew(ca, held), REVOKED)
        refused(by_socket(ca, WEB, held.key), KEY_REVOKED)
        refused(by_token(ca, WEB, key=held.key), KEY_REVOKED)
        refused(by_token(ca, API, key=held.key), KEY_REVOKED)
    refused(renew(ca, by_token(ca, API), API, key=second.key), KEY_REVOKED)
    if selection != "issuer":
        assert other.serial not in {row["serial"] for row in revoked}
        assert renew(ca, other, API).serial, "another workload notices nothing"
    assert by_socket(ca, WEB).serial, "the entry that gave the right still stands"
    assert ca.get("/metrics").count(f"meshca_certificates_revoked_total {done['certificates']}\n") == 1


def seconds_until_cut(ca, tmp_path):
    """Revokes what `web` holds while it and `api` have connections and streams; how long its own lived on."""
    web, api = by_socket(ca, WEB), by_socket(ca, API)
    streams = {}
    with grpc_messages.unix_channel(ca.api_socket) as unix, web.channel(ca) as web_tls, api.channel(ca) as api_tls:
        for method in ("StreamSecrets", "DeltaSecrets"):
            streams[f"web {method}"] = Stream(unix, method)
            streams[f"api {method}"] = Stream(unix, method)
            streams[f"web {method} mTLS"] = Stream(web_tls, method)
            streams[f"api {method} mTLS"] = Stream(api_tls, method)
        for name, stream in streams.items():
            stream.ask([WEB if name.startswith("web") else API])
            assert secrets(stream.next())
        connections = {"web": open_connection(ca, web, tmp_path), "api": open_connection(ca, api, tmp_path)}

        done = json.loads(ca.cli("cert", "revoke", "--id", WEB, "-o", "json").stdout)
        begin = time.monotonic()
        for name, stream in streams.items():
            if name.startswith("web"):
                code, details = stream.end()
                if name.endswith("mTLS"):
                    continue  # its connection was cut
                assert code == grpc.StatusCode.PERMISSION_DENIED
                assert WEB in details and "was revoked" in details and "meshca cert show" in details
        wait_until(lambda: is_gone(connections["web"]), 60, "the end of the connection")
        took = time.monotonic() - begin
        assert done["keys_dropped"] >= 1

        assert not is_gone(connections["api"])
        for name, stream in streams.items():
            if name.startswith("api"):
                stream.ask(["ROOTCA"] if stream.delta else [API, "ROOTCA"])
                assert "ROOTCA" in secrets(stream.next()), f"{name} notices nothing"
                stream.cancel()
        for connection in connections.values():
            connection.close()
    return took


def test_open_connections_and_streams_end_within_a_second(server, tmp_path):
    ca = server("--sds-over-mtls")
    make_entry(ca, "web", WEB)
    make_entry(ca, "api", API)
    # The quickest of three tells how long the server takes; each alone may tell of a pause of the machine.
    assert min(seconds_until_cut(ca, tmp_path) for _ in range(3)) < 1


def leaf_of(secret):
    return certificates.load(secret.tls_certificate.certificate_chain.inline_bytes)


def test_a_subscriber_that_comes_back_gets_a_new_key_of_a_new_line(server):
    ca = server()
    make_entry(ca, "web", WEB)
    fetch_request = grpc_messages.message(f"{DISCOVERY}.DiscoveryRequest")(resource_names=[WEB])
    with grpc_messages.unix_channel(ca.api_socket) as unix:
        fetch = grpc_messages.call(unix, f"{SERVICE}/FetchSecrets")
        stream = Stream(unix, "StreamSecrets")
        stream.ask([WEB])
        before = secrets(stream.next())[WEB]
        ca.cli("cert", "renew", "--id", WEB)
        renewed = secrets(stream.next())[WEB]
        serials = [certificates.serial_hex(leaf_of(secret)) for secret in (before, renewed)]
        assert show(ca, serials[1])["line_serial"] == serials[0], "renewals of a held key are one line"
        assert {show(ca, serial)["origin_reference"] for serial in serials} == {"web"}
        done = ca.cli("cert", "revoke", serials[0])
        assert "1 key of SDS subscribers dropped" in done.stdout
        assert "meshca entry delete web" in done.stderr
        stream.end()

        fetched = secrets(fetch(fetch_request, timeout=60))[WEB]
        again = Stream(unix, "StreamSecrets")
        again.ask([WEB])
        after = secrets(again.next())[WEB]
        for secret in (fetched, after):
            assert secret.tls_certificate.private_key not in (before.tls_certificate.private_key,
                                                              renewed.tls_certificate.private_key)
            record = show(ca, certificates.serial_hex(leaf_of(secret)))
            assert (record["parent_serial"], record["line_serial"], record["revoked_at"]) == ("", "", None)
        again.cancel()

        ca.cli("entry", "delete", "web")
        ca.cli("cert", "revoke", "--entry", "web")
        assert not [row for row in rows(ca, "--live", "--id", WEB) if not row["revoked_at"]]


def test_a_deleted_entry_ends_the_streams_of_its_keys(server):
    ca = server()
    make_entry(ca, "web", WEB)
    make_entry(ca, "api", API)
    with grpc_messages.unix_channel(ca.api_socket) as unix:
        stream = Stream(unix, "StreamSecrets")
        stream.ask(["default"])
        assert certificates.spiffe_ids(leaf_of(secrets(stream.next())["default"])) == [WEB]
        ca.cli("entry", "delete", "web")
        code, details = stream.end()
        assert code == grpc.StatusCode.PERMISSION_DENIED and f"may not hold {WEB} any more" in details
        again = Stream(unix, "StreamSecrets")
        again.ask(["default"])
        assert certificates.spiffe_ids(leaf_of(secrets(again.next())["default"])) == [API], "what it may have now"
        again.cancel()


def test_a_renewal_needs_the_entry_that_gave_the_right(server):
    ca = server()
    make_entry(ca, "oldest", WEB)
    make_entry(ca, "younger", WEB, f"unix:gid:{os.getgid()}")
    held = by_socket(ca, WEB)
    renewed = renew(ca, held)
    for one in (held, renewed):
        assert (show(ca, one.serial)["origin_kind"], show(ca, one.serial)["origin_reference"]) == ("entry", "oldest")
    ca.cli("entry", "delete", "younger")
    assert renew(ca, renewed).serial
    make_entry(ca, "younger", WEB, f"unix:gid:{os.getgid()}")
    ca.cli("entry", "delete", "oldest")
    for one in (held, renewed):
        refused(renew(ca, one), (grpc.StatusCode.PERMISSION_DENIED, "its registration entry oldest is gone"))
    # The other entry fits, so the holder authenticates anew, even with its old key: that is nobody's fault.
    again = by_socket(ca, WEB, held.key)
    assert show(ca, again.serial)["origin_reference"] == "younger"
    assert renew(ca, again).serial


def test_a_revocation_survives_sigkill_and_is_audited(server):
    ca = server()
    make_entry(ca, "web", WEB)
    held = by_socket(ca, WEB)
    ca.cli("cert", "revoke", held.serial, "--reason", "superseded")
    ca.kill()
    ca.start()
    (row,) = rows(ca, "--revoked")
    assert (row["serial"], row["revocation_reason"], row["origin_reference"]) == (held.serial, "superseded", "web")
    refused(renew(ca, held), REVOKED)
    refused(by_socket(ca, WEB, held.key), KEY_REVOKED)
    (entry,) = [one for one in json.loads(ca.cli("audit", "list", "-o", "json").stdout)
                if one["action"] == "certificate.revoke"]
    assert entry["target"] == f"serial {held.serial}" and entry["actor"].startswith(f"uid {os.getuid()} pid ")
    assert "superseded" in entry["detail"] and "1 " in entry["detail"]
    again = ca.cli("cert", "revoke", held.serial, check=False)
    assert again.returncode == 1 and f"certificate {held.serial} was revoked already" in again.stderr
    assert f"revoked      {row['revoked_at'][:10]}" in ca.cli("cert", "show", held.serial).stdout


def test_what_is_revoked_holds_no_rotation_up(server):
    ca = server("--rotation-skew", "0s", "--rotation-settle", "300ms")
    make_entry(ca, "web", WEB)
    foreign = by_token(ca, API)
    with grpc_messages.unix_channel(ca.api_socket) as unix:
        stream = Stream(unix, "StreamSecrets")
        stream.ask([WEB])
        secrets(stream.next())
        ca.cli("cert", "revoke", "--id", "*/ns/test/*")
        ca.cli("entry", "delete", "web")
        stream.end()
    refused(renew(ca, foreign, API), REVOKED)
    ended = rotation.rotate(ca)
    assert ended["step"] == "done", ended
    assert sorted(rotation.root_states(ca).values()) == ["active", "retired"]


def test_the_answer_says_what_was_done_and_what_was_not(server):
    ca = server()
    make_entry(ca, "web", WEB)
    first, second = by_socket(ca, WEB), by_token(ca, API)
    planned = ca.cli("cert", "revoke", "--id", "*/ns/test/*", "--dry-run")
    lines = planned.stdout.splitlines()
    assert lines[0].split() == ["SERIAL", "SPIFFE", "ID", "EXPIRES", "(UTC)", "NODE", "ORIGIN"]
    assert first.serial in lines[1] and "entry web" in lines[1] and second.serial in lines[2] and len(lines) == 3
    assert planned.stderr == "would revoke 2 certificates (2 lines of renewals); nothing was changed\n"
    assert f'serial: "{first.serial}"' in ca.cli("cert", "revoke", first.serial, "--dry-run", "-o", "yaml").stdout
    assert rows(ca, "--revoked") == []

    done = ca.cli("cert", "revoke", "--id", "*/ns/test/*")
    assert done.stdout == "revoked 2 certificates (2 lines of renewals); their connections are cut\n"
    ends = max(row["not_after"] for row in rows(ca, "--revoked")).replace("T", " ")[:19]
    assert done.stderr.splitlines() == [
        f"note: whoever holds one of them can use it with others until it ends (the last at {ends} UTC)",
        f"note: entry web still gives {WEB}: `meshca entry delete web` takes that away"]
    table = ca.cli("cert", "list", "--revoked").stdout
    assert "REVOKED (UTC)" in table and "unspecified" in table and "entry web" in table and second.serial in table
    none = ca.cli("cert", "revoke", "--id", "*/ns/test/*", check=False)
    assert none.returncode == 1
    assert "no live certificate with an identity that fits" in none.stderr and "cert list --live --id" in none.stderr
    mistaken = ca.cli("cert", "revoke", first.serial, "--node", "n", check=False)
    assert mistaken.returncode == 2 and "give exactly one of SERIAL, --id GLOB" in mistaken.stderr
