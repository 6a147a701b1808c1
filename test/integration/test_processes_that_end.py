"""A process that has ended holds nothing: what it was given holds no rotation up, whoever else shares its key."""

import json
import subprocess
import sys

import grpc_messages
import pytest
import rotation
from background import wait_until
from sds_stream import Stream, secrets

WEB = "spiffe://cluster.local/ns/test/sa/web"
QUICK = ("--rotation-skew", "0s", "--rotation-settle", "300ms")

# Takes the secret in one of two ways, says so, and goes when it is told to.
CLIENT = """
import sys
sys.path[:0] = {path!r}
import grpc_messages
from sds_stream import DISCOVERY, SERVICE, Stream, secrets
how, socket, name = sys.argv[1:]
with grpc_messages.unix_channel(socket) as channel:
    if how == "fetch":
        request = grpc_messages.message(DISCOVERY + ".DiscoveryRequest")(resource_names=[name, "ROOTCA"])
        answer = grpc_messages.call(channel, SERVICE + "/FetchSecrets")(request, timeout=60)
    else:
        stream = Stream(channel, "StreamSecrets")
        stream.ask([name, "ROOTCA"])
        answer = stream.next()
        stream.ask([name, "ROOTCA"], answer.nonce)
    key = secrets(answer)[name].tls_certificate.certificate_chain.inline_bytes
    print(key.hex(), flush=True)
    sys.stdin.readline()
"""


class Client:
    """One process that has taken the secret."""

    def __init__(self, ca, how):
        self.process = subprocess.Popen([sys.executable, "-c", CLIENT.format(path=sys.path), how, ca.api_socket, WEB],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.chain = self.process.stdout.readline().strip()
        assert self.chain, "it got no secret"

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()


def subscribers(ca):
    return json.loads(ca.cli("subscriber", "list", "-o", "json").stdout)


@pytest.mark.parametrize("how", ["fetch", "stream"])
def test_a_rotation_does_not_wait_for_a_process_that_has_ended(server, how):
    ca = server(*QUICK)
    ca.entitle(WEB)
    first, second = Client(ca, how), Client(ca, how)
    assert first.chain == second.chain, "one key for both"
    assert len(subscribers(ca)) == 2
    first.end()
    wait_until(lambda: len(subscribers(ca)) == 1, 60, "the first is gone")
    second.end()
    wait_until(lambda: not subscribers(ca), 60, "the second is gone too")
    ended = rotation.rotate(ca)
    assert ended["step"] == "done", ended
    assert "active" in rotation.root_states(ca).values()


def test_one_that_outlives_the_server_is_known_to_the_next(server):
    ca = server(*QUICK)
    ca.entitle(WEB)
    client = Client(ca, "fetch")
    ca.restart()
    assert len(subscribers(ca)) == 1, "it runs"
    client.end()
    wait_until(lambda: not subscribers(ca), 60, "it is gone")


def test_who_still_runs_keeps_the_key_and_gets_its_successor(server):
    ca = server(*QUICK)
    ca.entitle(WEB)
    with grpc_messages.unix_channel(ca.api_socket) as channel:
        stream = Stream(channel, "StreamSecrets", timeout=120)
        stream.ask([WEB])
        answer = stream.next()
        chain = secrets(answer)[WEB].tls_certificate.certificate_chain.inline_bytes
        stream.ask([WEB], answer.nonce)
        gone = Client(ca, "stream")
        assert bytes.fromhex(gone.chain) == chain
        gone.end()
        wait_until(lambda: len(subscribers(ca)) == 1, 60, "the other is gone")
        ca.cli("cert", "renew", "--id", WEB)
        answer = stream.next()
        assert secrets(answer)[WEB].tls_certificate.certificate_chain.inline_bytes != chain
        stream.cancel()
