"""`meshca-bench csr` against a real server, and against a second one that shares no code with it."""

import json
import socket
import subprocess

import pytest
from background import Background, wait_until
from certificate_service import CertificateService

WEB = "spiffe://cluster.local/ns/test/sa/web"


@pytest.fixture
def bench(build_dir):
    """Runs `meshca-bench csr ARGS`: exit code, what it said on stdout (--json: the report), and on stderr."""

    def run(*args):
        done = subprocess.run([build_dir / "test" / "bench" / "meshca-bench", "csr", *[str(arg) for arg in args]],
                              capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL)
        report = json.loads(done.stdout) if "--json" in args and done.stdout else done.stdout
        return done.returncode, report, done.stderr

    return run


@pytest.fixture
def ca(server, tmp_path):
    """A fresh `meshca serve`, and the flags of a workload that has a certificate of it."""
    started = server()
    started.cli("request", WEB, "--out-dir", tmp_path)
    return started, ("--address", started.grpc, "--root", tmp_path / "root-cert.pem", "--cert", tmp_path / "cert-chain.pem",
                     "--key", tmp_path / "key.pem", "--id", WEB)


@pytest.fixture
def other(tmp_path):
    """Starts the second implementation; returns it and the flags of a caller with its token."""
    running = []

    def start(**options):
        service = CertificateService(**options)
        service.__enter__()
        running.append(service)
        (tmp_path / "root.pem").write_text(service.root_pem)
        (tmp_path / "token").write_text(service.token + "\n")
        return service, ("--address", service.address, "--root", tmp_path / "root.pem", "--token-file", tmp_path / "token",
                         "--id", WEB)

    yield start
    for service in running:
        service.__exit__()


def recorded(ca):
    return len(json.loads(ca.cli("cert", "list", "--id", WEB, "-o", "json").stdout))


def test_every_certificate_counted_is_in_the_inventory(bench, ca):
    server, flags = ca
    before = recorded(server)
    code, report, errors = bench(*flags, "--requests", 300, "--rounds", 2, "--warm-up", 50, "--verify-one-in", 1,
                                 "--server-pid", server.pid, "--yardstick", "--json")
    assert code == 0, errors
    assert recorded(server) - before == 50 + 2 * 300
    for one in report["rounds"]:
        assert (one["requests"], one["ok"], one["verified"], one["errors"]) == (300, 300, 300, {})
        assert one["ratio"] == pytest.approx(one["cpu_us"] / one["arithmetic_us"])
        assert one["cpu_seconds"] == pytest.approx(one["cpu_us"] * 300 / 1e6)
        assert one["per_second"] == pytest.approx(300 / one["seconds"])
        latency = one["latency_ms"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"] <= latency["max"]
    assert sum(bar["count"] for bar in report["histogram"]) == 600
    assert 0 < report["memory_mib"] <= report["memory_peak_mib"]


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "rsa-2048", "ed25519"])
def test_any_key(bench, ca, key_type):
    _, flags = ca
    code, report, errors = bench(*flags, "--key-type", key_type, "--requests", 20, "--warm-up", 1, "--verify-one-in", 1,
                                 "--json")
    assert code == 0, errors
    assert report["rounds"][0]["verified"] == 20


@pytest.mark.parametrize("in_flight", [1, 32])
@pytest.mark.parametrize(("resumption", "resumed"), [("off", 0), ("on", 90)])
def test_a_new_connection_each(bench, ca, in_flight, resumption, resumed):
    _, flags = ca
    code, report, errors = bench(*flags, "--new-connection-each", "--in-flight", in_flight, "--requests", 200,
                                 "--session-resumption", resumption, "--json")
    assert code == 0, errors
    (one,) = report["rounds"]
    assert (one["ok"], one["connections"]) == (200, 200)
    assert one["resumed"] >= resumed if resumed else one["resumed"] == 0


def test_two_hundred_connections_stay_open(bench, ca):
    _, flags = ca
    code, report, errors = bench(*flags, "--connections", 200, "--in-flight", 400, "--requests", 800, "--warm-up", 0,
                                 "--json")
    assert code == 0, errors
    assert report["rounds"][0]["ok"] == 800
    assert report["rounds"][0]["connections"] == 0, "made before the clock ran"


def test_an_open_loop_leaves_on_time(bench, ca):
    _, flags = ca
    code, report, errors = bench(*flags, "--rate", 200, "--duration", "1s", "--json")
    assert code == 0, errors
    (one,) = report["rounds"]
    assert one["requests"] + one["not_sent"] == 200
    assert one["seconds"] > 0.99, "the 200th is due 995 ms after the first"


def test_another_implementation(bench, other):
    service, flags = other()
    code, report, errors = bench(*flags, "--requests", 100, "--warm-up", 10, "--connections", 3, "--verify-one-in", 1,
                                 "--json")
    assert code == 0, errors
    assert service.issued == 110
    assert len(service.connections) == 3
    assert report["rounds"][0]["verified"] == 100
    assert report["rounds"][0]["ratio"] is None, "nobody said which process it is"


def test_refusals_are_counted_and_end_nothing(bench, other):
    _, flags = other(refuse_one_in=4)
    code, report, errors = bench(*flags, "--requests", 200, "--warm-up", 0, "--json")
    assert code == 0, errors
    (one,) = report["rounds"]
    assert (one["requests"], one["ok"], one["errors"]) == (200, 150, {"RESOURCE_EXHAUSTED": 50})
    assert one["error_latency_ms"]["p50"] > 0
    assert report["error_messages"] == {"RESOURCE_EXHAUSTED": "too much for me"}


def test_an_open_loop_does_not_wait_for_a_slow_server(bench, other):
    """Coordinated omission: a server that keeps all waiting must show it, though few requests get through."""
    _, flags = other(delay_seconds=0.1)  # eight at a time: 80 a second
    # So many more than it can serve that no pause of the load, in which it catches up, makes room for them all.
    code, report, errors = bench(*flags, "--rate", 2000, "--duration", "1s", "--warm-up", 0, "--open-max", 150, "--json")
    assert code == 0, errors
    (one,) = report["rounds"]
    assert one["requests"] + one["not_sent"] == 2000
    assert one["not_sent"] > 100
    assert one["latency_ms"]["p99"] > 1000, "150 open, 80 a second"


def test_a_killed_server_costs_calls_not_the_run(build_dir, server, tmp_path):
    ca = server()
    ca.args += ["--listen", ca.grpc]  # where it comes back
    ca.cli("request", WEB, "--out-dir", tmp_path)
    load = Background([build_dir / "test" / "bench" / "meshca-bench", "csr", "--address", ca.grpc,
                       "--root", tmp_path / "root-cert.pem", "--cert", tmp_path / "cert-chain.pem",
                       "--key", tmp_path / "key.pem", "--id", WEB, "--rate", 50, "--duration", "20s", "--warm-up", 0,
                       "--json"], tmp_path / "load.log")
    try:
        wait_until(lambda: recorded(ca) > 50, 60, load.output)
        host, port = ca.grpc.rsplit(":", 1)
        ca.kill()
        # In its place somebody who takes connections and ends them: a server that is back between two requests costs none.
        with socket.create_server((host, int(port))) as nobody:
            nobody.settimeout(60)
            for _ in range(4):
                nobody.accept()[0].close()
        ca.start()
        code = load.process.wait(120)
    finally:
        load.kill()
    assert code == 0, load.output()
    (one,) = json.loads("\n".join(load.lines))["rounds"]
    assert one["requests"] == 1000 and one["ok"] + sum(one["errors"].values()) == 1000
    assert one["errors"] and set(one["errors"]) <= {"CONNECTION_LOST", "CONNECTION_REFUSED", "TLS_HANDSHAKE_FAILED"}
    assert one["connections"] >= 8, "all were lost and made anew"
    assert recorded(ca) > one["ok"], "each certificate that arrived, and the load's own"


def test_people_get_a_table_and_bars(bench, ca):
    _, flags = ca
    code, screen, errors = bench(*flags, "--requests", 50)
    assert code == 0, errors
    lines = screen.splitlines()
    assert lines[1].split()[:4] == ["round", "requests", "ok", "errors"]
    assert lines[2].split()[:4] == ["1", "50", "50", "0"]
    assert "|##" in screen


@pytest.mark.parametrize(("flags", "code", "words"), [
    (["--server-pid", "2147483000"], 1, "no process 2147483000"),
    (["--address", "127.0.0.1:1"], 1, "is the CA running"),
    (["--address", "nonsense"], 1, "is not HOST:PORT"),
    (["--server-name", "ca.test"], 1, "--server-name"),
    (["--id", "spiffe://cluster.local/ns/test/sa/other"], 1, "PERMISSION_DENIED"),
    (["--id", "web"], 2, "is no SPIFFE ID"),
    (["--rate", "5", "--in-flight", "5"], 2, "--in-flight"),
    (["--duration", "ten"], 2, "is no duration"),
    (["--session-resumption", "maybe"], 2, "--session-resumption"),
    (["--key-type", "dsa"], 2, "--key-type"),
], ids=["no-process", "nobody-there", "no-address", "other-name", "not-allowed", "no-id", "two-loops", "no-duration",
        "no-word", "no-key-type"])
def test_failures_say_what_to_do(bench, ca, flags, code, words):
    _, right = ca
    given = list(right)
    for name, value in zip(flags[::2], flags[1::2]):
        if name in given:
            given[given.index(name) + 1] = value
        else:
            given += [name, value]
    got, _, errors = bench(*given, "--requests", 5)
    assert (got, words in errors) == (code, True), errors


def test_a_caller_without_credential_is_a_usage_error(bench, tmp_path):
    (tmp_path / "root.pem").write_text("")
    code, _, errors = bench("--address", "127.0.0.1:1", "--root", tmp_path / "root.pem", "--id", WEB)
    assert code == 2 and "the CA must know who asks" in errors


def test_a_long_open_loop_makes_its_requests_as_it_goes(bench, ca):
    server, flags = ca
    before = recorded(server)
    code, report, errors = bench(*flags, "--rate", 100, "--duration", "3s", "--ahead", 20, "--warm-up", 10,
                                 "--verify-one-in", 7, "--json")
    assert code == 0, errors
    assert "makes 300 requests as it goes, 20 ahead" in errors
    one = report["rounds"][0]
    assert one["requests"] + one["not_sent"] + one["not_made"] == 300 and one["errors"] == {}
    assert one["ok"] == one["requests"] > 0
    assert one["verified"] > 0, "an answer is checked against the CSR it belongs to"
    assert recorded(server) - before == 10 + one["ok"]


def test_requests_not_made_in_time_are_the_tools_fault_and_said_so(bench, ca):
    _, flags = ca
    code, report, errors = bench(*flags, "--rate", 50_000, "--duration", "200ms", "--ahead", 10, "--key-type", "ec-p384",
                                 "--warm-up", 1, "--json")
    assert code == 0, errors
    assert "counted as not made" in errors
    one = report["rounds"][0]
    assert one["not_made"] > 0 and one["requests"] + one["not_sent"] + one["not_made"] == 10_000
