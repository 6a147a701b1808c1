"""A CA out of a Secret of the real API server, and one that goes back into a Secret there."""

import base64
import json

import certificates
import pytest
from background import wait_until
from istio_authority import IstioAuthority

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]

# istiod's type of its own root's Secret; `cacerts` is made by people, with kubectl's.
TYPES = {"istio-ca-secret": "istio.io/ca-root", "cacerts": "Opaque"}


def create_secret(cluster, namespace, name, files):
    data = {key: base64.b64encode(text.encode()).decode() for key, text in files.items()}
    cluster.admin.create({"apiVersion": "v1", "kind": "Secret", "type": TYPES[name], "data": data,
                          "metadata": {"name": name, "namespace": namespace}})


def importer(cluster, namespace, secret):
    """A kubeconfig of an account that may read this one Secret."""
    cluster.create_account(namespace, "importer", namespace_rules=[
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret], "verbs": ["get"]}])
    return cluster.account_kubeconfig(namespace, "importer")


def import_secret(ca, secret, kubeconfig, check=True):
    return ca.cli("root", "import", "--from-kubernetes", secret, "--kubeconfig", kubeconfig, check=check)


def issuing_id(ca):
    return json.loads(ca.cli("status", "-o", "json").stdout)["issuing"]["id"]


def test_istiods_own_root_with_the_right_to_one_secret_alone(server, cluster, namespace, tmp_path):
    istiod = IstioAuthority()
    create_secret(cluster, namespace, "istio-ca-secret", istiod.istio_ca_secret())
    ca = server()
    import_secret(ca, f"{namespace}/istio-ca-secret", importer(cluster, namespace, "istio-ca-secret"))
    assert ca.root_pem == istiod.pem
    ca.cli("request", "spiffe://cluster.local/ns/a/sa/b", "--out-dir", tmp_path)
    chain = certificates.load_all((tmp_path / "cert-chain.pem").read_bytes())
    chain[-1].verify_directly_issued_by(istiod.certificate)

    def calls():
        return [(call.verb, call.resource, call.name, call.code)
                for call in cluster.calls(f"system:serviceaccount:{namespace}:importer")]
    wait_until(calls, 60, "the audit log's line")
    assert calls() == [("get", "secrets", "istio-ca-secret", 200)]


def test_cacerts_goes_from_one_ca_to_another_by_its_secret(server, cluster, namespace):
    """What `root export` prints is an object that the API server takes, and a set that an import takes."""
    leaving, coming = server(), server()
    cluster.admin.create(json.loads(leaving.cli("root", "export", "--as-secret", f"{namespace}/cacerts").stdout))
    import_secret(coming, f"{namespace}/cacerts", importer(cluster, namespace, "cacerts"))
    assert coming.root_pem == leaving.root_pem
    (exported,) = [row["id"] for row in json.loads(leaving.cli("root", "show", "-o", "json").stdout)["authorities"]
                   if row["exported"]]
    assert issuing_id(coming) == exported


def test_a_right_that_is_missing_is_named_and_nothing_changes(server, cluster, namespace):
    create_secret(cluster, namespace, "istio-ca-secret", IstioAuthority().istio_ca_secret())
    ca = server()
    before = ca.root_pem
    # A right to another Secret is none to this one.
    refused = import_secret(ca, f"{namespace}/istio-ca-secret", importer(cluster, namespace, "cacerts"), check=False)
    assert refused.returncode == 1
    assert f"system:serviceaccount:{namespace}:importer" in refused.stderr, refused.stderr
    rule = '{apiGroups: [""], resources: [secrets], resourceNames: ["istio-ca-secret"], verbs: [get]}'
    assert f"add this rule to a Role in namespace {namespace}: {rule}" in refused.stderr, refused.stderr
    missing = import_secret(ca, f"{namespace}/cacerts", cluster.kubeconfig(), check=False)
    assert missing.returncode == 1 and 'secrets "cacerts" not found' in missing.stderr, missing.stderr
    assert ca.root_pem == before
