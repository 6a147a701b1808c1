"""A real Kubernetes control plane, and real kubelets, for the tests in this folder."""

import pathlib
import shutil
import tempfile

import kubernetes_cluster
import pytest


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
