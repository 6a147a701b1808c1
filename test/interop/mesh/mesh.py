"""A mesh of services in up to six languages that all call each other, while keys are renewed and roots are rotated.

usage: mesh.py MESHCA FOLDER     `cli/quickstart.sh --mesh`: a CA and a node's agent of its own, and the services of every
                                 toolchain that is there; exits 0 only if no connection failed. The C++ service is the
                                 one that was built beside MESHCA.
README.md beside this file has the contract of a service.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import time
from concurrent import futures

from agent_process import AgentProcess
from background import Background, wait_until
from meshca_process import MeshcaProcess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUILT = ROOT / "build" / "interop" / "mesh"
NODE = "mesh-node"
BUILD_TIMEOUT_S = 900
LIFETIME_S = 30  # of the services' certificates: soon renewed
# The agent's own certificate outlives the play. A stream that has held what it was told for two seconds has it.
SERVE_OPTIONS = ("--leaf-lifetime", "30m", "--leaf-lifetime-max", "1h", "--rotation-skew", "0s", "--rotation-settle", "0s",
                 "--rotation-delivered-after", "2s")
# For play(): the CA is away for more than half of a certificate's life. What is left of it afterwards is more than the
# 30 s that an agent which has tried in vain for so long waits at the most until it tries again.
OUTAGE_LIFETIME_S = 120
OUTAGE_S = 66


@dataclasses.dataclass
class Program:
    """A built service: its command, and the executable that the kernel says it is. No two services share one, so that an
    entry with `unix:path` tells them apart although one user runs them all."""
    command: list
    executable: pathlib.Path
    env: dict = dataclasses.field(default_factory=dict)


def build(command, folder, **env):
    done = subprocess.run([str(word) for word in command], cwd=folder, env=dict(os.environ, **env), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=BUILD_TIMEOUT_S)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}"


def copied(language):
    """The service's sources in build/interop, so that no tool leaves its files in the source tree."""
    folder = BUILT / language
    shutil.copytree(HERE / language, folder, dirs_exist_ok=True)
    return folder


def executable_of_its_own(program, path):
    """`program` under another name: `path` is then what /proc says of who runs it."""
    program = os.path.realpath(program)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(program, path)
    except OSError:  # another file system, or somebody else's file
        shutil.copy2(program, path)
    return path


def python_program(folder, build_dir):
    # A copied interpreter finds its standard library by itself, and our packages by the path.
    python = executable_of_its_own(sys.executable, folder / "python")
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    return Program([python, HERE / "python" / "service.py"], python, {"PYTHONPATH": packages})


def cpp_program(folder, build_dir):
    program = executable_of_its_own(build_dir / "test/interop/mesh/cpp/mesh_cpp_service", folder / "service")
    return Program([program], program)


def go_program(folder, build_dir):
    program = folder / "service"
    build(["go", "build", "-o", program, "."], copied("go"))
    return Program([program], program)


def rust_program(folder, build_dir):
    sources = copied("rust")
    build(["cargo", "build", "--quiet"], sources, CARGO_TARGET_DIR=str(sources / "target"))
    program = executable_of_its_own(sources / "target/debug/service", folder / "service")
    return Program([program], program)


def node_program(folder, build_dir):
    sources = copied("node")
    shutil.copy2(ROOT / "proto/spiffe/workload/workload.proto", sources)
    build(["npm", "install", "--no-audit", "--no-fund", "--silent"], sources)
    node = executable_of_its_own(shutil.which("node"), folder / "node")
    return Program([node, sources / "service.js"], node)


def java_program(folder, build_dir):
    sources = copied("java")
    build(["mvn", "-q", "-B", "package"], sources)
    # The launcher looks for its virtual machine beside itself.
    home = pathlib.Path(os.path.realpath(shutil.which("java"))).parent.parent
    java = executable_of_its_own(home / "bin" / "java", folder / "jdk" / "bin" / "java")
    for part in ("lib", "conf"):
        (folder / "jdk" / part).symlink_to(home / part)
    return Program([java, "-cp", f"{sources}/target/mesh-service-1.jar:{sources}/target/dependency/*", "Service"], java)


# Each language, what builds its service, and the tools that takes.
PROGRAMS = {
    "cpp": (cpp_program, ()),
    "go": (go_program, ("go",)),
    "java": (java_program, ("java", "javac", "mvn")),
    "node": (node_program, ("node", "npm")),
    "python": (python_program, ()),
    "rust": (rust_program, ("cargo", "rustc")),
}


def programs(names, folder, build_dir):
    """Builds the services of these languages; their executables are in `folder`, each in one of its own."""
    folder, build_dir = pathlib.Path(folder).resolve(), pathlib.Path(build_dir)
    # Two at a time: one compiles while another's packages come over the network.
    with futures.ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(PROGRAMS[name][0], folder / name, build_dir) for name in names}
        return {name: job.result() for name, job in jobs.items()}


def languages_here(build_dir):
    """Those whose toolchain is on the PATH; the C++ service is built with meshca's tests."""
    there = [name for name, (_, tools) in PROGRAMS.items() if all(shutil.which(tool) for tool in tools)]
    if not (build_dir / "test/interop/mesh/cpp/mesh_cpp_service").exists():
        there.remove("cpp")
    return there


class Service:
    """One of them, running."""

    def __init__(self, name, spiffe_id, program, socket, folder):
        self.name = name
        self.spiffe_id = spiffe_id
        self.program = program
        self.socket = socket
        self.stderr = folder / f"{name}.log"
        self.background = None

    def start(self, let_in):
        env = {**os.environ, **self.program.env, "SPIFFE_ENDPOINT_SOCKET": f"unix://{self.socket}"}
        self.background = Background([*self.program.command, *let_in], self.stderr, env, stdin=subprocess.PIPE)

    def wait_ready(self, timeout=60):
        ready = json.loads(self.background.wait_for_count(1, timeout)[0])
        assert ready["spiffe_id"] == self.spiffe_id, f"{self.name} is {ready['spiffe_id']}, not {self.spiffe_id}"
        self.address = ready["address"]

    def add_peer(self, other):
        self.background.tell(f"peer {other.spiffe_id} {other.address}")

    def report(self):
        lines = len(self.background.lines)
        self.background.tell("report")
        return json.loads(self.background.wait_for_count(lines + 1)[-1])

    def finish(self):
        """Closes its input: it ends by itself, after a last report."""
        lines = len(self.background.lines)
        self.background.process.stdin.close()
        json.loads(self.background.wait_for_count(lines + 1, 120)[-1])
        code = self.background.process.wait(60)
        assert code == 0, f"{self.name} exited {code}\n{self.background.output()}"

    def kill(self):
        if self.background and self.background.running():
            self.background.kill()


class Mesh:
    """Services that have their identities from `socket`: a server's, or an agent's.

    `built` is what programs() returned. The services end with the `with` block, whatever happened in it.
    """

    def __init__(self, built, folder, socket, trust_domain="cluster.local"):
        folder = pathlib.Path(folder).resolve()
        self.services = [Service(name, f"spiffe://{trust_domain}/mesh/{name}", program, socket, folder)
                         for name, program in built.items()]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for service in self.services:
            service.kill()

    def create_entries(self, cli, *options):
        """Who may be whom. `cli(...)` runs a meshca command; `options` are more of `meshca entry create`."""
        for service in self.services:
            cli("entry", "create", service.spiffe_id, "--selector", f"unix:uid:{os.getuid()}", "--selector",
                f"unix:path:{service.program.executable}", *options)

    def start(self, let_in=None):
        """Starts all, and has each call each. They let each other in, or those whose SPIFFE IDs are in `let_in`."""
        ids = let_in or [service.spiffe_id for service in self.services]
        for service in self.services:
            service.start(ids)
        for service in self.services:
            service.wait_ready()
        for service in self.services:
            for other in self.services:
                service.add_peer(other)

    def reports(self):
        return {service.name: service.report() for service in self.services}

    def wait_for_calls(self, more, kind="ok", timeout=60):
        """Until each has called each `more` times from now on."""
        pairs = lambda: {(name, peer): counts[kind] for name, report in self.reports().items()  # noqa: E731
                         for peer, counts in report["peers"].items()}
        before = pairs()
        late = lambda: {pair: count for pair, count in pairs().items() if count < before[pair] + more}  # noqa: E731
        wait_until(lambda: not late(), timeout, lambda: f"{more} calls ({kind}) of these pairs: {late()}\n{self.complaints()}")

    def wait_for_each(self, condition, what, timeout=60):
        """Until condition(report) holds of every service's report."""
        late = lambda: [name for name, report in self.reports().items() if not condition(report)]  # noqa: E731
        wait_until(lambda: not late(), timeout, lambda: f"{what}: not yet {late()}\n{self.complaints()}")

    def complaints(self):
        return complaints(self.reports())

    def finish(self):
        """What came of it while all were there; then ends them. Whoever ends last finds nobody to call."""
        reports = self.reports()
        for service in self.services:
            service.finish()
        return reports


def complaints(reports):
    """What failed, one line each."""
    lines = [f"{name} -> {peer.rsplit('/', 1)[-1]}: {error}" for name, report in reports.items()
             for peer, counts in report["peers"].items() for error in counts["errors"]]
    lines += [f"{name} refused: {text}" for name, report in reports.items() for text in report["refusals"]]
    return "\n".join(sorted(set(lines)))


def failed(reports):
    """How many calls failed or were refused in all."""
    return sum(report["refused"] + sum(peer["failed"] + peer["jwt_failed"] for peer in report["peers"].values())
               for report in reports.values())


def matrix(reports):
    """Connections that succeeded, caller by called; behind a "+" the JWT-SVIDs that were accepted."""
    names = list(reports)
    rows = [["calls", *names]]
    for name in names:
        rows.append([name, *(f"{peer['ok']}+{peer['jwt_ok']}" for peer in reports[name]["peers"].values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    return ["  ".join(word.rjust(width) for word, width in zip(row, widths)) for row in rows]


def roots_of(ca):
    """The SHA-256 of each root that is trusted now."""
    certificates = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", ca.root_pem, re.S)
    return {hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() for pem in certificates}


def play(ca, node, mesh, lifetime_s=LIFETIME_S, away_s=0, say=print):
    """The whole story, against a server with SERVE_OPTIONS and an agent of it: renewals, where `away_s` says so a CA that is
    away for so long, another root, another JWT key; then the reports, of which none may have a failure."""
    names = [service.name for service in mesh.services]

    def step(title):
        say(f"\n== {title}")

    def renewed_after(begin=lambda: None):
        had = {serial for report in mesh.reports().values() for serial in report["serials"]}
        begin()
        mesh.wait_for_each(lambda report: set(report["serials"]) - had, "a renewed certificate", max(60, lifetime_s))
        mesh.wait_for_calls(1)

    step(f"{len(names)} services with one agent: {', '.join(names)}")
    mesh.create_entries(ca.cli, "--node", node.node, "--ttl", f"{lifetime_s}s")
    mesh.start()
    mesh.wait_for_calls(3)
    mesh.wait_for_calls(1, "jwt_ok")
    say(f"   each has called each: {len(names) ** 2} pairs")

    if away_s:
        step(f"every key is renewed by meshca cert renew, and the CA goes away for {away_s} s (certificates live {lifetime_s} s)")
        renewed_after(lambda: ca.cli("cert", "renew", "--id", f"{os.path.dirname(mesh.services[0].spiffe_id)}/*"))
        ca.args += ["--listen", ca.grpc]  # where the agent looks for it
        ca.kill()
        gone = time.monotonic()
        mesh.wait_for_calls(1)
        mesh.wait_for_calls(1, "jwt_ok")
        wait_until(lambda: time.monotonic() - gone > away_s, away_s, "the outage")
        step("the CA is back: every key is renewed")
        renewed_after(ca.start)
    else:
        step(f"every key is renewed (certificates live {lifetime_s} s)")
        renewed_after()

    step("meshca root rotate, under traffic")
    old = roots_of(ca)
    begun = time.monotonic()
    ca.cli("root", "rotate", timeout=300)
    new = roots_of(ca)
    assert len(new) == 1 and not old & new, f"trusted before: {old}, and now: {new}"
    say(f"   the old root is gone after {time.monotonic() - begun:.0f} s")
    mesh.wait_for_each(lambda report: old | new <= set(report["roots"]), "both roots")
    mesh.wait_for_calls(3)

    step("meshca jwt rotate")
    ca.cli("jwt", "rotate", timeout=300)
    mesh.wait_for_calls(1, "jwt_ok")

    step("every key is renewed again, under the new root")
    renewed_after()

    reports = mesh.finish()
    step("connections that succeeded, caller by called, and JWT-SVIDs that were accepted")
    for line in matrix(reports):
        say("   " + line)
    say(f"   failed: {failed(reports)}")
    if failed(reports) and (text := complaints(reports)):
        say(text)
    return reports


def agent_of(ca, folder):
    """A node's agent of this server, not started yet."""
    token = folder / "join-token"
    ca.cli("token", "create", "--node", NODE, "--out", token)
    return AgentProcess(ca.meshca, folder, folder / "state", ("--server", ca.grpc, "--token-file", token))


def main():
    meshca, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folders = [folder / name for name in ("ca", "agent", "services")]
    for each in folders:
        each.mkdir(parents=True)
    begun = time.monotonic()
    names = languages_here(meshca.parent)
    for name in sorted(set(PROGRAMS) - set(names)):
        print(f"no {name}: {' '.join(PROGRAMS[name][1]) or 'its program'} is not here")
    print(f"building the services: {', '.join(names)} (some minutes the first time)", flush=True)
    built = programs(names, folders[2], meshca.parent)
    ca = MeshcaProcess(meshca, folders[0], folders[0] / "state", SERVE_OPTIONS)
    with contextlib.ExitStack() as stack:
        stack.callback(ca.stop)
        ca.start()
        node = agent_of(ca, folders[1])
        stack.callback(node.stop)
        node.start()
        mesh = stack.enter_context(Mesh(built, folders[2], node.api_socket))
        reports = play(ca, node, mesh, say=lambda text: print(text, flush=True))
        if failed(reports):
            sys.exit("some calls failed")
    print(f"\nall of it held, in {time.monotonic() - begun:.0f} s; logs and state are in {folder}")


if __name__ == "__main__":
    main()
