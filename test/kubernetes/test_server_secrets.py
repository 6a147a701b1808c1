"""istiod's certificate in a Secret: made, kept, repaired, renewed by nobody who shows it, and brought through a rotation."""

import base64
import json
import subprocess
import time

import pytest
from background import wait_until
from cluster_rights import TOKENS, WRITING, config_map
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from istio_authority import IstioAuthority
from rotation import rotate, seconds, status

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1200)]

NAME = "istiod-tls"
RIGHTS = TOKENS + WRITING + config_map("istio-ca-root-cert")
OF_THE_SECRET = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [NAME],
                  "verbs": ["list", "watch", "create", "patch"]}]
FAST = ("--rotation-skew", "0s", "--rotation-settle", "300ms")


@pytest.fixture
def kubeconfig(cluster, namespace):
    """Of a service account with the rights of the chart."""
    cluster.create_account(namespace, "ca", rules=RIGHTS, namespace_rules=OF_THE_SECRET)
    return cluster.account_kubeconfig(namespace, "ca")


def configuration(kubeconfig, namespace):
    return f"""
kubernetes:
  kubeconfig: {kubeconfig}
  roots_config_map: {{name: istio-ca-root-cert, namespaces: [{namespace}]}}
  mount_delay: 1s
  server_secrets:
  - namespace: {namespace}
    name: {NAME}
    service_account: istiod
    dns_names: {json.dumps(dns_names(namespace))}
    pods: app=istiod
"""


def dns_names(namespace):
    return [f"{name}.{namespace}.svc" for name in ("istiod", "istiod-remote", "istio-pilot")]


def secret(cluster, namespace):
    """What stands in it, by its keys, as text; None: it is not there."""
    found = cluster.admin.list("v1/Secret", namespace, fieldSelector=f"metadata.name={NAME}")
    return {key: base64.b64decode(value).decode() for key, value in found[0].get("data", {}).items()} if found else None


def chain_of(content):
    return x509.load_pem_x509_certificates(content["tls.crt"].encode())


def is_whole(content):
    return bool(content) and {"tls.crt", "tls.key", "ca.crt"} <= set(content) and "BEGIN CERTIFICATE" in content["tls.crt"]


def fact(ca, namespace):
    facts = json.loads(ca.cli("check", "-o", "json", check=False).stdout)["facts"]
    return next(one for one in facts if one["name"] == f"published Secret {namespace}/{NAME}")


def made(ca, cluster, namespace):
    """The content of the Secret, once it is as it is to be."""
    wait_until(lambda: fact(ca, namespace)["state"] == "ok", 60, lambda: json.dumps(fact(ca, namespace)) + ca.log())
    return secret(cluster, namespace)


def verified_by_openssl(content, folder, host):
    """What openssl says of the chain by the roots beside it, as of a server by that name."""
    for key in ("tls.crt", "ca.crt"):
        (folder / key).write_text(content[key], encoding="ascii")
    ran = subprocess.run(["openssl", "verify", "-purpose", "sslserver", "-verify_hostname", host, "-CAfile", folder / "ca.crt",
                          "-untrusted", folder / "tls.crt", folder / "tls.crt"], capture_output=True, text=True, check=False)
    return ran.returncode == 0, ran.stdout + ran.stderr


def test_the_secret_is_made_kept_and_repaired(server, cluster, kubeconfig, namespace, tmp_path):
    ca = server(config=configuration(kubeconfig, namespace))
    content = made(ca, cluster, namespace)
    whole = cluster.admin.get("v1/Secret", NAME, namespace)
    assert whole["type"] == "kubernetes.io/tls"
    assert whole["metadata"]["managedFields"][0]["manager"] == "meshca"
    for host in dns_names(namespace):
        assert verified_by_openssl(content, tmp_path, host) == (True, f"{tmp_path}/tls.crt: OK\n")
    assert not verified_by_openssl(content, tmp_path, f"other.{namespace}.svc")[0]
    assert content["ca.crt"] == ca.root_pem
    leaf = chain_of(content)[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://cluster.local/ns/{namespace}/sa/istiod"]
    key = serialization.load_pem_private_key(content["tls.key"].encode(), None)
    assert key.public_key() == leaf.public_key()

    # Somebody edits one part, all of it, or deletes it: the same certificate is there again.
    for change in ({"tls.key": base64.b64encode(b"another").decode()}, {"ca.crt": ""}, {"tls.crt": "", "tls.key": "", "ca.crt": ""}):
        cluster.admin.patch("v1/Secret", NAME, {"data": change}, namespace)
        wait_until(lambda: secret(cluster, namespace) == content, 60, ca.log)
    cluster.admin.delete("v1/Secret", NAME, namespace)
    wait_until(lambda: secret(cluster, namespace) == content, 60, ca.log)
    # It says since when one has been there, which is not taken away either.
    marks = lambda: {key: cluster.admin.get("v1/Secret", NAME, namespace)["metadata"].get(key) for key in ("annotations", "labels")}  # noqa: E731
    kept = {"annotations": {"meshca.io/there-since": whole["metadata"]["creationTimestamp"]},
            "labels": {"app.kubernetes.io/managed-by": "meshca"}}
    cluster.admin.patch("v1/Secret", NAME, {"metadata": {"annotations": None, "labels": None}}, namespace)
    wait_until(lambda: marks() == kept, 60, lambda: json.dumps(marks()) + ca.log())

    # A restart changes nothing of it.
    wait_until(lambda: fact(ca, namespace)["state"] == "ok", 60, ca.log)
    version = cluster.admin.get("v1/Secret", NAME, namespace)["metadata"]["resourceVersion"]
    ca.restart()
    made(ca, cluster, namespace)
    assert cluster.admin.get("v1/Secret", NAME, namespace)["metadata"]["resourceVersion"] == version
    # Nor does what somebody puts beside the certificate while no server looks: it goes, and the certificate stays.
    ca.terminate()
    beside = base64.b64encode((content["tls.crt"] + IstioAuthority("stranger").pem).encode()).decode()
    cluster.admin.patch("v1/Secret", NAME, {"data": {"tls.crt": beside}}, namespace)
    ca.start()
    wait_until(lambda: secret(cluster, namespace) == content, 60, ca.log)
    records = [one for one in json.loads(ca.cli("cert", "list", "-o", "json").stdout) if one["spiffe_id"].endswith("/sa/istiod")]
    assert len(records) == 1, records
    metrics = ca.get("/metrics")
    assert f'meshca_kubernetes_published_objects_behind{{object="Secret {namespace}/{NAME}"}} 0' in metrics
    assert "meshca_kubernetes_server_certificate_expiry_timestamp_seconds{" in metrics
    # Nothing of the key is told to anybody else.
    secrets_of_the_key = [line for line in content["tls.key"].splitlines() if "-----" not in line]
    for told in (ca.log(), metrics, json.dumps(records), ca.cli("subscriber", "list", "-o", "json").stdout):
        assert not any(line in told for line in secrets_of_the_key)


def test_a_rotation_brings_the_roots_first_and_then_a_new_certificate(server, cluster, kubeconfig, namespace, tmp_path):
    ca = server(*FAST, config=configuration(kubeconfig, namespace))
    before = made(ca, cluster, namespace)

    ca.cli("root", "prepare")
    # Both roots, and beside them a certificate of the old one that has whoever reads it look at them.
    wait_until(lambda: secret(cluster, namespace)["ca.crt"].count("BEGIN CERTIFICATE") == 2
               and secret(cluster, namespace)["tls.crt"] != before["tls.crt"], 60, ca.log)
    assert chain_of(secret(cluster, namespace))[-1] == chain_of(before)[-1]
    assert f"Secret {namespace}/{NAME}" in ca.cli("subscriber", "list", "-o", "json").stdout

    # To its end, though the certificate of before lives for another day.
    rotate(ca, timeout=120)
    assert status(ca)["step"] == "done"
    wait_until(lambda: secret(cluster, namespace)["ca.crt"] == ca.root_pem, 60, ca.log)
    after = made(ca, cluster, namespace)
    assert after["ca.crt"] == ca.root_pem and after["ca.crt"] not in before["ca.crt"]
    assert chain_of(after)[0].public_key() != chain_of(before)[0].public_key()
    assert verified_by_openssl(after, tmp_path, dns_names(namespace)[0]) == (True, f"{tmp_path}/tls.crt: OK\n")


def test_a_right_that_is_missing_is_named_with_the_rule_to_add(server, cluster, namespace):
    cluster.create_account(namespace, "ca", rules=RIGHTS)
    ca = server(*FAST, config=configuration(cluster.account_kubeconfig(namespace, "ca"), namespace))

    def role(*verbs):
        rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [NAME], "verbs": list(verbs)}]
        metadata = {"name": "secrets", "namespace": namespace}
        rbac = "rbac.authorization.k8s.io"
        cluster.admin.apply({"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": rules})
        cluster.admin.apply({"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": metadata,
                             "subjects": [{"kind": "ServiceAccount", "name": "ca", "namespace": namespace}],
                             "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "secrets"}})

    def rule(verbs):
        return (f"add this rule to a Role in namespace {namespace}: "
                f'{{apiGroups: [""], resources: [secrets], resourceNames: ["{NAME}"], verbs: [{verbs}]}}')

    wait_until(lambda: rule("list") in fact(ca, namespace)["detail"], 60, lambda: json.dumps(fact(ca, namespace)))
    assert fact(ca, namespace)["state"] == "failed"
    # It holds a rotation up, by its name.
    ca.cli("root", "prepare")
    wait_until(lambda: rule("list") in json.dumps(status(ca)["laggards"]).replace('\\"', '"'), 60, lambda: json.dumps(status(ca)))
    role("list", "watch")
    wait_until(lambda: rule("create, patch") in fact(ca, namespace)["detail"], 60, lambda: json.dumps(fact(ca, namespace)))
    role("list", "watch", "create", "patch")
    assert is_whole(made(ca, cluster, namespace))
    rotate(ca, timeout=120)


def test_a_namespace_that_is_missing_is_named_and_holds_nothing_up(server, cluster, kubeconfig, namespace):
    late = f"{namespace}-late"
    # Rights for it there can be only once it is there.
    everywhere = {**OF_THE_SECRET[0], "verbs": ["list", "watch", "create", "patch"]}
    cluster.create_account(namespace, "everywhere", rules=[*RIGHTS, everywhere])
    ca = server(*FAST, config=configuration(cluster.account_kubeconfig(namespace, "everywhere"), late))
    wait_until(lambda: f"namespace {late} does not exist: create it" in fact(ca, late)["detail"], 60,
               lambda: json.dumps(fact(ca, late)))
    rotate(ca, timeout=120)
    cluster.create_namespace(late)
    content = made(ca, cluster, late)
    assert content["ca.crt"] == ca.root_pem


def test_whoever_reads_the_secret_cannot_renew_by_it(server, cluster, kubeconfig, namespace, tmp_path):
    ca = server(config=configuration(kubeconfig, namespace))
    content = made(ca, cluster, namespace)
    for name, key in (("chain.pem", "tls.crt"), ("key.pem", "tls.key"), ("root-cert.pem", "ca.crt")):
        (tmp_path / name).write_text(content[key], encoding="ascii")
        (tmp_path / name).chmod(0o600)
    asked = ca.cli("request", f"spiffe://cluster.local/ns/{namespace}/sa/istiod", "--server", ca.grpc, "--cert", tmp_path / "chain.pem",
                   "--key", tmp_path / "key.pem", "--out-dir", tmp_path / "renewed", check=False)
    assert asked.returncode != 0
    assert "meshca publishes it and renews it by itself" in asked.stderr, asked.stderr


def test_a_server_that_started_before_its_secret_is_named_until_it_is_restarted(server, cluster, kubeconfig, namespace):
    kubelet = cluster.start_kubelet("node-of-istiod")
    early = cluster.create_pod(namespace, "istiod-1", labels={"app": "istiod"}, node=kubelet.name)
    running = cluster.wait_for_phase(early, "Running")
    since = max(seconds(each["state"]["running"]["startedAt"]) for each in running["status"]["containerStatuses"])
    # Kubernetes writes whole seconds.
    wait_until(lambda: time.time() > since + 1, 60, "another second")
    ca = server(config=configuration(kubeconfig, namespace))
    restart = f"kubectl -n {namespace} delete pod/istiod-1"
    wait_until(lambda: fact(ca, namespace)["mend"] == restart, 60, lambda: json.dumps(fact(ca, namespace)) + ca.log())
    assert fact(ca, namespace)["state"] == "warning"
    cluster.admin.delete("v1/Pod", "istiod-1", namespace)
    cluster.create_pod(namespace, "istiod-2", labels={"app": "istiod"}, node=kubelet.name)
    wait_until(lambda: fact(ca, namespace)["state"] == "ok", 100, lambda: json.dumps(fact(ca, namespace)))
