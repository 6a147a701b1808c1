"""Secrets in the server's memory: how many copies there are, and that none outlives its use."""

import base64
import os
import pathlib

import grpc_messages
import pytest
from background import wait_until
from cryptography.hazmat.primitives import serialization
from sds_stream import DISCOVERY, SERVICE, Stream, secrets

WEB = "spiffe://cluster.local/ns/default/sa/web"


def memory_of(pid):
    """Every private writable byte of a process, region by region. Needs root, who can read it anyway."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            where, rights, *_ = line.split()
            if not rights.startswith("rw") or "[vvar]" in line:
                continue
            begin, end = (int(address, 16) for address in where.split("-"))
            memory.seek(begin)
            try:
                yield memory.read(end - begin)
            except OSError:
                continue  # unmapped since


def copies(pid, needle):
    return sum(region.count(needle) for region in memory_of(pid))


class Key:
    """A private key in the forms it might lie around in."""

    def __init__(self, pem):
        key = serialization.load_pem_private_key(pem, None)
        self.scalar = key.private_numbers().private_value.to_bytes(32, "big")
        lines = pem.splitlines()
        # The secret stands in the second half of the first line; lines are apart by one byte everywhere.
        self.pem = lines[1][-20:]
        der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption())
        assert self.scalar in der

    def in_memory(self, pid):
        """(copies as text, copies as bytes, as a number in either order of its words)."""
        number = self.scalar[::-1]
        return copies(pid, self.pem), copies(pid, self.scalar) + copies(pid, number)


@pytest.fixture
def ca(server):
    if os.geteuid() != 0:
        pytest.fail("reading another process's memory needs root, as the CI has")
    made = server()
    made.entitle(WEB)
    return made


def test_this_way_of_looking_finds_a_copy(ca):
    """The name of the trust domain is in the server's memory many times: an empty answer below is no blindness."""
    assert copies(ca.pid, b"cluster.local") > 3


@pytest.mark.parametrize("method", ["StreamSecrets", "DeltaSecrets", "FetchSecrets"])
def test_of_an_sds_key_the_ring_alone_has_a_copy_and_after_its_end_nobody(ca, method):
    with grpc_messages.unix_channel(ca.api_socket) as channel:
        if method == "FetchSecrets":
            request = grpc_messages.message(f"{DISCOVERY}.DiscoveryRequest")
            answer = grpc_messages.call(channel, f"{SERVICE}/{method}")(request(resource_names=[WEB]), timeout=60)
        else:
            stream = Stream(channel, method)
            stream.ask([WEB, "ROOTCA"])
            answer = stream.next()
            stream.ask([] if stream.delta else [WEB, "ROOTCA"], nonce=answer.nonce)
        key = Key(secrets(answer)[WEB].tls_certificate.private_key.inline_bytes)
        wait_until(lambda: key.in_memory(ca.pid) == (1, 0), 60, lambda: f"while held: {key.in_memory(ca.pid)}")
        if method != "FetchSecrets":
            stream.cancel()
    wait_until(lambda: key.in_memory(ca.pid) == (1, 0), 60, lambda: f"after the stream: {key.in_memory(ca.pid)}")
    (entry,) = [line.split()[0] for line in ca.cli("entry", "list").stdout.splitlines() if WEB in line]
    ca.cli("entry", "delete", entry)
    wait_until(lambda: key.in_memory(ca.pid) == (0, 0), 60, lambda: f"after its end: {key.in_memory(ca.pid)}")


def test_of_a_workload_api_key_the_ring_alone_has_a_copy_and_after_its_end_nobody(ca):
    with grpc_messages.unix_channel(ca.api_socket) as channel:
        call = channel.unary_stream("/SpiffeWorkloadAPI/FetchX509SVID",
                                    request_serializer=lambda message: message.SerializeToString(),
                                    response_deserializer=grpc_messages.message("X509SVIDResponse").FromString)
        stream = call(grpc_messages.message("X509SVIDRequest")(), metadata=(("workload.spiffe.io", "true"),), timeout=120)
        der = next(stream).svids[0].x509_svid_key
        key = Key(serialization.load_der_private_key(der, None).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        wait_until(lambda: key.in_memory(ca.pid) == (1, 0), 60, lambda: f"while held: {key.in_memory(ca.pid)}")
        stream.cancel()
    wait_until(lambda: key.in_memory(ca.pid) == (1, 0), 60, lambda: f"after the stream: {key.in_memory(ca.pid)}")
    (entry,) = [line.split()[0] for line in ca.cli("entry", "list").stdout.splitlines() if WEB in line]
    ca.cli("entry", "delete", entry)
    wait_until(lambda: key.in_memory(ca.pid) == (0, 0), 60, lambda: f"after its end: {key.in_memory(ca.pid)}")


def test_of_a_join_token_nothing_is_left_once_it_was_made_and_redeemed(ca, tmp_path):
    file = tmp_path / "token"
    ca.cli("token", "create", WEB, "--out", file)
    token = file.read_text(encoding="ascii").strip()
    secret = token.split(".")[1]
    raw = base64.urlsafe_b64decode(secret + "=")

    def left():
        return copies(ca.pid, secret.encode()[:40]), copies(ca.pid, raw)

    wait_until(lambda: left() == (0, 0), 60, lambda: f"after it was made: {left()}")
    ca.cli("request", WEB, "--server", ca.grpc, "--token-file", file, "--out-dir", tmp_path / "out")
    assert pathlib.Path(tmp_path / "out" / "key.pem").exists()
    wait_until(lambda: left() == (0, 0), 60, lambda: f"after it was redeemed: {left()}")
