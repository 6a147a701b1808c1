"""istiod, the real program, as its chart runs it in a cluster of the tests."""

import pathlib
import re
import urllib.error
import urllib.request

import helm
import pod_folder
import yaml
from background import Background, wait_until

NAMESPACE = "istio-system"
ACCOUNT = "istiod"
HOST = "istiod.istio-system.svc"  # what its clients call it, whatever address they dial
SECRET = "istiod-tls"             # where it looks for its own certificate
DNS_NAMES = (HOST, "istiod-remote.istio-system.svc", "istio-pilot.istio-system.svc")
INJECTOR = "istio-sidecar-injector"
# The scheduler's and the autoscaler's part; the pod is made of the Deployment's template.
NOT_APPLIED = ("Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget")
CRDS = "manifests/charts/base/files/crd-all.gen.yaml"
CHART = "manifests/charts/istio-control/istio-discovery"


def install(cluster, renderer, module, values):
    """Istio's kinds, and all that istiod's chart makes of `values` but the Deployment, which is returned. `renderer`: a Helm;
    `module`: the folder of Istio's Go module."""
    for kind in yaml.safe_load_all((module / CRDS).read_text(encoding="utf-8")):
        if kind:
            cluster.admin.apply(kind)
    things = renderer.render(values, "istiod", NAMESPACE, module / CHART)
    for thing in things:
        if thing["kind"] not in NOT_APPLIED:
            cluster.admin.apply(thing)
    return helm.named(things, "Deployment")


class Istiod:
    """One istiod: a pod of the cluster on `kubelet`, and a process with the volumes and the environment of that pod. All its
    ports are free ones of the loopback."""

    # What it says of each port at its start, in this order.
    PORTS = {"http": "starting HTTP service at", "xds": "starting secure gRPC discovery service at",
             "webhooks": "starting webhook service at"}

    def __init__(self, program, cluster, kubelet, deployment, folder, name="istiod-1"):
        self.program = program
        self.cluster = cluster
        self.kubelet = kubelet
        self.template = deployment["spec"]["template"]
        self.folder = pathlib.Path(folder) / name
        self.name = name
        self.pod = self.background = None
        self.http = self.webhooks = None
        self.address = None  # of XDS over TLS

    def start(self, timeout=120):
        """Returns when it serves, XDS over TLS too: it says that it is ready without a certificate as well."""
        spec = {**self.template["spec"], "nodeName": self.kubelet.name}
        # The kubelet wants to know that it is not root, and its images say nothing of users.
        spec["securityContext"] = {"runAsUser": 1337, **spec.get("securityContext", {})}
        self.pod = self.cluster.admin.create({
            "apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {"name": self.name, "namespace": NAMESPACE, "labels": self.template["metadata"]["labels"]}})
        self.pod = self.cluster.wait_for_phase(self.pod, "Running")
        self.folder.mkdir()
        pod_folder.make(self.kubelet, self.pod, self.folder)
        env = pod_folder.environment(self.pod)
        env.pop("KUBECONFIG")
        words = [*self.pod["spec"]["containers"][0]["args"], "--kubeconfig",
                 self.cluster.account_kubeconfig(NAMESPACE, ACCOUNT, pod=self.pod), "--ctrlz_port=0"]
        words += [f"--{port}=127.0.0.1:0" for port in ("httpAddr", "grpcAddr", "secureGRPCAddr", "httpsAddr", "monitoringAddr")]
        self.background = Background([self.program, *words], self.folder / "istiod.log", env, self.folder)
        for attribute, said in self.PORTS.items():
            address = wait_until(lambda said=said: self._said(said), timeout, lambda: f"{said}\n{self.background.output()}")
            setattr(self, "address" if attribute == "xds" else attribute, address)
        wait_until(self.ready, timeout, lambda: "istiod ready\n" + self.background.output())
        return self

    def _said(self, words):
        assert self.background.running(), self.background.output()
        found = re.search(words + r" (127\.0\.0\.1:\d+)", "\n".join(self.background.lines))
        return found and found.group(1)

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.http}/ready", timeout=60) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def stop(self):
        if self.background and self.background.running():
            self.background.terminate()
