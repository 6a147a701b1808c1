"""Istio's control plane and sidecars, unmodified, with meshca as the CA of their mesh."""

import base64
import contextlib
import http.server
import json
import shutil
import subprocess
import threading
import urllib.request

import envoy_mesh
import envoy_process
import helm
import istio_programs
import istio_sidecar
import istiod
import pod_folder
import pytest
import rotation
from background import wait_until
from cluster_rights import REVIEWS, TOKENS, WRITING, config_map
from istiod import Istiod
from paced_handshakes import PacedHandshakes

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(2400)]  # the first build downloads and compiles for minutes

ROOTS = "istio-ca-root-cert"
LIFETIME_S = 60
QUICK = ("--leaf-lifetime", f"{LIFETIME_S}s", "--rotation-skew", "0s", "--rotation-settle", "500ms")
RIGHTS = TOKENS + REVIEWS + WRITING + config_map(ROOTS) + [
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [istiod.SECRET], "verbs": ["list", "watch", "create", "patch"]}]
# A kubelet that looks after its pods every second has copied what changed into them by then.
KUBELET = ("--sync-frequency", "1s")
MOUNT_DELAY = "5s"
END = "-----END CERTIFICATE-----"
SHOP = "shop"
BACKENDS = "backend.shop.test"
NETWORKING = "networking.istio.io/v1"
# Istio's sidecars have filters of Istio's own in their Envoy; this one has those of Envoy alone.
FOR_PLAIN_ENVOY = {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"}


def istiods_values(ca=None):
    """Of istiod's chart: its own CA signs, or the one at `ca`."""
    outside = {"env": {**FOR_PLAIN_ENVOY, "ENABLE_CA_SERVER": "false"}, "global": {"caAddress": ca}}
    # Two of them have to find room on one small node.
    common = {"telemetry": {"enabled": False}, "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}
    return {**common, **(outside if ca else {"env": FOR_PLAIN_ENVOY})}


@pytest.fixture(scope="session")
def istio():
    """(module, pilot-agent, pilot-discovery)"""
    return istio_programs.build("pilot-agent", "pilot-discovery")


@pytest.fixture
def renderer(tmp_path):
    return helm.Helm(helm.build(), tmp_path)


def configuration(kubeconfig):
    """Of a meshca that takes service account tokens, publishes its roots in every namespace and keeps istiod's certificate."""
    return f"""
kubernetes:
  kubeconfig: {kubeconfig}
  roots_config_map: {{name: {ROOTS}}}
  server_secrets:
  - {{namespace: {istiod.NAMESPACE}, name: {istiod.SECRET}, service_account: {istiod.ACCOUNT}, dns_names: [{", ".join(istiod.DNS_NAMES)}]}}
  mount_delay: {MOUNT_DELAY}
"""


@pytest.fixture
def kubeconfig(mesh):
    """Of meshca's account."""
    mesh.create_account("default", "ca", rules=RIGHTS)
    return mesh.account_kubeconfig("default", "ca")


@pytest.fixture
def mesh(clusters):
    """A cluster of its own, with the namespaces of istiod and of the shop, and a node "node-1"."""
    cluster = clusters()
    for name in (istiod.NAMESPACE, SHOP):
        cluster.create_namespace(name)
    cluster.start_kubelet("node-1", *KUBELET)
    yield cluster
    cluster.stop()  # two of them would only be in each other's way


@pytest.fixture
def ended():
    """What is appended is stopped after the test, the last first."""
    started = []
    yield started
    for each in reversed(started):
        each.stop()


def roots_in(cluster, namespace):
    return cluster.admin.wait_for("v1/ConfigMap", ROOTS, bool, namespace)["data"]["root-cert.pem"]


class App(http.server.ThreadingHTTPServer):
    """What runs in a pod beside the sidecar: it answers 200 to everything."""

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):  # noqa: N802
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Answer)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


def shop_pod(cluster, kubelet, name):
    """A pod with the volumes that istiod's injector gives a sidecar, where pilot-agent looks for them."""
    cluster.create_account(SHOP, name)
    volumes = [{"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": {
        "audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}}]}},
        {"name": "istiod-ca-cert", "configMap": {"name": ROOTS}}]
    mounts = [{"name": "istio-token", "mountPath": "/var/run/secrets/tokens"},
              {"name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio"}]
    pod = cluster.admin.create({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-1", "namespace": SHOP, "labels": {"app": name}},
        "spec": {"serviceAccountName": name, "nodeName": kubelet.name, "volumes": volumes, "containers": [
            {"name": "istio-proxy", "image": "registry.test/proxy:1", "volumeMounts": mounts}]}})
    return cluster.wait_for_phase(pod, "Running")


class ShopSidecar(istio_sidecar.Sidecar):
    """The sidecar of a pod: both who it is and what it is told come by the token that the kubelet projects. `ca`: the CA's
    HOST:PORT; None: its control plane is its CA."""

    def __init__(self, kubelet, pod, folder, istio, control_plane, ca=None):
        module, pilot_agent, _ = istio
        folder.mkdir()
        program = folder / "envoy"
        shutil.copy2(envoy_process.binary(), program)
        # Without interception every port is its own: two of them can live on one loopback.
        env = {"ISTIOD_SAN": istiod.HOST, "SECRET_TTL": f"{LIFETIME_S}s", "PILOT_CERT_PROVIDER": "istiod",
               "POD_NAMESPACE": SHOP, "SERVICE_ACCOUNT": pod["spec"]["serviceAccountName"], "TRUST_DOMAIN": "cluster.local",
               "ISTIO_META_CLUSTER_ID": "Kubernetes", "ISTIO_META_INTERCEPTION_MODE": "NONE",
               "ISTIO_METAJSON_LABELS": json.dumps(pod["metadata"]["labels"]), **({"CA_ADDR": ca} if ca else {})}
        super().__init__(pod["metadata"]["name"], pod_folder.make(kubelet, pod, folder), program, pilot_agent,
                         istio_programs.bootstrap_template(module), control_plane,
                         config={"controlPlaneAuthPolicy": "MUTUAL_TLS", "interceptionMode": "NONE"}, env=env)
        self._kubelet = kubelet
        self._kubernetes_pod = pod

    def mounted_roots(self):
        """The ConfigMap's roots as they are in the pod at this moment, PEM."""
        return (self._kubelet.volume(self._kubernetes_pod, "istiod-ca-cert") / "root-cert.pem").read_text(encoding="ascii")

    def wait_for_listener(self, port):
        wait_until(lambda: f"::127.0.0.1:{port}" in self.get("/listeners"), 60, lambda: self.log()[-3000:])

    def wait_for_backend(self, inbound):
        """Until it calls this one alone."""
        lines = lambda: [line for line in self.get("/clusters").splitlines()  # noqa: E731
                         if f"{BACKENDS}::127.0.0.1:" in line and "::health_flags::" in line]
        wait_until(lambda: lines() and all(f"::127.0.0.1:{inbound}::" in line for line in lines()), 60, lambda: str(lines()))

    def _secret(self, name):
        dump = json.loads(self.get("/config_dump?resource=dynamic_active_secrets"))
        (found,) = [each["secret"] for each in dump["configs"] if each["name"] == name]
        return found

    def chain(self):
        """What its Envoy was given as its own certificate, PEM, leaf first."""
        return base64.b64decode(self._secret("default")["tls_certificate"]["certificate_chain"]["inline_bytes"]).decode()

    def roots(self):
        """What its Envoy was given to verify others by, PEM."""
        return base64.b64decode(self._secret("ROOTCA")["validation_context"]["trusted_ca"]["inline_bytes"]).decode()


def apply_istio(cluster, kind, name, spec, group=NETWORKING):
    cluster.admin.apply({"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": SHOP}, "spec": spec})


def serve_app(cluster, name, inbound, app):
    """Pods with the label app=`name` take mTLS at the port `inbound` alone, and pass on to the port `app`."""
    apply_istio(cluster, "PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}, "security.istio.io/v1")
    apply_istio(cluster, "Sidecar", name, {
        "workloadSelector": {"labels": {"app": name}}, "egress": [{"hosts": ["~/*"]}],
        "ingress": [{"port": {"number": inbound, "protocol": "HTTP", "name": "http"}, "bind": "127.0.0.1",
                     "captureMode": "NONE", "defaultEndpoint": f"127.0.0.1:{app}"}]})


def call_backends(cluster, frontends, backends):
    """Who calls at a port of `frontends`, by label, reaches one of `backends`: both are label -> port. Each request has an
    mTLS connection of its own, to an account named as the label."""
    for name, outbound in frontends.items():
        apply_istio(cluster, "Sidecar", name, {
            "workloadSelector": {"labels": {"app": name}},
            "egress": [{"port": {"number": outbound, "protocol": "HTTP", "name": "http"}, "bind": "127.0.0.1",
                        "captureMode": "NONE", "hosts": ["./*"]}]})
    ports = {f"http-{name}": outbound for name, outbound in frontends.items()}
    apply_istio(cluster, "DestinationRule", "backend", {
        "host": BACKENDS, "trafficPolicy": {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}})
    apply_istio(cluster, "ServiceEntry", "backend", {
        "hosts": [BACKENDS], "location": "MESH_INTERNAL", "resolution": "STATIC",
        "ports": [{"number": number, "name": name, "protocol": "HTTP"} for name, number in ports.items()],
        "endpoints": [{"address": "127.0.0.1", "ports": {name: inbound for name in ports}, "serviceAccount": backend,
                       "labels": {"app": backend, "security.istio.io/tlsMode": "istio"}}
                      for backend, inbound in backends.items()]})


def istiods_certificate(cluster):
    """The chain in the Secret that istiod mounts, once it is there."""
    return base64.b64decode(cluster.admin.wait_for("v1/Secret", istiod.SECRET, bool, istiod.NAMESPACE)["data"]["tls.crt"]).decode()


def adopt(server, cluster, kubeconfig, *args):
    """A meshca that goes on with istiod's own CA. It publishes nothing before it has that."""
    ca = server(*args, config=f"kubernetes:\n  kubeconfig: {kubeconfig}\n")
    ca.cli("root", "import", "--from-kubernetes", f"{istiod.NAMESPACE}/istio-ca-secret", "--kubeconfig", cluster.kubeconfig())
    (ca.folder / "meshca.yaml").write_text(configuration(kubeconfig), encoding="utf-8")
    ca.restart()
    return ca


def webhooks_roots(cluster):
    """By what the API server believes istiod's webhooks: it is istiod that writes it there, PEM."""
    webhooks = cluster.admin.get("admissionregistration.k8s.io/v1/MutatingWebhookConfiguration", istiod.INJECTOR)["webhooks"]
    (bundle,) = {webhook["clientConfig"].get("caBundle", "") for webhook in webhooks}
    return base64.b64decode(bundle).decode()


def verifies(chain, roots, tmp_path):
    """Whether OpenSSL believes a chain, leaf first, by these roots; all PEM."""
    leaf, *issuing, _ = chain.split(END)
    for name, pem in (("leaf", leaf + END), ("issuing", "".join(each + END for each in issuing)), ("roots", roots)):
        (tmp_path / f"{name}.pem").write_text(pem, encoding="ascii")
    words = ["openssl", "verify", "-CAfile", "roots.pem", *(["-untrusted", "issuing.pem"] if issuing else []), "leaf.pem"]
    return subprocess.run(words, cwd=tmp_path, capture_output=True, check=False, timeout=60).returncode == 0


def test_a_root_rotation_that_istiod_and_two_sidecars_do_not_notice(server, mesh, kubeconfig, istio, renderer, ended, tmp_path):
    ca = server(*QUICK, config=configuration(kubeconfig))
    kubelet = mesh.kubelets["node-1"]
    first_root = roots_in(mesh, istiod.NAMESPACE)
    deployment = istiod.install(mesh, renderer, istio[0], istiods_values(ca.grpc))
    assert verifies(istiods_certificate(mesh), ca.root_pem, tmp_path)  # istiod looks for it once, when it starts
    control_plane = Istiod(istio[2], mesh, kubelet, deployment, tmp_path)
    ended.append(control_plane)
    control_plane.start()
    pid = control_plane.background.pid

    app = App()
    ended.append(app)
    inbound, outbound = istio_sidecar.free_ports(2)
    serve_app(mesh, "backend", inbound, app.port)
    call_backends(mesh, {"frontend": outbound}, {"backend": inbound})
    sidecars = []
    for name in ("backend", "frontend"):
        sidecars.append(ShopSidecar(kubelet, shop_pod(mesh, kubelet, name), tmp_path / name, istio, control_plane, ca.grpc))
        ended.append(sidecars[-1])
        sidecars[-1].start()
        sidecars[-1].wait_for_listener({"backend": inbound, "frontend": outbound}[name])
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{inbound}/", timeout=60)  # nobody gets in but over mTLS
    wait_until(lambda: webhooks_roots(mesh), 60, "istiod wrote its webhooks' caBundle")
    with PacedHandshakes(control_plane.address, istiod.HOST, sidecars[1].mounted_roots) as of_proxies, \
            PacedHandshakes(control_plane.webhooks, istiod.HOST, lambda: webhooks_roots(mesh), pace_s=0.2) as of_api_server, \
            envoy_mesh.Traffic(outbound, threads=2, per_second=40, host=BACKENDS) as traffic:
        traffic.wait_for(50)
        done = rotation.rotate(ca)
        traffic.wait_for(50)
        for handshakes in (of_proxies, of_api_server):
            handshakes.wait_for(5)
    print(f"{of_proxies.count} + {of_api_server.count} handshakes with istiod, {traffic.counts} requests")
    assert done["step"] == "done", done
    assert traffic.failed == 0, traffic.counts
    assert not of_proxies.failures, of_proxies.failures[:5]
    assert not of_api_server.failures, of_api_server.failures[:5]
    assert control_plane.background.running() and control_plane.background.pid == pid
    assert roots_in(mesh, SHOP) == ca.root_pem != first_root
    for sidecar in sidecars:
        # The old root stays among a sidecar's until its next renewal.
        assert ca.root_pem.strip() in sidecar.roots()
        assert verifies(sidecar.chain(), ca.root_pem, tmp_path) and not verifies(sidecar.chain(), first_root, tmp_path)
    # pilot-agent says in which cluster it believes to be, and the record keeps that.
    records = json.loads(ca.cli("cert", "list", "-o", "json", "--id", f"spiffe://cluster.local/ns/{SHOP}/sa/*").stdout)
    assert {record["caller"].partition(" clusterid=")[2] for record in records} == {"Kubernetes"}, records


def test_a_mesh_on_istiods_own_root_is_adopted_and_then_rotated_to_a_new_one(server, mesh, kubeconfig, istio, renderer, ended,
                                                                              tmp_path):
    kubelet = mesh.kubelets["node-1"]
    app = App()
    ended.append(app)
    ports = dict(zip(("backend", "frontend", "new-backend", "new-frontend"), istio_sidecar.free_ports(4)))
    frontends = {name: ports[name] for name in ("frontend", "new-frontend")}

    def sidecar(name, *control_plane_and_ca):
        started = ShopSidecar(kubelet, shop_pod(mesh, kubelet, name), tmp_path / name, istio, *control_plane_and_ca)
        ended.append(started)
        started.start()
        started.wait_for_listener(ports[name])
        return started

    def control_plane(name, values):
        deployment = istiod.install(mesh, renderer, istio[0], values)
        started = Istiod(istio[2], mesh, kubelet, deployment, tmp_path, name)
        ended.append(started)
        return started.start()

    # The mesh as istiod alone makes it.
    before = control_plane("istiod-1", istiods_values())
    for name in ("backend", "new-backend"):
        serve_app(mesh, name, ports[name], app.port)
    call_backends(mesh, frontends, {"backend": ports["backend"]})
    backend, frontend = (sidecar(name, before) for name in ("backend", "frontend"))
    istiods_root = roots_in(mesh, SHOP)
    with contextlib.ExitStack() as until_the_end:
        with envoy_mesh.Traffic(ports["frontend"], threads=2, per_second=20, host=BACKENDS) as old_traffic:
            old_traffic.wait_for(20)
            # meshca goes on with its CA: each side believes the other's certificates.
            listen = f"127.0.0.1:{istio_sidecar.free_ports(1)[0]}"
            ca = adopt(server, mesh, kubeconfig, *QUICK, "--listen", listen)
            assert ca.root_pem == istiods_root
            assert verifies(frontend.chain(), ca.root_pem, tmp_path)
            assert verifies(istiods_certificate(mesh), istiods_root, tmp_path)

            # An istiod whose CA is off. Pods made anew ask meshca; they call those of before, and are called by them.
            after = control_plane("istiod-2", istiods_values(ca.grpc))
            new_frontend = sidecar("new-frontend", after, ca.grpc)
            new_traffic = until_the_end.enter_context(
                envoy_mesh.Traffic(ports["new-frontend"], threads=2, per_second=20, host=BACKENDS))
            new_traffic.wait_for(20)
            new_backend = sidecar("new-backend", after, ca.grpc)
            call_backends(mesh, frontends, {"new-backend": ports["new-backend"]})
            for each in (frontend, new_frontend):
                each.wait_for_backend(ports["new-backend"])
            old_traffic.wait_for(20)
            new_traffic.wait_for(20)
        assert old_traffic.failed == 0, old_traffic.counts
        for each in (frontend, backend, before):
            each.stop()

        # Nobody asks istiod's CA any more: its root is left.
        mesh.admin.delete("v1/Secret", "istio-ca-secret", istiod.NAMESPACE)
        done = rotation.rotate(ca)
        new_traffic.wait_for(20)
    assert done["step"] == "done", done
    assert new_traffic.failed == 0, new_traffic.counts
    assert roots_in(mesh, SHOP) == ca.root_pem != istiods_root
    for each in (new_frontend, new_backend):
        assert verifies(each.chain(), ca.root_pem, tmp_path) and not verifies(each.chain(), istiods_root, tmp_path)
