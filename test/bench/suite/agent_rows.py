"""What agents of nodes cost the CA, how a rotation and a restart of all of them goes, and what an agent takes itself."""

import nodes
from bench_server import BenchAgent, BenchServer, resting_bytes
from load import LoadError, run
from row import Row

REPEATS = 5
AGENTS, CONSUMERS = 1000, 10
RESTART_OF = 10_000  # agents, to which the cost of one is scaled
STREAMS = 1000


def _scene(server, *words):
    """A report of `meshca-bench agents` on a fresh server that has issued before: what it grows by then is not the agents'."""
    nodes.entries_of_nodes(server, CONSUMERS)
    report = run(server, ["agents", "--address", server.grpc, "--root", server.root_file(), "--tokens",
                          nodes.join_tokens(server, AGENTS), "--consumers", CONSUMERS, "--warm-up", 20_000, "--wait", "5m", *words])
    errors = {code for name in ("join", "connect", "attach", "idle", "change") for code in (report[name] or {"errors": {}})["errors"]}
    if errors:
        raise LoadError(f"agents had to try again: {errors}")
    return report


def simulated(bench):
    """Five servers, each with 1,000 agents of 10 consumers that join, rest, sign, see a new root, and restart all at once."""
    reports = []
    for number in range(REPEATS):
        with BenchServer(bench.build, bench.folder(f"agents-{number}")) as server:
            command = f"{server.meshca} root %s --state-dir {server.state_dir}"
            words = ["--idle", "30s", "--sign-rounds", 1, "--sign-calls", 100, "--restarts", 1, "--trigger",
                     command % "rotate"]
            if number == 0:  # One consumer sleeps until `root status` names its node and its process.
                words += ["--asleep", 1, "--asleep-until",
                          f"{command % 'status'} | grep -q 'agent:bench-0/4242/'"]
            reports.append(_scene(server, *words))
    awake = reports[1:]
    rows = {
        "agent-memory": Row("agent-memory", "an agent at the CA, beyond its TLS connection", "KiB", 8,
                            [one["server_memory"]["attached_kib_per_agent"] for one in reports],
                            details={"connection_kib": [one["server_memory"]["connection_kib_per_agent"] for one in reports]}),
        "agent-idle-cpu": Row("agent-idle-cpu", "CPU of the CA for an agent in an hour, nothing changing", "ms", 20,
                              [one["idle"]["cpu_ms_per_agent_hour"] for one in reports]),
        "sign-batches": Row("sign-batches", "a certificate of an agent, 64 in a call, recorded durably", "x", 1.35,
                            [one["sign"][0]["ratio"] for one in reports],
                            details={"per_second": [one["sign"][0]["certificates_per_second"] for one in reports]}),
        "agents-rotation": Row("agents-rotation", "`root rotate`, 1,000 agents of 10 consumers", "s", 30,
                               [one["change"]["seconds"] for one in awake],
                               details={"cpu_s": [one["change"]["server_cpu_seconds"] for one in awake],
                                        "a_sleeper_is_named_after_s": reports[0]["asleep_seconds"]}),
        "agents-restart": Row("agents-restart", "CPU to serve 10,000 agents of 10 workloads that all restart", "s", 20,
                              [one["restarts"][0]["server_cpu_seconds"] * RESTART_OF / AGENTS for one in reports],
                              details={"measured_with_agents": AGENTS,
                                       "their_seconds": [one["restarts"][0]["seconds"] for one in reports],
                                       "load_cpu_s": [one["restarts"][0]["load_cpu_seconds"] for one in reports]}),
    }
    yield from (row for name, row in rows.items() if bench.wants(name))


def real(bench):
    """Five agents, each with a CA of its own on the same core: idle, with 1,000 Workload API streams, and as roots change."""
    idle, full, stream, after_agent, after_commit, reports = [], [], [], [], [], []
    for number in range(REPEATS):
        with BenchServer(bench.build, bench.folder(f"ca-{number}")) as ca, \
                BenchAgent(ca, bench.folder(f"node-{number}")) as agent:
            idle.append(resting_bytes(agent.background) / 2**20)
            report = _streams(ca, agent, "told", f"grep ' trust taken ' {agent.background.stderr_path}")
            full.append(report["server_memory"]["resident_kib_after"] / 1024)
            stream.append(report["server_memory"]["private_kib_per_stream"])
            after_agent.append(report["median"]["publication_to_last_ack_ms"])
            report = _streams(ca, agent, "committed", f"grep -E 'root.(publish|abort) ' {ca.background.stderr_path}")
            after_commit.append(report["median"]["publication_to_last_ack_ms"])
            if bench.wants("jwt-again") or bench.wants("jwt-minted"):
                reports.append(run(agent, ["jwt", "--address", f"unix:{agent.api_socket}"]))
                reports[-1]["all_minted"] = run(agent, ["jwt", "--address", f"unix:{agent.api_socket}", "--new-each",
                                                        "--calls", 2000])["rounds"]
    again = [one["rounds"][0] for one in reports]
    rows = (
        ("agent-idle", "agent, memory idle", "MiB", 24, idle, {}),
        ("agent-full", "agent, memory with 1,000 Workload API streams", "MiB", 44, full, {}),
        ("agent-stream", "a Workload API stream at the agent, on a connection of its own", "KiB", 20, stream, {}),
        ("agent-push", "new root at 1,000 Workload API streams, after the agent has it", "ms", 60, after_agent, {}),
        ("agent-push-commit", "the same, after the CA's commit", "ms", 200, after_commit, {}),
        ("jwt-minted", "JWT-SVID minted, over one P-256 signature", "times", 1.6, [one["mint"][0]["ratio"] for one in reports],
         {"mint_us": [one["mint"][0]["mint_us"] for one in reports],
          "of_an_agent_whose_ca_mints_each_us": [one["all_minted"][0]["cpu_us"] for one in reports]}),
        ("jwt-again", "JWT-SVID fetched again from the agent, CPU", "us", 60, [one["cpu_us"] for one in again],
         {"round_trip_p50_us": [one["latency_us"]["p50"] for one in again]}),
    )
    for name, what, unit, target, repeats, details in rows:
        if bench.wants(name):
            yield Row(name, what, unit, target, repeats, details=details)


def _streams(ca, agent, prefix, when):
    """`meshca-bench sds` on the agent's socket, with roots that come and go at its CA."""
    change = [word for step in ("prepare", "abort")
              for word in ("--trigger", f"{ca.meshca} root {step} --state-dir {ca.state_dir}")]
    report = run(agent, ["sds", "--address", f"unix:{agent.api_socket}", "--workload-api", "--streams", STREAMS,
                         "--node-id-prefix", prefix, "--changes", 4, *change,
                         "--published-at-command", f"{when} | tail -1 | cut -d' ' -f1"])
    if report["ended_streams_by_code"]:
        raise LoadError(f"streams ended: {report['ended_streams_by_code']}")
    return report
