"""What a certificate costs: CPU time of the server over the arithmetic, by how the requests come."""

from bench_server import BenchServer
from load import certificates, usual
from row import Row

REPEATS = 5


def _row(name, what, target, rounds):
    return Row(name, what, "x", target, [one["ratio"] for one in rounds], details=usual(rounds))


def issuance(bench):
    with BenchServer(bench.build, bench.folder("issuance")) as server:
        loads = (
            ("issuance", "a certificate, recorded durably: 32 requests in flight on 8 connections", 1.6,
             ("--connections", 8, "--in-flight", 32, "--requests", 4000)),
            ("one-at-a-time", "the same, one request at a time", 4,
             ("--connections", 1, "--in-flight", 1, "--requests", 1500)),
            ("connections-200", "the same, 200 connections", 2.1,
             ("--connections", 200, "--in-flight", 200, "--requests", 4000)),
        )
        for name, what, target, words in loads:
            if bench.wants(name):
                yield _row(name, what, target, certificates(server, *words, "--rounds", REPEATS))


def new_connections(bench):
    words = ("--new-connection-each", "--in-flight", 32, "--requests", 1000, "--warm-up", 200, "--rounds", REPEATS)
    with BenchServer(bench.build, bench.folder("new-connections")) as server:
        if bench.wants("new-tls"):
            yield _row("new-tls", "a new TLS connection and one certificate", 9, certificates(server, *words))
        if bench.wants("new-mtls"):
            rounds = certificates(server, *words, identity=server.client_certificate())
            yield _row("new-mtls", "a new mTLS connection and one certificate", 16, rounds)
