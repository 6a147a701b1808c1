"""What people find about their objects in the cluster: Events, as `kubectl describe` looks for them."""

import pytest
from background import wait_until
from pod_certificates import REQUEST, RIGHTS, answered, pod_of
from published_roots import CONFIG_MAP, lease, published

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]


def events_of(cluster, thing):
    """Those that `kubectl describe` shows of the object, {reason: event}; it looks in the core group, by the object's uid."""
    metadata = thing["metadata"]
    selector = f"involvedObject.uid={metadata['uid']},involvedObject.name={metadata['name']}"
    return {event["reason"]: event for event in cluster.admin.list("v1/Event", metadata.get("namespace", "default"),
                                                                   fieldSelector=selector)}


def test_a_denied_request_is_told_on_itself_and_on_its_pod(ca, cluster, kubelet, namespace):
    pod = pod_of(cluster, namespace, kubelet.name, "p521", "ECDSAP521")
    made = wait_until(lambda: cluster.admin.list(REQUEST, namespace), 60, "the request")[0]
    assert answered(cluster, namespace, made["metadata"]["name"])["type"] == "Denied"
    for thing in (made, pod):
        event = wait_until(lambda: events_of(cluster, thing).get("PodCertificateDenied"), 60, ca.log)  # noqa: B023
        assert event["type"] == "Warning" and event["reportingComponent"] == "meshca.io/meshca", event
        assert "UnsupportedKeyType" in event["message"] and "ECDSAP256" in event["message"], event
    cluster.admin.delete("v1/Pod", "p521", namespace, at_once=True)


def test_the_steps_of_a_rotation_are_told_on_the_lease(ca, cluster):
    name = f"meshca-{ca.trust_domain}"
    wait_until(lambda: "LeaseTaken" in events_of(cluster, lease(cluster, name)), 60, ca.log)
    ca.cli("root", "prepare")
    wait_until(lambda: "RootRotationDistribute" in events_of(cluster, lease(cluster, name)), 60, ca.log)
    ca.cli("root", "rotate", timeout=120)
    wait_until(lambda: "RootRotationDone" in events_of(cluster, lease(cluster, name)), 60, ca.log)
    event = events_of(cluster, lease(cluster, name))["RootRotationDone"]
    assert event["type"] == "Normal" and "rotation 1 of the root" in event["message"], event
    assert 'meshca_kubernetes_events_dropped_total 0' in ca.get("/metrics")


def test_an_object_that_somebody_else_writes_too_is_told_once_with_a_number(server, cluster, namespace):
    cluster.create_account(namespace, "ca", rules=[*RIGHTS, {"apiGroups": [""], "resources": ["configmaps"],
                                                             "verbs": ["list", "watch", "create", "patch"]}])
    config = f"""
kubernetes:
  kubeconfig: {cluster.account_kubeconfig(namespace, "ca")}
  roots_config_map: {{name: {CONFIG_MAP}, namespaces: [{namespace}]}}
"""
    server_ = server("--trust-domain", "contested.test", config=config)
    wait_until(lambda: published(cluster, namespace) == server_.root_pem, 60, server_.log)
    edited = 0

    def counted():
        """Somebody edits it whenever it is as it should be; the Event that has come to count that."""
        nonlocal edited
        if published(cluster, namespace) == server_.root_pem:
            edited += 1
            cluster.admin.patch("v1/ConfigMap", CONFIG_MAP, {"data": {"root-cert.pem": f"a stranger's {edited}"}}, namespace)
        event = events_of(cluster, cluster.admin.get("v1/ConfigMap", CONFIG_MAP, namespace)).get("RootsContested")
        return event if event and event.get("series") else None

    event = wait_until(counted, 120, server_.log)
    assert event["series"]["count"] >= 2 and "managedFields" in event["message"], event
    events = cluster.admin.list("v1/Event", namespace, fieldSelector="reason=RootsContested")
    assert len(events) == 1, events


def test_without_the_right_nothing_else_is_amiss(server, cluster, namespace):
    rules = [*(rule for rule in RIGHTS if rule.get("resources") != ["events"]),
             {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch", "create", "patch"]}]
    cluster.create_account(namespace, "ca", rules=rules)
    server_ = server("--trust-domain", "silent.test", config=f"""
kubernetes:
  kubeconfig: {cluster.account_kubeconfig(namespace, "ca")}
  roots_config_map: {{name: {CONFIG_MAP}, namespaces: [{namespace}]}}
""")
    wait_until(lambda: published(cluster, namespace) == server_.root_pem, 60, server_.log)
    wait_until(lambda: "meshca_kubernetes_events_dropped_total 1" in server_.get("/metrics"), 60, server_.log)
    assert server_.log().count("no events are written in the cluster") == 1
    assert server_.cli("check", check=False).returncode == 0


def test_they_can_be_turned_off(server, cluster, namespace):
    cluster.create_account(namespace, "ca", rules=[*RIGHTS, {"apiGroups": [""], "resources": ["configmaps"],
                                                             "verbs": ["list", "watch", "create", "patch"]}])
    server_ = server("--trust-domain", "quiet.test", config=f"""
kubernetes:
  kubeconfig: {cluster.account_kubeconfig(namespace, "ca")}
  roots_config_map: {{name: {CONFIG_MAP}, namespaces: [{namespace}]}}
  events: false
""")
    wait_until(lambda: published(cluster, namespace) == server_.root_pem, 60, server_.log)
    assert "meshca_kubernetes_events" not in server_.get("/metrics")
    assert events_of(cluster, lease(cluster, "meshca-quiet.test")) == {}
