"""A real Kubernetes control plane, and real kubelets, for the tests in this folder."""

import pathlib
import shutil
import tempfile
import time

import kubernetes_cluster
import pytest
from background import wait_until
from meshca_process import MeshcaProcess
from pod_certificates import RIGHTS, apply_policy, chain_in, configuration, pod_of, signing
from rotation import seconds, status

SETTLE_S = 0.3
IN_FLIGHT_S = 10 * SETTLE_S + 1  # kInFlight, and the clock's rounding


@pytest.fixture(scope="session")
def control_plane():
    """The program with all of Kubernetes' servers in it."""
    return kubernetes_cluster.build()


@pytest.fixture(scope="module")
def clusters(control_plane):
    """clusters(...): a new KubernetesCluster, running until the file's tests are over; its words are that class's."""
    started = []

    def start(**options):
        # Sockets lie in it, whose paths may be 107 bytes long: pytest's own folders have too long names.
        cluster = kubernetes_cluster.KubernetesCluster(control_plane, pathlib.Path(tempfile.mkdtemp(prefix="k8s-")), **options)
        started.append(cluster)
        return cluster.start()

    yield start
    for cluster in started:
        cluster.stop()
        shutil.rmtree(cluster.folder)


@pytest.fixture(scope="module")
def cluster(clusters):
    """One that the tests of a file share, each in namespaces of its own."""
    return clusters()


@pytest.fixture(autouse=True)
def nobody_leads(request):
    """A test's servers are killed in the end: their Lease would keep those of the next test from writing for 20 s."""
    if "cluster" in request.fixturenames:
        admin = request.getfixturevalue("cluster").admin
        for lease in admin.list("coordination.k8s.io/v1/Lease", "kube-system", labelSelector="app.kubernetes.io/managed-by=meshca"):
            admin.delete("coordination.k8s.io/v1/Lease", lease["metadata"]["name"], "kube-system")


@pytest.fixture
def namespace(cluster, request):
    """A new namespace of the shared cluster, by name."""
    name = request.node.name.removeprefix("test_").replace("_", "-").partition("[")[0][:60].strip("-")
    cluster.create_namespace(name)
    return name


@pytest.fixture(scope="module")
def kubelet(cluster):
    return cluster.start_kubelet("node-1")


@pytest.fixture(scope="module")
def signer_kubeconfig(cluster):
    """Of a service account with the rights that the chart gives a server which answers PodCertificateRequests."""
    cluster.create_account("default", "ca", rules=RIGHTS)
    return cluster.account_kubeconfig("default", "ca")


@pytest.fixture
def policy(cluster):
    """The admission policy of such a server; it has taken hold."""
    apply_policy(cluster)


@pytest.fixture
def ca(server, signer_kubeconfig, policy):  # noqa: ARG001
    """A server that answers PodCertificateRequests, once it does. Files about other things have a `ca` of their own."""
    return signing(server("--rotation-skew", "0s", "--rotation-settle", "300ms", config=configuration(signer_kubeconfig)))


def pytest_collection_modifyitems(items):
    """Whoever waits for a kubelet's own time waits last, and what he waits for begins with the first test here."""
    here = [item for item in items if pathlib.Path(__file__).parent in item.path.parents]
    waiting = [item for item in here if "unattended" in item.fixturenames]
    if waiting and here[0] is not waiting[0]:
        here[0].fixturenames.insert(0, "unattended")
        others = [item for item in items if item not in waiting]
        last = others.index(next(item for item in reversed(here) if item not in waiting)) + 1
        items[:] = others[:last] + waiting + others[last:]


class Unattended:
    """A pod whose certificate is under a root that has stopped signing since. From then on nobody touches it, its kubelet
    or its server (a backdated certificate is renewed sooner)."""

    def __init__(self, control_plane, meshca, folder):
        self.cluster = kubernetes_cluster.KubernetesCluster(control_plane, pathlib.Path(tempfile.mkdtemp(prefix="k8s-")))
        self.cluster.start()
        apply_policy(self.cluster)
        self.cluster.create_account("default", "ca", rules=RIGHTS)
        config = configuration(self.cluster.account_kubeconfig("default", "ca"))
        self.ca = MeshcaProcess(meshca, folder, folder / "state",
                                ["--rotation-skew", "0s", "--rotation-settle", f"{SETTLE_S * 1000:.0f}ms", "--leaf-backdate", "4m"], config)
        signing(self.ca.start())
        self.ca.cli("root", "prepare")
        kubelet = self.cluster.start_kubelet("node-1")
        # What was asked for in the seconds before may still be under way, so it would count as from before.
        published = seconds(status(self.ca)["step_at"])
        wait_until(lambda: time.time() > published + IN_FLIGHT_S, 60, "nothing from before is under way")
        self.cluster.create_namespace("unattended")
        pod = pod_of(self.cluster, "unattended", kubelet.name, "web-1")
        self.cluster.wait_for_phase(pod, "Running")
        self.volume = kubelet.volume(pod, "identity")
        self.first = chain_in(self.volume)
        activate = lambda: self.ca.cli("root", "activate", check=False)  # noqa: E731
        wait_until(lambda: activate().returncode == 0, 60, lambda: activate().stderr)

    def stop(self):
        self.ca.stop()
        self.cluster.stop()
        shutil.rmtree(self.cluster.folder)


@pytest.fixture(scope="session")
def unattended(control_plane, meshca, tmp_path_factory):
    pod = Unattended(control_plane, meshca, tmp_path_factory.mktemp("unattended"))
    yield pod
    pod.stop()
