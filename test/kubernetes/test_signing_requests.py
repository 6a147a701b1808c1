"""CertificateSigningRequests on a real API server: by whom they are approved, what is signed, what is refused, rights, a kill."""

import base64
import json
import subprocess

import certificates
import pytest
from background import wait_until
from cluster_rights import TOKENS, WRITING
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1200)]

SIGNER = "meshca.io/workload"
KIND = "certificates.k8s.io/v1/CertificateSigningRequest"
FACT = "certificate signing requests"
REQUESTS = {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"]}
SIGN = {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [SIGNER], "verbs": ["sign", "approve"]}
RIGHTS = TOKENS + WRITING + [
    {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests"], "verbs": ["get", "list", "watch"]},
    {**REQUESTS, "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["certificates.k8s.io"], "verbs": ["patch"],
     "resources": ["certificatesigningrequests/approval", "certificatesigningrequests/status"]},
    SIGN,
]
ASKS = {**REQUESTS, "verbs": ["create", "get", "watch", "list", "delete"]}
# What istiod's chart gives to an istiod that asks for its proxies.
OF_A_REGISTRATION_AUTHORITY = [
    ASKS, {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"], "verbs": ["update"]},
    {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [SIGNER], "verbs": ["approve"]}]
USAGES = ["digital signature", "key encipherment", "server auth", "client auth"]


@pytest.fixture(scope="module")
def kubeconfig(cluster):
    """Of a service account with the rights of the chart."""
    cluster.create_account("default", "ca", rules=RIGHTS)
    return cluster.account_kubeconfig("default", "ca")


def configuration(kubeconfig, more=""):
    return f"""
kubernetes:
  kubeconfig: {kubeconfig}
  signer: {SIGNER}
{more}"""


@pytest.fixture
def ca(server, kubeconfig):
    return server(config=configuration(kubeconfig))


def fact(ca):
    facts = json.loads(ca.cli("check", "-o", "json", check=False).stdout)["facts"]
    return next(each for each in facts if each["name"] == FACT)


def records(ca):
    return [each for each in json.loads(ca.cli("cert", "list", "-o", "json").stdout)
            if each["auth_method"] == "certificate-signing-request"]


def asked_for(key, uri, usages=USAGES, **spec):
    pkcs10 = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "cluster.local")])).add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True).sign(key, hashes.SHA256())
    pem = pkcs10.public_bytes(serialization.Encoding.PEM)
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"generateName": "csr-workload-"},
            "spec": {"request": base64.b64encode(pem).decode(), "signerName": SIGNER, "usages": list(usages), **spec}}


def status_of(cluster, name):
    return cluster.admin.get(KIND, name).get("status", {})


def types(status):
    return [each["type"] for each in status.get("conditions", [])]


def signed(cluster, name, ca):
    """The chain, once it is there."""
    thing = cluster.admin.wait_for(KIND, name, lambda now: now and now.get("status", {}).get("certificate"), what=ca.log)
    return base64.b64decode(thing["status"]["certificate"])


def refused(cluster, name):
    """The condition that says why nothing is signed."""
    said = lambda now: now and set(types(now.get("status", {}))) & {"Denied", "Failed"}  # noqa: E731
    thing = cluster.admin.wait_for(KIND, name, said)
    assert "certificate" not in thing["status"]
    return thing["status"]["conditions"][-1]


def verified_by_openssl(ca, pem, folder):
    roots, chain = folder / "roots.pem", folder / "chain.pem"
    roots.write_text(ca.cli("bundle", "show", "--format", "pem").stdout, encoding="ascii")
    chain.write_bytes(pem)
    return subprocess.run(["openssl", "verify", "-purpose", "sslserver", "-no-CAfile", "-no-CApath", "-CAfile", roots, "-untrusted",
                           chain, chain], capture_output=True, text=True, check=False)


def approve(api, name):
    """As istiod and kubectl do it: the object as it was read, with a condition more, by an update."""
    thing = api.get(KIND, name)
    thing["status"]["conditions"] = [*thing["status"].get("conditions", []), {
        "type": "Approved", "status": "True", "reason": "approved", "message": f"CSR ({name}) for the certificate () is approved"}]
    return api.replace(thing, "approval")


@pytest.fixture
def front(cluster, namespace):
    """A service account that may make requests; what it is called in a mesh."""
    cluster.create_account(namespace, "front", rules=[ASKS])
    return f"spiffe://cluster.local/ns/{namespace}/sa/front"


def test_a_service_account_gets_its_own_identity(ca, cluster, namespace, front, tmp_path):
    key = certificates.new_key()
    name = cluster.as_account(namespace, "front").create(asked_for(key, front, expirationSeconds=3600))["metadata"]["name"]
    pem = signed(cluster, name, ca)
    done = verified_by_openssl(ca, pem, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    chain = certificates.load_all(pem)
    assert len(chain) == 2
    assert certificates.spiffe_ids(chain[0]) == [front] and chain[0].public_key() == key.public_key()
    life = (chain[0].not_valid_after_utc - chain[0].not_valid_before_utc).total_seconds()
    assert 3600 <= life <= 3600 + 600
    assert types(status_of(cluster, name)) == ["Approved"]
    assert "whose it is" in status_of(cluster, name)["conditions"][0]["message"]
    record = next(each for each in records(ca) if each["serial"] == certificates.serial_hex(chain[0]))
    assert record["caller"] == f"user system:serviceaccount:{namespace}:front"
    metrics = ca.get("/metrics")
    assert "meshca_kubernetes_signing_certificates_issued_total 1" in metrics
    assert fact(ca)["state"] == "ok", fact(ca)


def test_istiod_as_registration_authority_approves_what_it_asks_for(ca, cluster, namespace, front, tmp_path):
    """What security/pkg/k8s/chiron of istio does: create, approve by an update of what was answered, wait for the certificate."""
    cluster.create_account(namespace, "istiod", rules=OF_A_REGISTRATION_AUTHORITY)
    istiod = cluster.as_account(namespace, "istiod")
    key = rsa.generate_private_key(65537, 2048)
    made = istiod.create(asked_for(key, front, expirationSeconds=86400))
    made["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "approved", "message": "approved"}]}
    # Nothing was written to it meanwhile: an update of what was answered is not refused.
    istiod.replace(made, "approval")
    pem = signed(cluster, made["metadata"]["name"], ca)
    done = verified_by_openssl(ca, pem, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert certificates.spiffe_ids(certificates.load_all(pem)[0]) == [front]
    assert records(ca)[0]["caller"] == f"user system:serviceaccount:{namespace}:istiod"
    istiod.delete(KIND, made["metadata"]["name"])


def test_a_stranger_waits_for_an_approval_and_is_named(ca, cluster, namespace, front):
    cluster.create_account(namespace, "stranger", rules=[ASKS])
    name = cluster.as_account(namespace, "stranger").create(asked_for(certificates.new_key(), front))["metadata"]["name"]
    wait_until(lambda: "1 not approved" in fact(ca)["detail"], 60, lambda: json.dumps(fact(ca)))
    detail = fact(ca)["detail"]
    assert f"CertificateSigningRequest {name} of system:serviceaccount:{namespace}:stranger" in detail
    assert f"the identity of {namespace}/front" in detail and f"kubectl certificate approve {name}" in detail, detail
    assert "meshca_kubernetes_signing_requests_unapproved 1" in ca.get("/metrics")
    assert status_of(cluster, name) == {} and not records(ca)

    approve(cluster.admin, name)
    signed(cluster, name, ca)
    wait_until(lambda: "not approved" not in fact(ca)["detail"], 60, lambda: json.dumps(fact(ca)))


def test_a_trusted_requester_is_approved_for_any_account(server, cluster, kubeconfig, namespace, front):
    user = f"system:serviceaccount:{namespace}:ra"
    ca = server(config=configuration(kubeconfig, f"  signer_trusted_requesters: ['{user}']\n"))
    cluster.create_account(namespace, "ra", rules=[ASKS])
    name = cluster.as_account(namespace, "ra").create(asked_for(certificates.new_key(), front))["metadata"]["name"]
    signed(cluster, name, ca)
    assert status_of(cluster, name)["conditions"][0]["reason"] == "TrustedRequester"


def test_what_nobody_gets_is_refused_with_a_reason(ca, cluster, namespace, front):
    api = cluster.as_account(namespace, "front")
    key = certificates.new_key()
    for uri, usages, reason in (("spiffe://other.test/ns/a/sa/b", USAGES, "NoIdentity"),
                                ("spiffe://cluster.local/meshca/server", USAGES, "NoIdentity"),
                                (front, [*USAGES, "cert sign"], "UsageNotAllowed")):
        condition = refused(cluster, api.create(asked_for(key, uri, usages))["metadata"]["name"])
        assert (condition["type"], condition["reason"]) == ("Denied", reason), condition
        assert condition["message"]
    assert not records(ca)


def test_what_is_approved_and_cannot_be_signed_fails_with_a_reason(server, cluster, kubeconfig, namespace):
    """It is approved before there is a server that could refuse it."""
    uri = f"spiffe://cluster.local/ns/{namespace}/sa/front/more"
    name = cluster.admin.create(asked_for(certificates.new_key(), uri))["metadata"]["name"]
    others = cluster.admin.create(asked_for(certificates.new_key(), uri, signerName="meshca.io/other"))["metadata"]["name"]
    for each in (name, others):
        approve(cluster.admin, each)
    server(config=configuration(kubeconfig))
    condition = refused(cluster, name)
    assert (condition["type"], condition["reason"]) == ("Failed", "NoIdentity"), condition
    assert types(status_of(cluster, name)) == ["Approved", "Failed"]
    assert types(status_of(cluster, others)) == ["Approved"], "it is another signer's"


def test_an_account_that_is_not_known_is_waited_for(ca, cluster, namespace):
    uri = f"spiffe://cluster.local/ns/{namespace}/sa/nobody"
    name = cluster.admin.create(asked_for(certificates.new_key(), uri))["metadata"]["name"]
    approve(cluster.admin, name)
    wait_until(lambda: f"no service account {namespace}/nobody is known" in fact(ca)["detail"], 60, lambda: json.dumps(fact(ca)))
    assert types(status_of(cluster, name)) == ["Approved"], "it may be made yet"
    cluster.create_account(namespace, "nobody")
    signed(cluster, name, ca)


def test_a_right_that_is_missing_is_named_and_a_kill_between_record_and_answer_loses_nothing(server, cluster, namespace, front):
    cluster.create_account("default", "no-signer", rules=[rule for rule in RIGHTS if rule is not SIGN])
    config = configuration(cluster.account_kubeconfig("default", "no-signer"))
    ca = server(config=config)
    name = cluster.as_account(namespace, "front").create(asked_for(certificates.new_key(), front))["metadata"]["name"]
    wait_until(lambda: "not permitted to approve" in fact(ca)["detail"], 60, lambda: json.dumps(fact(ca)) + ca.log())
    assert fact(ca)["state"] == "warning" and "signers" in fact(ca)["detail"], fact(ca)
    assert not records(ca)
    approve(cluster.admin, name)
    wait_until(lambda: records(ca), 60, ca.log)
    wait_until(lambda: "not permitted to sign" in fact(ca)["detail"], 60, lambda: json.dumps(fact(ca)) + ca.log())
    assert types(status_of(cluster, name)) == ["Approved"], "a right that is missing is no answer"
    ca.kill()

    role = cluster.admin.get("rbac.authorization.k8s.io/v1/ClusterRole", "default-no-signer")
    cluster.admin.replace({**role, "rules": RIGHTS})
    again = server(config=config, state_dir=ca.state_dir)
    leaf = certificates.load_all(signed(cluster, name, again))[0]
    assert certificates.serial_hex(leaf) in [each["serial"] for each in records(again)]
    assert len(records(again)) <= 2
