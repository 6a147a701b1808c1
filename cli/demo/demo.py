"""The whole story in about a minute: a CA, a certificate by token, two Envoys over SDS, renewals and a new root under traffic.

Started by `cli/quickstart.sh --demo` as `demo.py MESHCA FOLDER`. Exits 0 only if everything it tells held.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import envoy_mesh
from background import wait_until
from envoy_process import EnvoyProcess, binary
from meshca_process import MeshcaProcess

LIFETIME_S = 20
RENEWALS = 3
FRONTEND = "spiffe://cluster.local/ns/demo/sa/frontend"
BACKEND = "spiffe://cluster.local/ns/demo/sa/backend"


def say(text):
    print(text, flush=True)


def step(title):
    say(f"\n== {title}")


class Demo:
    def __init__(self, meshca, folder):
        self.folder = pathlib.Path(folder).resolve()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.ca = MeshcaProcess(pathlib.Path(meshca).resolve(), self.folder, self.folder / "state",
                                ["--leaf-lifetime", f"{LIFETIME_S}s", "--leaf-lifetime-max", "1h", "--rotation-skew", "0s"])
        self.envoys = []

    def stop(self):
        for envoy in self.envoys:
            envoy.stop()
        if self.ca.background and self.ca.background.running():
            self.ca.terminate()

    def serve(self):
        step("meshca serve, on fresh state")
        begun = time.monotonic()
        self.ca.start()
        for line in self.ca.first_screen:
            say("   " + line)
        say(f"   ready after {(time.monotonic() - begun) * 1000:.0f} ms")

    def request(self):
        step("a certificate for a workload elsewhere, by a one-time token")
        spiffe_id = "spiffe://cluster.local/ns/default/sa/web"
        token = self.folder / "web.token"
        self.ca.cli("token", "create", spiffe_id, "--out", token)
        out = self.folder / "out"
        done = subprocess.run([self.ca.meshca, "request", spiffe_id, "--token-file", token, "--server", self.ca.grpc,
                               "--ttl", f"{LIFETIME_S}s", "--out-dir", out], capture_output=True, text=True, timeout=30,
                              env=self.ca.env)
        if done.returncode != 0:
            raise SystemExit(f"meshca request failed: {done.stderr}")
        verified = subprocess.run(["openssl", "verify", "-CAfile", out / "root-cert.pem", "-untrusted",
                                   out / "cert-chain.pem", out / "cert-chain.pem"], capture_output=True, text=True)
        if verified.returncode != 0:
            raise SystemExit(f"openssl verify: {verified.stdout}{verified.stderr}")
        say(f"   {spiffe_id}: files in {out}")
        say(f"   openssl verify: {verified.stdout.strip().rsplit(': ', 1)[-1]}")

    def proxy(self, name, spiffe_id, listeners, clusters=()):
        """An Envoy that is `spiffe_id` because the CA sees which program asks: each runs under a path of its own."""
        program = self.folder / name
        try:
            os.link(binary(), program)
        except OSError:  # another file system
            shutil.copy2(binary(), program)
        self.ca.cli("entry", "create", spiffe_id, "--selector", f"unix:uid:{os.getuid()}", "--selector",
                    f"unix:path:{program}")
        folder = self.folder / f"{name}-files"
        folder.mkdir()
        meshca = envoy_mesh.meshca_over_unix(self.ca.api_socket)
        envoy = EnvoyProcess(folder, envoy_mesh.bootstrap(meshca, listeners, clusters, node_id=name), program=program)
        self.envoys.append(envoy)
        return envoy.start()

    def mesh(self):
        step("two Envoys, keys and roots over SDS")
        self.backend = self.proxy("backend", BACKEND, [envoy_mesh.inbound(FRONTEND)])
        listener, clusters = envoy_mesh.outbound(self.backend.listener_port("inbound"), BACKEND, delta=True)
        self.frontend = self.proxy("frontend", FRONTEND, [listener], clusters)
        for envoy, name in ((self.frontend, "frontend (delta)"), (self.backend, "backend (state of the world)")):
            wait_until(lambda envoy=envoy: leaf_serials(envoy), 20, f"{name} holds a certificate")
            say(f"   {name}: {', '.join(leaf_names(envoy))}")

    def traffic(self):
        step(f"mTLS traffic while keys are renewed (certificates live {LIFETIME_S} s)")
        seen = {"frontend": [], "backend": []}
        with envoy_mesh.Traffic(self.frontend.listener_port("outbound")) as traffic:
            deadline = time.monotonic() + LIFETIME_S * (RENEWALS + 1)
            while min(len(serials) for serials in seen.values()) <= RENEWALS:
                if time.monotonic() > deadline:
                    raise SystemExit(f"only these keys were seen: {seen}")
                for name, envoy in (("frontend", self.frontend), ("backend", self.backend)):
                    for serial in leaf_serials(envoy):
                        if serial not in seen[name]:
                            seen[name].append(serial)
                            say(f"   {name} key {len(seen[name])}: {serial}")
                traffic.wait_for(50)
        say(f"   requests {traffic.total}, half of them on new connections; outcomes {dict(traffic.counts)}")
        say(f"   failed requests: {traffic.failed}")
        if traffic.failed:
            raise SystemExit("some requests failed")
        self.serials = {serial for serials in seen.values() for serial in serials}

    def rotate(self):
        step("meshca root rotate, under traffic")
        old = self.ca.root_fingerprint
        with envoy_mesh.Traffic(self.frontend.listener_port("outbound")) as traffic:
            traffic.wait_for(100)
            command = [self.ca.meshca, "root", "rotate", "--state-dir", self.ca.state_dir]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  stdin=subprocess.DEVNULL, env=self.ca.env) as rotation:
                for line in rotation.stdout:
                    say("   " + line.rstrip())
            if rotation.returncode != 0:
                raise SystemExit(f"meshca root rotate exited {rotation.returncode}")
            traffic.wait_for(100)
        status = json.loads(self.ca.cli("root", "status", "-o", "json").stdout)
        states = {root["id"]: root["state"] for root in status["roots"]}
        for root, state in states.items():
            say(f"   root {root[:16]} {state}")
        say(f"   requests {traffic.total}, failed requests: {traffic.failed}")
        if traffic.failed:
            raise SystemExit("some requests failed")
        if states[old] != "retired" or sorted(states.values()) != ["active", "retired"]:
            raise SystemExit("the old root is not retired")

    def record(self):
        step("the record")
        recorded = {row["serial"] for row in json.loads(self.ca.cli("cert", "list", "-o", "json").stdout)}
        missing = self.serials - recorded
        say(f"   {len(recorded)} certificates recorded; every key the Envoys showed is among them: {not missing}")
        if missing:
            raise SystemExit(f"not recorded: {missing}")
        say("\n".join("   " + line for line in self.ca.cli("subscriber", "list").stdout.splitlines()))


def leaf_serials(envoy):
    """Serial numbers of the leaves an Envoy presents now."""
    return sorted({certificate["serial_number"].lower() for entry in envoy.certs().get("certificates", [])
                   for certificate in entry.get("cert_chain", []) if "subject_alt_names" in certificate})


def leaf_names(envoy):
    return sorted({name["uri"] for entry in envoy.certs().get("certificates", [])
                   for certificate in entry.get("cert_chain", [])
                   for name in certificate.get("subject_alt_names", []) if "uri" in name})


def main():
    demo = Demo(sys.argv[1], sys.argv[2])
    begun = time.monotonic()
    try:
        demo.serve()
        demo.request()
        demo.mesh()
        demo.traffic()
        demo.record()
        demo.rotate()
    finally:
        demo.stop()
    say(f"\nall of it held, in {time.monotonic() - begun:.0f} s; logs and state are in {demo.folder}")


if __name__ == "__main__":
    main()
