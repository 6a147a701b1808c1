"""The roots in ConfigMaps of every namespace and in a ClusterTrustBundle: written, repaired, waited for by a rotation."""

import concurrent.futures
import json
import time

import pytest
from background import wait_until
from cluster_rights import TOKENS, WRITING, config_map, trust_bundle
from published_roots import CONFIG_MAP, facts, published
from rotation import status

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]

BUNDLE = "istio.io:istiod-ca:root-cert"
TRUST_BUNDLE = "certificates.k8s.io/v1/ClusterTrustBundle"
NAMESPACES = 1000
RIGHTS = TOKENS + WRITING + config_map(CONFIG_MAP) + trust_bundle("istio.io/istiod-ca")


def configuration(kubeconfig, mount_delay="1s"):
    return f"""
kubernetes:
  kubeconfig: {kubeconfig}
  roots_config_map: {{name: {CONFIG_MAP}}}
  cluster_trust_bundle: {{name: "{BUNDLE}", mount_delay: {mount_delay}}}
  mount_delay: {mount_delay}
"""


@pytest.fixture
def account(cluster, request):
    """A kubeconfig of a service account with the rights of the chart, or with those given."""
    def create(rules=None, name=None):
        name = name or f"ca-{request.node.name.replace('_', '-')[:40].strip('-')}"
        cluster.create_account("default", name, rules=RIGHTS if rules is None else rules)
        return cluster.account_kubeconfig("default", name)
    return create


def shown_everywhere(cluster):
    """The contents of all these ConfigMaps, by namespace."""
    listed = cluster.admin.list("v1/ConfigMap", fieldSelector=f"metadata.name={CONFIG_MAP}")
    return {each["metadata"]["namespace"]: each["data"].get("root-cert.pem") for each in listed}


def laggards(ca):
    """Who holds up the rotation, as text."""
    return json.dumps(status(ca)["laggards"])


def test_every_namespace_has_the_roots_and_an_edit_is_repaired(server, cluster, account, namespace):
    ca = server(config=configuration(account()))
    roots = ca.root_pem
    wait_until(lambda: published(cluster, namespace) == roots, 60, ca.log)
    config_map = cluster.admin.get("v1/ConfigMap", CONFIG_MAP, namespace)
    assert config_map["metadata"]["labels"]["istio.io/config"] == "true"
    assert published(cluster, "kube-system") == roots
    assert published(cluster, "kube-public") is None
    bundle = cluster.admin.wait_for(TRUST_BUNDLE, BUNDLE, bool)
    assert bundle["spec"] == {"signerName": "istio.io/istiod-ca", "trustBundle": roots}

    cluster.admin.patch("v1/ConfigMap", CONFIG_MAP, {"data": {"root-cert.pem": "a stranger's"}}, namespace)
    wait_until(lambda: published(cluster, namespace) == roots, 60, ca.log)
    cluster.admin.delete("v1/ConfigMap", CONFIG_MAP, namespace)
    wait_until(lambda: published(cluster, namespace) == roots, 60, ca.log)
    cluster.create_namespace(f"{namespace}-2")
    wait_until(lambda: published(cluster, f"{namespace}-2") == roots, 60, ca.log)
    assert facts(ca)[f"published ConfigMap {CONFIG_MAP}"]["state"] == "ok"
    assert f'meshca_kubernetes_published_objects_behind{{object="ConfigMap {CONFIG_MAP}"}} 0' in ca.get("/metrics")


def test_labels_that_somebody_strips_come_back_and_others_stay(server, cluster, account, namespace):
    ca = server(config=configuration(account()))
    wait_until(lambda: published(cluster, namespace) == ca.root_pem, 60, ca.log)
    for kind, name, where, labels in (
            ("v1/ConfigMap", CONFIG_MAP, namespace, {"istio.io/config": "true", "app.kubernetes.io/managed-by": "meshca"}),
            (TRUST_BUNDLE, BUNDLE, None, {"app.kubernetes.io/managed-by": "meshca"})):
        shown = lambda: cluster.admin.get(kind, name, where)["metadata"]["labels"]  # noqa: E731, B023
        wait_until(lambda: shown() == labels, 60, ca.log)  # noqa: B023
        theirs = {"team": "somebody-elses"}
        cluster.admin.patch(kind, name, {"metadata": {"labels": {**dict.fromkeys(labels), **theirs}}}, where)
        wait_until(lambda: shown() == {**labels, **theirs}, 60, ca.log)  # noqa: B023
        cluster.admin.patch(kind, name, {"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}, where)
        wait_until(lambda: shown() == {**labels, **theirs}, 60, ca.log)  # noqa: B023


def test_a_rotation_waits_for_what_cannot_be_written_and_names_it_with_the_right_to_add(server, cluster, account, namespace):
    ca = server(config=configuration(account(name="in-rotation")))
    before = ca.root_pem
    wait_until(lambda: published(cluster, namespace) is not None, 60, ca.log)
    # From now on nothing can be written in any namespace.
    role = cluster.admin.get("rbac.authorization.k8s.io/v1/ClusterRole", "default-in-rotation")
    rules = role["rules"]
    kept = [rule for rule in rules if "configmaps" not in rule.get("resources", ())]
    cluster.admin.replace({**role, "rules": [*kept, {**config_map(CONFIG_MAP)[0], "verbs": ["list", "watch"]}]})
    ca.cli("root", "prepare")
    ca.cli("root", "activate", check=False)
    wait_until(lambda: "verbs: [create, patch]" in laggards(ca), 60, lambda: laggards(ca))
    assert f"ConfigMap {namespace}/{CONFIG_MAP}" in laggards(ca)
    fact = facts(ca)[f"published ConfigMap {CONFIG_MAP}"]
    assert fact["state"] == "warning" and "verbs: [create, patch]" in fact["detail"], fact

    current = cluster.admin.get("rbac.authorization.k8s.io/v1/ClusterRole", "default-in-rotation")
    cluster.admin.replace({**current, "rules": rules})
    wait_until(lambda: set(shown_everywhere(cluster).values()) == {shown_everywhere(cluster)[namespace]}
               and shown_everywhere(cluster)[namespace].count("BEGIN CERTIFICATE") == 2, 60, ca.log)
    ca.cli("root", "rotate", timeout=120)
    wait_until(lambda: published(cluster, namespace).count("BEGIN CERTIFICATE") == 1, 60, ca.log)
    assert published(cluster, namespace) != before


def test_a_thousand_namespaces_have_the_roots_within_ten_seconds(server, clusters):
    crowd = clusters()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: crowd.create_namespace(f"team-{number}", wait=False), range(NAMESPACES)))
    crowd.create_account("default", "ca", rules=RIGHTS)
    kubeconfig = crowd.account_kubeconfig("default", "ca")
    begun = time.monotonic()
    ca = server(config=configuration(kubeconfig))
    wait_until(lambda: len(shown_everywhere(crowd)) >= NAMESPACES + 2, 120, ca.log)
    took = time.monotonic() - begun
    print(f"{NAMESPACES} namespaces after {took:.1f} s")
    assert took <= 10, f"{took:.1f} s"
    assert len(set(shown_everywhere(crowd).values())) == 1
    # The audit log counts what it took: one list and one write a namespace, and nothing again.
    calls = crowd.calls("system:serviceaccount:default:ca")
    writes = [call for call in calls if call.verb == "patch" and call.resource == "configmaps"]
    assert len(writes) <= NAMESPACES + 20, len(writes)

    # The API server is killed in the middle of a new publication, and all is made good when it is back.
    ca.cli("root", "prepare")
    crowd.kill_api_server()
    wait_until(lambda: facts(ca)[f"published ConfigMap {CONFIG_MAP}"]["state"] != "ok", 60, ca.log)
    assert ca.cli("status").returncode == 0
    crowd.start_api_server()
    back = time.monotonic()
    wait_until(lambda: all(text.count("BEGIN CERTIFICATE") == 2 for text in shown_everywhere(crowd).values()), 120, ca.log)
    print(f"all caught up {time.monotonic() - back:.1f} s after the API server was back")


def test_without_any_right_each_is_named_and_the_server_serves_all_the_same(server, cluster, account):
    ca = server(config=configuration(account(rules=[])))
    what = lambda: json.dumps(facts(ca)[f"published ConfigMap {CONFIG_MAP}"])  # noqa: E731
    wait_until(lambda: "add this rule" in what(), 60, what)
    assert ca.cli("status").returncode == 0
    ca.cli("root", "prepare")
    assert f"every ConfigMap {CONFIG_MAP}" in ca.cli("subscriber", "list").stdout


def test_a_kubeconfig_that_leads_nowhere_says_so(server, cluster, account, tmp_path):
    config = json.loads(account().read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    path.chmod(0o600)
    ca = server(config=configuration(path))
    what = lambda: json.dumps(facts(ca)[f"published ConfigMap {CONFIG_MAP}"])  # noqa: E731
    wait_until(lambda: "https://127.0.0.1:1" in what(), 60, what)
