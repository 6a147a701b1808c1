"""A Kubernetes control plane of its own for one test: etcd, kube-apiserver, kube-controller-manager and as many nodes with real
kubelets as are asked for, all on the loopback, in one folder.

By hand, until Ctrl-C:   PYTHONPATH=test/support build/venv/bin/python -m kubernetes_cluster --node node-1
"""

import argparse
import base64
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import tempfile
import time

import go_modules
from background import Background, wait_until
from kubernetes_api import ApiError, Away, KubernetesApi
from kubernetes_keys import ISSUER, ClusterKeys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "test" / "kubernetes" / "control_plane"
BUILT = ROOT / "build" / "interop" / "kubernetes"
ADMIN = ("admin", "system:masters")
CONTROLLERS = ("system:kube-controller-manager",)
RBAC = "rbac.authorization.k8s.io/v1"
# What a kubelet calls the folder of a kind of volume.
VOLUME_PLUGINS = {"projected": "projected", "secret": "secret", "configMap": "configmap", "emptyDir": "empty-dir",
                  "downwardAPI": "downward-api"}
# Every call but those by which the API server, the controllers and this module look after themselves.
AUDIT_POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
    {"level": "None", "users": ["system:apiserver", *CONTROLLERS]},
    {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
    {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
    {"level": "Metadata"}]}


def build():
    """The program that is all of them: some ten minutes the first time, seconds where it is built already."""
    # What the servers say that they are: their release's number, which is compiled into releases alone.
    version = re.search(r"k8s.io/kubernetes v((\d+)\.(\d+)\S+)", (SOURCES / "go.mod").read_text(encoding="ascii"))
    variables = zip(("gitVersion", "gitMajor", "gitMinor"), (f"v{version.group(1)}", version.group(2), version.group(3)))
    return go_modules.build(SOURCES, BUILT, "control-plane", {f"k8s.io/component-base/version.{name}": value
                                                              for name, value in variables})


class PortHeld:
    """A port of 127.0.0.1 that stays ours while what listens there comes and goes. Nothing is accepted by the holder: with
    nobody else there, connections are refused."""

    def __init__(self):
        self._socket = socket.socket()
        # Whoever binds it beside us has to say the same: kube-apiserver's --permit-port-sharing.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number = self._socket.getsockname()[1]

    def close(self):
        self._socket.close()


@dataclasses.dataclass(frozen=True)
class Call:
    """One call in the API server's audit log."""
    user: str
    verb: str
    resource: str  # "pods", "serviceaccounts/token"; the path where it is of no resource
    namespace: str
    name: str
    code: int
    event: dict = dataclasses.field(repr=False, compare=False)


class Kubelet:
    """A node of the cluster. Its pods' volumes are plain folders: volume()."""

    def __init__(self, cluster, name, options):
        self.cluster = cluster
        self.name = name
        self.folder = cluster.folder / "nodes" / name
        self.folder.mkdir(parents=True)
        self.options = options
        self.background = None

    def start(self, timeout=60):
        kubeconfig = self.cluster.kubeconfig(f"system:node:{self.name}", "system:nodes")
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.background = self.cluster.run("kubelet", f"kubelet-{self.name}", "--kubeconfig", kubeconfig, "--name", self.name,
                                           "--root", self.folder, *self.options)
        # Of a node that was there before, only what this kubelet reported counts; times are whole seconds, and a kubelet may
        # be ready within one.
        ready = lambda node: node and any(  # noqa: E731
            condition["type"] == "Ready" and condition["status"] == "True" and condition["lastHeartbeatTime"] >= started
            for condition in node["status"].get("conditions", []))
        self.cluster.admin.wait_for("v1/Node", self.name, ready, timeout=timeout,
                                    what=lambda: "the node is ready\n" + self.background.output())
        return self

    def restart(self):
        self.background.kill()
        return self.start()

    def volume(self, pod, name):
        """The folder of a volume of this pod, an object of the API; its files appear when they are mounted."""
        (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == name]
        (plugin,) = [word for kind, word in VOLUME_PLUGINS.items() if kind in volume]
        return self.folder / "pods" / pod["metadata"]["uid"] / "volumes" / f"kubernetes.io~{plugin}" / name


class KubernetesCluster:
    """The processes, and what a test does to them. `folder` is empty and of a short path: sockets lie in it.

    url: of the API server, the same after a restart. admin: the API as somebody who may do everything. keys: ClusterKeys.
    `features`: feature gates, {"Name": True}. `controllers`: as kube-controller-manager's flag. `launcher`: a command that
    starts each process, such as one that enters a namespace.
    """

    def __init__(self, program, folder, features=None, api_server_options=(), controllers=None, launcher=(),
                 audit_policy=None):
        self.program = program
        self.folder = pathlib.Path(folder)
        self.features = ",".join(f"{name}={str(on).lower()}" for name, on in (features or {}).items())
        self.api_server_options = list(api_server_options)
        # Nodes that a test makes by hand never report: what would take their pods away for it is off.
        self.controllers = controllers or "*,-node-lifecycle-controller,-pod-garbage-collector-controller"
        self.launcher = list(launcher)
        self.audit_policy = audit_policy or AUDIT_POLICY
        self.port = PortHeld()
        self.url = f"https://127.0.0.1:{self.port.number}"
        self.etcd = self.api_server = self.controller_manager = None
        self.kubelets = {}
        (self.folder / "keys").mkdir(mode=0o700)
        (self.folder / "logs").mkdir()
        self.keys = ClusterKeys(self.folder / "keys")
        self.ca_file = self.keys.path("ca.crt")
        self.audit_file = self.folder / "logs" / "audit.log"
        self.admin = self.as_user(*ADMIN)

    # Processes.

    def start(self, timeout=120):
        self.etcd = self.run("etcd", "etcd", "--data-dir", self.folder / "etcd", "--socket", self._etcd_socket)
        self.etcd.wait_for_line("ready", timeout)
        self.start_api_server(timeout)
        self.start_controller_manager(timeout)
        return self

    def start_api_server(self, timeout=120):
        """Returns when it says that it is ready."""
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps(self.audit_policy), encoding="utf-8")
        features = [f"--feature-gates={self.features}"] if self.features else []
        self.api_server = self.run(
            "kube-apiserver", "kube-apiserver", "--etcd-servers", f"unix://{self._etcd_socket}",
            "--bind-address=127.0.0.1", f"--secure-port={self.port.number}", "--permit-port-sharing",
            # It reaches others by no address of its own: there is no network of pods and services here.
            "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
            "--tls-cert-file", self.keys.path("server.crt"), "--tls-private-key-file", self.keys.path("server.key"),
            "--client-ca-file", self.ca_file,
            "--service-account-issuer", ISSUER, "--service-account-key-file", self.keys.path("accounts.key"),
            "--service-account-signing-key-file", self.keys.path("accounts.key"),
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
            "--runtime-config=certificates.k8s.io/v1beta1=true", "--profiling=false",
            "--audit-policy-file", policy, "--audit-log-path", self.audit_file, "--audit-log-mode=blocking",
            *features, *self.api_server_options)
        wait_until(lambda: self._ready() or not self.api_server.running(), timeout,
                   lambda: "the API server is ready\n" + self.api_server.output())
        assert self.api_server.running(), self.api_server.output()

    def _ready(self):
        try:
            return self.admin.call("GET", "/readyz", timeout=10) == "ok"
        except (Away, ApiError):
            return False

    def start_controller_manager(self, timeout=120):
        """Returns when it has done its first work: the namespace `default` has its account and its roots."""
        features = [f"--feature-gates={self.features}"] if self.features else []
        self.controller_manager = self.run(
            "kube-controller-manager", "kube-controller-manager", "--kubeconfig", self.kubeconfig(*CONTROLLERS),
            # Its own rights are few: each controller has those of its account.
            "--use-service-account-credentials", "--secure-port=0", "--leader-elect=false",
            # A thousand namespaces get what belongs in them within seconds, not within a minute.
            "--kube-api-qps=1000", "--kube-api-burst=1000", f"--controllers={self.controllers}",
            "--root-ca-file", self.ca_file, "--service-account-private-key-file", self.keys.path("accounts.key"),
            "--cluster-signing-cert-file", self.ca_file, "--cluster-signing-key-file", self.keys.path("ca.key"), *features)
        self.wait_for_namespace("default", timeout)

    def start_kubelet(self, name, *options):
        """Returns the node's Kubelet when the node is ready."""
        self.kubelets[name] = Kubelet(self, name, options)
        return self.kubelets[name].start()

    def kill_api_server(self):
        self.api_server.kill()

    def run(self, server, log, *words):
        """Starts `server`, a word of the program's first argument. Its standard error goes to logs/LOG.log."""
        return Background([*self.launcher, self.program, server, *words], self.folder / "logs" / f"{log}.log",
                          env={**os.environ, "TMPDIR": str(self.folder)}, cwd=self.folder)

    def processes(self):
        """All of them, by name, also those that have ended."""
        named = {"etcd": self.etcd, "kube-apiserver": self.api_server, "kube-controller-manager": self.controller_manager}
        named.update({f"kubelet {name}": kubelet.background for name, kubelet in self.kubelets.items()})
        return {name: process for name, process in named.items() if process}

    def stop(self):
        """Ends what still runs, users before what they use."""
        for process in reversed(self.processes().values()):
            if process.running():
                process.kill()
        self.port.close()

    @property
    def _etcd_socket(self):
        return self.folder / "etcd.sock"

    # Who asks.

    def as_user(self, name, *groups):
        """The API as a user of these groups, by a client certificate."""
        return KubernetesApi(self.url, self.ca_file, certificate=self.keys.user(name, *groups))

    def as_account(self, namespace, account):
        return KubernetesApi(self.url, self.ca_file, token=self.token(namespace, account, audiences=None))

    def kubeconfig(self, name=ADMIN[0], *groups):
        """Path of a kubeconfig by which a client is this user; without words, the admin."""
        certificate, key = self.keys.user(name, *(groups if name != ADMIN[0] else ADMIN[1:]))
        return self._write_kubeconfig(name, {"client-certificate": str(certificate), "client-key": str(key)})

    def account_kubeconfig(self, namespace, account, lifetime_s=3600, pod=None):
        """As kubeconfig(), for a service account, by a token that ends `lifetime_s` (600 at least) from now."""
        token = self.token(namespace, account, None, pod, lifetime_s)
        return self._write_kubeconfig(f"{namespace}-{account}", {"token": token})

    def _write_kubeconfig(self, name, user):
        path = self.folder / "keys" / f"{name.replace(':', '-')}.kubeconfig"
        authority = base64.b64encode(self.keys.ca_pem.encode()).decode()
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}]}, indent=1), encoding="utf-8")
        path.chmod(0o600)
        return path

    # What a cluster has in it.

    def create_namespace(self, name, wait=True, **labels):
        """With `wait`, until the controllers have given it what every namespace has."""
        made = self.admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        if wait:
            self.wait_for_namespace(name)
        return made

    def wait_for_namespace(self, name, timeout=60):
        what = lambda: "the controllers made it\n" + self.controller_manager.output()  # noqa: E731
        self.admin.wait_for("v1/ServiceAccount", "default", bool, name, timeout, what)
        self.admin.wait_for("v1/ConfigMap", "kube-root-ca.crt", bool, name, timeout, what)

    def create_account(self, namespace, name, rules=(), namespace_rules=()):
        """A service account that may do what `rules` say, in the whole cluster, and `namespace_rules`, in its namespace:
        rules as in a Role, {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}."""
        made = self.admin.create({"apiVersion": "v1", "kind": "ServiceAccount",
                                  "metadata": {"name": name, "namespace": namespace}})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        for kind, given, place, role in (("Cluster", rules, {}, f"{namespace}-{name}"),
                                         ("", namespace_rules, {"namespace": namespace}, name)):
            if given:
                metadata = {"name": role, **place}
                self.admin.apply({"apiVersion": RBAC, "kind": f"{kind}Role", "metadata": metadata, "rules": list(given)})
                self.admin.apply({"apiVersion": RBAC, "kind": f"{kind}RoleBinding", "metadata": metadata, "subjects": [subject],
                                  "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": f"{kind}Role", "name": role}})
        return made

    def create_node(self, name):
        """A node without a kubelet: pods can be bound to it, and nobody runs them."""
        return self.admin.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})

    def create_pod(self, namespace, name, account="default", node=None, labels=None, volumes=(), **spec):
        """A pod of one container that mounts `volumes`, bound to `node` where that is given."""
        mounts = [{"name": volume["name"], "mountPath": f"/volumes/{volume['name']}"} for volume in volumes]
        pod = self.admin.create({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
            "spec": {"serviceAccountName": account, "volumes": list(volumes), "containers": [
                {"name": "main", "image": "registry.test/main:1", "volumeMounts": mounts}], **spec}})
        return self.bind(pod, node) if node else pod

    def bind(self, pod, node):
        """What the scheduler would do: there is none. Returns the pod as it is then."""
        metadata = pod["metadata"]
        self.admin.call("POST", self.admin.path("v1/Pod", metadata["namespace"], metadata["name"], "binding"), {
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": metadata["name"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node}})
        return self.admin.get("v1/Pod", metadata["name"], metadata["namespace"])

    def set_phase(self, pod, phase):
        """What a kubelet would say of the pod."""
        metadata = pod["metadata"]
        return self.admin.patch("v1/Pod", metadata["name"], {"status": {"phase": phase}}, metadata["namespace"], "status")

    def wait_for_phase(self, pod, phase, timeout=60):
        metadata = pod["metadata"]
        return self.admin.wait_for("v1/Pod", metadata["name"], lambda now: now and now["status"]["phase"] == phase,
                                   metadata["namespace"], timeout, f"phase {phase}")

    def token(self, namespace, account, audiences=("istio-ca",), pod=None, lifetime_s=3600, kind="Pod"):
        """By TokenRequest, bound to `pod` (or another `kind` of object) where that is given; for the API server itself with `audiences` None."""
        spec = {"expirationSeconds": lifetime_s, **({"audiences": list(audiences)} if audiences else {})}
        if pod:
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": kind, "name": pod["metadata"]["name"],
                                      "uid": pod["metadata"]["uid"]}
        answer = self.admin.call("POST", self.admin.path("v1/ServiceAccount", namespace, account, "token"), {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
        return answer["status"]["token"]

    def calls(self, user=None):
        """The audit log's calls, those of `user` alone where one is named; a long one when it was answered first."""
        # A line that is being written is not looked at yet.
        lines = self.audit_file.read_text(encoding="utf-8").rpartition("\n")[0].splitlines() if self.audit_file.exists() else []
        calls = [call_of(json.loads(line)) for line in lines]
        return [call for call in calls if call and user in (None, call.user)]


def call_of(event):
    """None where it tells again of a watch that it told of when the watch began."""
    code = event.get("responseStatus", {}).get("code", 0)
    if event["stage"] == "ResponseComplete" and event["verb"] == "watch" and code == 200:
        return None
    thing = event.get("objectRef", {})
    resource = "/".join(thing[part] for part in ("resource", "subresource") if part in thing)
    path = event["requestURI"].partition("?")[0]
    user = event["user"].get("username", "")  # nobody's where it was refused for its credentials
    return Call(user, event["verb"], resource or path, thing.get("namespace", ""), thing.get("name", ""), code, event)


def main():
    parser = argparse.ArgumentParser(prog="python -m kubernetes_cluster", description=__doc__.split("\n\n")[0])
    parser.add_argument("--node", metavar="NAME", action="append", default=[], help="a node with a kubelet; repeatable")
    parser.add_argument("--folder", help="where its state, keys and logs go; kept then")
    options = parser.parse_args()
    print("building it: some ten minutes the first time", flush=True)
    program = build()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="kubernetes-"))
    folder.mkdir(parents=True, exist_ok=True)
    cluster = KubernetesCluster(program, folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        cluster.start()
        for name in options.node:
            cluster.start_kubelet(name)
        print(f"API server   {cluster.url}\nkubeconfig   {cluster.kubeconfig()}\naudit log    {cluster.audit_file}")
        for name, kubelet in cluster.kubelets.items():
            print(f"node         {name}: {kubelet.folder}")
        print("next         Ctrl-C ends it", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        cluster.stop()
        if not options.folder:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
