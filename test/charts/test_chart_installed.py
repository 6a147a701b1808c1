"""The chart on a real Kubernetes API server: it takes every object, an installation works and goes away whole, the server's
account may do what it has to and nothing else, and nobody but a node gets a request for a pod's certificate through."""

import base64
import datetime
import json
import os
import pathlib
import re
import shutil
import tempfile
import urllib.request

import certificates
import image_root
import kubernetes_cluster
import pytest
import yaml
from background import Background, wait_until
from conftest import VALUES
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from helm import NAMESPACE, Helm, named
from image_root import ImageRoot, Volume
from kubernetes_api import ApiError

# The first test of a run builds Kubernetes' servers and Helm.
pytestmark = [pytest.mark.all_only, pytest.mark.timeout(2400)]

SIGNER = "meshca.io/workload"
POLICY = "meshca-pod-certificate-requests"
TAKES_HOLD_S = 10  # kPolicyTakesHold of ca/pod_certificates
REQUEST = "certificates.k8s.io/v1/PodCertificateRequest"
CSR = "certificates.k8s.io/v1/CertificateSigningRequest"
ISTIO = "istio-system"
MESH = "mesh-system"  # of values/everything.yaml
OTHER = "elsewhere"


@pytest.fixture(scope="module")
def cluster():
    made = kubernetes_cluster.KubernetesCluster(kubernetes_cluster.build(), pathlib.Path(tempfile.mkdtemp(prefix="k8s-")))
    try:
        made.start()
        for name in (NAMESPACE, ISTIO, MESH, OTHER):
            made.create_namespace(name)
        define_monitoring(made.admin)
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.folder)


def define_monitoring(admin):
    """Kinds of the Prometheus operator, by their names alone."""
    for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"):
        plural, group = kind.lower() + "s", "monitoring.coreos.com"
        admin.create({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                     "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                         "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}})
    wait_until(lambda: {"ServiceMonitor", "PodMonitor", "PrometheusRule"} <= {
        each["kind"] for each in served(admin, "/apis/monitoring.coreos.com/v1")}, 60, "the kinds are served")


def served(admin, path):
    try:
        return admin.call("GET", path)["resources"]
    except ApiError as error:
        if error.code not in (404, 503):
            raise
        return []


@pytest.fixture(scope="module")
def installer(helm_program, cluster, tmp_path_factory):
    return Helm(helm_program, tmp_path_factory.mktemp("helm"), cluster.kubeconfig())


@pytest.fixture(scope="module")
def installed(installer):
    """A release with everything that meshca does in a cluster, whose values those tests share that look at what it may do."""
    installer.install(VALUES["istio-with-signer"])
    yield "meshca"
    installer.run("uninstall", "meshca", "--namespace", NAMESPACE)


@pytest.fixture
def account(cluster, installed):
    """The API as the server of the release."""
    return cluster.as_account(NAMESPACE, installed)


def refusal(call):
    """The error of a call that has to be refused."""
    with pytest.raises(ApiError) as error:
        call()
    return error.value


@pytest.mark.parametrize("values", VALUES)
def test_the_api_server_takes_every_object(renderer, cluster, values):
    for thing in renderer.render(VALUES[values]):
        # Strict: a field that it does not know is an error, as a misspelt one in a manifest should be.
        cluster.admin.apply(thing, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize("values", ("agents", "everything"))
def test_a_release_is_installed_changed_and_gone(installer, cluster, values):
    release = f"try-{values}"
    installer.install(VALUES[values], release)
    try:
        manifests = installer.run("get", "manifest", release, "--namespace", NAMESPACE)
        installer.install(VALUES[values], release, verb="upgrade")
        assert installer.run("get", "manifest", release, "--namespace", NAMESPACE) == manifests
    finally:
        installer.run("uninstall", release, "--namespace", NAMESPACE)
    left = [thing for kind in ("v1/ConfigMap", "v1/Service", "v1/ServiceAccount", "apps/v1/StatefulSet",
                               "rbac.authorization.k8s.io/v1/ClusterRole", "rbac.authorization.k8s.io/v1/ClusterRoleBinding",
                               "rbac.authorization.k8s.io/v1/Role", "rbac.authorization.k8s.io/v1/RoleBinding",
                               "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy")
            for thing in cluster.admin.list(kind) if thing["metadata"].get("labels", {}).get(
                "app.kubernetes.io/instance") == release and "deletionTimestamp" not in thing["metadata"]]
    assert not left


def test_the_servers_pod_meets_the_strictest_standard_and_the_agents_says_what_it_needs(cluster, rendered):
    cluster.create_namespace("strict", **{"pod-security.kubernetes.io/enforce": "restricted"})
    for account in ("meshca", "meshca-agent"):
        cluster.create_account("strict", account)

    def create_pod_of(kind):
        template = named(rendered["agents"], kind)["spec"]["template"]
        spec = {**template["spec"], "volumes": [*template["spec"]["volumes"], *(
            {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
            for claim in named(rendered["agents"], kind)["spec"].get("volumeClaimTemplates", []))]}
        return cluster.admin.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": kind.lower(), "namespace": "strict"},
                                     "spec": spec}, dryRun="All")

    assert create_pod_of("StatefulSet")["spec"]["securityContext"]["runAsUser"] == 65532
    message = refusal(lambda: create_pod_of("DaemonSet")).message
    for reason in ("hostPID=true", "hostPath", "SYS_PTRACE", "runAsUser=0"):
        assert reason in message
    assert "privilege escalation" not in message.lower() and "seccomp" not in message.lower()


# What the server's account may do, by the calls that it makes.

def test_the_account_publishes_the_roots_in_every_namespace_and_no_other_config_map(account):
    def roots(name, namespace, text):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
                "data": {"root-cert.pem": text}}

    for namespace in (OTHER, "default", "kube-system"):
        account.apply(roots("istio-ca-root-cert", namespace, "one"), field_manager="meshca")
        account.apply(roots("istio-ca-root-cert", namespace, "two"), field_manager="meshca")
    seen = account.list("v1/ConfigMap", fieldSelector="metadata.name=istio-ca-root-cert")
    assert {each["metadata"]["namespace"] for each in seen} >= {OTHER, "default", "kube-system"}
    assert {each["data"]["root-cert.pem"] for each in seen} == {"two"}

    assert refusal(lambda: account.apply(roots("other", OTHER, "one"), field_manager="meshca")).code == 403
    assert refusal(lambda: account.list("v1/ConfigMap")).code == 403
    assert refusal(lambda: account.get("v1/ConfigMap", "kube-root-ca.crt", OTHER)).code == 403
    assert refusal(lambda: account.delete("v1/ConfigMap", "istio-ca-root-cert", OTHER)).code == 403


def test_the_account_publishes_one_trust_bundle(account):
    def bundle(name, signer):
        return {"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle", "metadata": {"name": name},
                "spec": {"signerName": signer, "trustBundle": root_certificate()}}

    istios = bundle("istio.io:istiod-ca:root-cert", "istio.io/istiod-ca")
    account.apply(istios, field_manager="meshca")
    account.apply(bundle("istio.io:istiod-ca:root-cert", "istio.io/istiod-ca"), field_manager="meshca")
    assert len(account.list("certificates.k8s.io/v1/ClusterTrustBundle",
                            fieldSelector="metadata.name=istio.io:istiod-ca:root-cert")) == 1
    assert refusal(lambda: account.apply(bundle("istio.io:istiod-ca:other", "istio.io/istiod-ca"))).code == 403
    assert refusal(lambda: account.apply(bundle("other.test:x:roots", "other.test/x"))).code == 403


def root_certificate():
    """A root of nobody's, PEM."""
    key = certificates.new_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test root")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256()))
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_the_account_keeps_the_secret_of_istiod_and_no_other(cluster, account):
    def secret(name, namespace):
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": {}}

    cluster.admin.create(secret("istio-ca-secret", ISTIO))
    # Not even the key that its own pod mounts: that one is the kubelet's to read.
    for name, namespace in (("meshca-kek", NAMESPACE), ("istio-ca-secret", ISTIO), ("istiod-tls", OTHER)):
        assert refusal(lambda name=name, namespace=namespace: account.get("v1/Secret", name, namespace)).code == 403
        assert refusal(lambda name=name, namespace=namespace: account.apply(secret(name, namespace))).code == 403
        assert refusal(lambda name=name, namespace=namespace: account.list(
            "v1/Secret", namespace, fieldSelector=f"metadata.name={name}")).code == 403
    assert refusal(lambda: account.list("v1/Secret", ISTIO)).code == 403
    assert refusal(lambda: account.list("v1/Secret", fieldSelector="metadata.name=istiod-tls")).code == 403
    account.apply(secret("istiod-tls", ISTIO), field_manager="meshca")
    assert [each["metadata"]["name"] for each in account.list("v1/Secret", ISTIO, fieldSelector="metadata.name=istiod-tls")] == [
        "istiod-tls"]
    assert refusal(lambda: account.delete("v1/Secret", "istiod-tls", ISTIO)).code == 403
    cluster.admin.delete("v1/Secret", "istiod-tls", ISTIO)


def test_the_account_knows_pods_and_tokens_and_changes_nothing_of_theirs(cluster, account):
    for kind in ("v1/Namespace", "v1/Pod", "v1/ServiceAccount"):
        assert account.list(kind) is not None
    since = account.call("GET", "/api/v1/pods", limit=1)["metadata"]["resourceVersion"]
    assert list(account.watch("v1/Pod", since, timeoutSeconds=1)) == []
    token = cluster.token(OTHER, "default")
    said = account.create({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
                           "spec": {"token": token, "audiences": ["istio-ca"]}})["status"]
    assert said["authenticated"] and said["user"]["username"] == f"system:serviceaccount:{OTHER}:default"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mine", "namespace": NAMESPACE},
           "spec": {"containers": [{"name": "main", "image": "registry.test/main:1"}]}}
    assert refusal(lambda: account.create(pod)).code == 403
    path = account.path("v1/ServiceAccount", OTHER, "default", "token")
    assert refusal(lambda: account.call("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                                                       "spec": {}})).code == 403


# Kubernetes' own certificate APIs.

@pytest.fixture(scope="module")
def node(cluster):
    return cluster.create_node("node-1")


@pytest.fixture(scope="module")
def pod(cluster, node):
    """A pod that lives, and has certificates of two signers in its volumes, which somebody else might want."""
    volumes = [{"name": name, "projected": {"sources": [{"podCertificate": {
        "signerName": signer, "keyType": "ECDSAP256", "credentialBundlePath": "svid.pem"}}]}}
        for name, signer in (("ours", SIGNER), ("others", "other.test/signer"))]
    made = cluster.create_pod(OTHER, "web", node=node["metadata"]["name"], volumes=volumes)
    yield made
    cluster.admin.delete("v1/Pod", "web", OTHER, at_once=True)


@pytest.fixture
def request_for(cluster, node, pod):
    """request_for(): what the kubelet of the pod's node would ask, with a key of the asker's."""
    account_uid = cluster.admin.get("v1/ServiceAccount", "default", OTHER)["metadata"]["uid"]

    def made(version="v1", signer=SIGNER, node_name=node["metadata"]["name"]):
        key = certificates.new_key()
        asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        proof = key.sign(pod["metadata"]["uid"].encode(), ec.ECDSA(hashes.SHA256()))
        words = {"v1": {"stubPKCS10Request": asked.public_bytes(serialization.Encoding.DER)},
                 "v1beta1": {"pkixPublicKey": public, "proofOfPossession": proof}}[version]
        return {"apiVersion": f"certificates.k8s.io/{version}", "kind": "PodCertificateRequest",
                "metadata": {"generateName": "web-", "namespace": OTHER},
                "spec": {"signerName": signer, "podName": "web", "podUID": pod["metadata"]["uid"],
                         "serviceAccountName": "default", "serviceAccountUID": account_uid, "nodeName": node_name,
                         "nodeUID": node["metadata"]["uid"], "maxExpirationSeconds": 3600,
                         **{name: base64.b64encode(value).decode() for name, value in words.items()}}}

    return made


def create(api, request):
    """As create() of KubernetesApi, for a name that the API server makes up."""
    return api.call("POST", api.path(f"{request['apiVersion']}/PodCertificateRequest", OTHER), request)


@pytest.fixture(scope="module")
def strangers(cluster):
    """Whoever may create requests and is no node: {who: the API as him}."""
    admin = cluster.admin
    rbac = "rbac.authorization.k8s.io"
    admin.create({"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": "requesters"}, "rules": [
        {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests"], "verbs": ["create"]}]})
    admin.create({"apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "requesters"},
                  "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "requesters"},
                  "subjects": [{"apiGroup": rbac, "kind": "Group", "name": "system:authenticated"}]})
    cluster.create_account(OTHER, "stranger")
    return {"a service account": cluster.as_account(OTHER, "stranger"), "the cluster's admin": admin,
            "of the nodes' group by another name": cluster.as_user("somebody", "system:nodes"),
            "of the node's name without its group": cluster.as_user("system:node:node-1", "other")}


def policy_holds(call):
    """A policy is looked at some moments after it was written."""
    def refused():
        try:
            call()
        except ApiError as error:
            return error.code in (403, 422) and "meshca.io/workload" in error.message
        return False
    wait_until(refused, 60, "the policy is looked at")


@pytest.mark.parametrize("version", ("v1", "v1beta1"))
@pytest.mark.parametrize("who", ("a service account", "the cluster's admin", "of the nodes' group by another name",
                                 "of the node's name without its group"))
def test_nobody_but_the_node_asks_for_the_certificate_of_a_live_pod(installed, strangers, request_for, who, version):
    api = strangers[who]
    policy_holds(lambda: create(api, request_for(version)))
    error = refusal(lambda: create(api, request_for(version)))
    assert "ValidatingAdmissionPolicy" in error.message and POLICY in error.message
    # It is the policy that refuses him: for another signer the same request gets through.
    assert create(api, request_for(version, signer="other.test/signer"))["metadata"]["name"]


def test_the_node_itself_asks_and_is_answered_by_the_account(cluster, installed, account, strangers, request_for):
    policy_holds(lambda: create(strangers["a service account"], request_for()))
    kubelet = cluster.as_user("system:node:node-1", "system:nodes")
    for version in ("v1", "v1beta1"):
        made = create(kubelet, request_for(version))
        name = made["metadata"]["name"]
        assert name in [each["metadata"]["name"] for each in account.list(REQUEST, fieldSelector=f"spec.signerName={SIGNER}")]
        request = account.get(REQUEST, name, OTHER)
        request["status"] = {"conditions": [{"type": "Denied", "status": "True", "reason": "UnsupportedKeyType",
                                             "message": "ec-p384", "lastTransitionTime": made["metadata"]["creationTimestamp"]}]}
        answered = account.replace(request, "status")
        assert answered["status"]["conditions"][0]["reason"] == "UnsupportedKeyType"
    other = create(kubelet, request_for(signer="other.test/signer"))
    other["status"] = request["status"]
    assert "not permitted" in refusal(lambda: account.replace(other, "status")).message
    assert refusal(lambda: create(account, request_for())).code == 403


def test_a_node_asks_for_its_own_pods_alone(cluster, installed, request_for):
    cluster.create_node("node-2")
    kubelet = cluster.as_user("system:node:node-2", "system:nodes")
    # The API server's own judgement comes first here: it knows where the pod runs.
    for node_name in ("node-1", "node-2"):
        refusal(lambda node_name=node_name: create(kubelet, request_for(node_name=node_name)))


def test_the_account_contends_for_the_lease_of_its_trust_domain_alone(account):
    def lease(name, namespace="kube-system"):
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": namespace},
                "spec": {"holderIdentity": "a test", "leaseDurationSeconds": 1}}

    kind = "coordination.k8s.io/v1/Lease"
    path = lambda name, namespace="kube-system": account.path(kind, namespace, name)  # noqa: E731
    assert refusal(lambda: account.call("PUT", path("meshca-other.test"), lease("meshca-other.test"))).code == 403
    assert refusal(lambda: account.call("PUT", path("meshca-cluster.local", OTHER), lease("meshca-cluster.local", OTHER))).code == 403
    assert refusal(lambda: account.get(kind, "kube-controller-manager", "kube-system")).code == 403
    assert refusal(lambda: account.create(lease("meshca-cluster.local"))).code == 403
    assert refusal(lambda: account.delete(kind, "meshca-cluster.local", "kube-system")).code == 403
    assert refusal(lambda: account.list(kind, "kube-system")).code == 403


def test_the_account_tells_events_and_reads_none(account):
    event = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "meshca-test", "namespace": OTHER},
             "eventTime": "2026-01-02T03:04:05.000000Z", "reportingController": "meshca.io/meshca", "reportingInstance": "a-test",
             "action": "Test", "reason": "Test", "type": "Normal", "note": "a test",
             "regarding": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": OTHER, "name": "istio-ca-root-cert"}}
    assert account.create(event)["note"] == "a test"
    for refused in (lambda: account.list("events.k8s.io/v1/Event", OTHER), lambda: account.list("v1/Event", OTHER),
                    lambda: account.delete("events.k8s.io/v1/Event", "meshca-test", OTHER)):
        assert refusal(refused).code == 403


def csr_for(signer, uri=f"spiffe://cluster.local/ns/{OTHER}/sa/default"):
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True).sign(certificates.new_key(), hashes.SHA256())
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"generateName": "any-"},
            "spec": {"signerName": signer, "usages": ["client auth"],
                     "request": base64.b64encode(asked.public_bytes(serialization.Encoding.PEM)).decode()}}


def test_the_account_approves_certificate_signing_requests_for_its_signer_alone(cluster, account):
    def approve(signer):
        name = cluster.admin.create(csr_for(signer))["metadata"]["name"]
        condition = {"type": "Approved", "status": "True", "reason": "Tried", "message": "tried"}
        return account.patch(CSR, name, {"status": {"conditions": [condition]}}, subresource="approval")

    assert approve(SIGNER)["status"]["conditions"][0]["type"] == "Approved"
    assert "not permitted to approve" in refusal(lambda: approve("other.test/signer")).message
    assert refusal(lambda: account.create(csr_for(SIGNER))).code == 403


def test_the_account_sees_whether_the_policy_stands_and_cannot_take_it_away(account):
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        assert account.get(f"admissionregistration.k8s.io/v1/{kind}", POLICY)
        assert refusal(lambda kind=kind: account.list(f"admissionregistration.k8s.io/v1/{kind}")).code == 403
        assert refusal(lambda kind=kind: account.delete(f"admissionregistration.k8s.io/v1/{kind}", POLICY)).code == 403


# What the server does with the account.

# Kubernetes asks for these when the call beside them is made; a right to create is asked for when an apply finds nothing.
ASKED_BY = {("signers", "attest"): ("clustertrustbundles", "patch"),
            ("signers", "sign"): ("podcertificaterequests/status", "update"),
            ("signers", "approve"): ("certificatesigningrequests/approval", "patch")}


def given_rights(cluster, role):
    """{(resource or path, name, verb)}, "*" for any name, of a ClusterRole and of the Roles of the same name: beside the Lease, and
    for istiod's Secret."""
    rbac = "rbac.authorization.k8s.io/v1"
    roles = (cluster.admin.get(f"{rbac}/ClusterRole", role), cluster.admin.get(f"{rbac}/Role", f"{role}-lease", "kube-system"),
             cluster.admin.get(f"{rbac}/Role", role, ISTIO))
    return {(thing, name, verb) for each in roles for rule in each["rules"]
            for thing in rule.get("resources", []) + rule.get("nonResourceURLs", [])
            for name in rule.get("resourceNames", ["*"]) for verb in rule["verbs"]}


def uses(call, right):
    """Whether the call needed the right."""
    thing, name, verb = right
    if (thing, verb) in ASKED_BY:
        return (call.resource, call.verb) == ASKED_BY[thing, verb] and call.code in (200, 201)
    made = verb == "create" and call.verb in ("patch", "update") and call.code == 201
    return call.resource == thing and name in ("*", call.name) and (call.verb == verb or made)


def test_the_server_uses_every_right_of_its_account_and_is_refused_nothing(server, cluster, installed, request_for, tmp_path):
    admin, user = cluster.admin, f"system:serviceaccount:{NAMESPACE}:{installed}"
    for bundle in admin.list("certificates.k8s.io/v1/ClusterTrustBundle"):
        admin.delete("certificates.k8s.io/v1/ClusterTrustBundle", bundle["metadata"]["name"])
    # What other tests asked for may be from before the policy took hold, and `check` would say so.
    for request in admin.list(REQUEST):
        admin.delete(REQUEST, request["metadata"]["name"], request["metadata"]["namespace"])
    config = yaml.safe_load(admin.get("v1/ConfigMap", installed, NAMESPACE)["data"]["meshca.yaml"])
    config["kubernetes"]["kubeconfig"] = str(cluster.account_kubeconfig(NAMESPACE, installed))
    for of_the_pod in ("state_dir", "kek_file", "admin_socket", "api_socket", "listen", "http_listen"):
        del config[of_the_pod]
    before = len(cluster.calls(user))  # other tests have asked as this account
    ca = server(config=yaml.safe_dump(config))

    def facts():
        told = json.loads(ca.cli("check", "-o", "json", check=False).stdout)["facts"]
        return {fact["name"]: fact["state"] for fact in told
                if fact["name"].startswith(("certificate signing", "cluster", "lease", "published", "signer"))}

    wait_until(lambda: facts() == {"certificate signing requests": "ok", "cluster": "ok", "lease": "ok",
                                   "published ConfigMap istio-ca-root-cert": "ok", f"signer {SIGNER}": "ok",
                                   "published ClusterTrustBundle istio.io:istiod-ca:root-cert": "ok",
                                   f"published Secret {ISTIO}/istiod-tls": "ok"}, 60,
               lambda: f"{facts()}\n{ca.log()}")

    # A token that is bound to no pod: the API server is asked about it.
    token = tmp_path / "token"
    token.write_text(cluster.token(OTHER, "default"), encoding="ascii")
    token.chmod(0o600)
    ca.cli("request", f"spiffe://cluster.local/ns/{OTHER}/sa/default", "--server", ca.grpc, "--ca-fingerprint", ca.root_fingerprint,
           "--jwt-file", token, "--out-dir", tmp_path / "of-the-account")

    # Of a request in the older form v1 does not show the key, so it is read once more.
    held_from = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=TAKES_HOLD_S + 1)
    wait_until(lambda: datetime.datetime.now(datetime.timezone.utc) > held_from, 60, "the policy has taken hold")
    kubelet = cluster.as_user("system:node:node-1", "system:nodes")
    for version in ("v1", "v1beta1"):
        made = wait_until(lambda: let_through(lambda: create(kubelet, request_for(version))), 60, "the node asks")  # noqa: B023
        answered = admin.wait_for(REQUEST, made["metadata"]["name"], lambda now: now.get("status", {}).get("conditions"), OTHER,
                                  what=ca.log)["status"]
        assert [each["type"] for each in answered["conditions"]] == ["Issued"], answered

    # Somebody edits the roots again and again: an Event tells of it, and then how often.
    roots = lambda: admin.get("v1/ConfigMap", "istio-ca-root-cert", OTHER)["data"]["root-cert.pem"]  # noqa: E731
    for i in range(4):
        wait_until(lambda: roots() == ca.root_pem, 60, "the roots are written again")
        admin.patch("v1/ConfigMap", "istio-ca-root-cert", {"data": {"root-cert.pem": f"a stranger's {i}"}}, OTHER)
    # What a service account asks for itself is approved, read once more and answered.
    cluster.create_account(OTHER, "asks", rules=[
        {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create"]}])
    made = cluster.as_account(OTHER, "asks").create(csr_for(SIGNER, f"spiffe://cluster.local/ns/{OTHER}/sa/asks"))
    admin.wait_for(CSR, made["metadata"]["name"], lambda now: now.get("status", {}).get("certificate"), what=ca.log)

    given = given_rights(cluster, "meshca-meshca-system")
    assert len(given) > 20
    calls = lambda: cluster.calls(user)[before:]  # noqa: E731
    unused = lambda: {right for right in given if not any(uses(call, right) for call in calls())}  # noqa: E731
    wait_until(lambda: not unused(), 60, lambda: f"not used: {sorted(unused())}")
    assert not [call for call in calls() if call.code in (401, 403)]
    assert not [call for call in calls() if not any(uses(call, right) for right in given)]


def let_through(call):
    """What the call gives; None while the API server does not know yet that the pod is on that node."""
    try:
        return call()
    except ApiError as error:
        if error.code not in (403, 422):
            raise
    return None


# The pod itself.

PLUGINS = {"secret": "secret", "configMap": "configmap", "emptyDir": "empty-dir"}


def volumes_of(kubelet, pod, state):
    """What a container runtime would be told: the kubelet's folders of the pod, and where the container has them."""
    folders = {"state": state}
    for volume in pod["spec"]["volumes"]:
        for kind, plugin in PLUGINS.items():
            if kind in volume:
                folders[volume["name"]] = (kubelet.folder / "pods" / pod["metadata"]["uid"] / "volumes" /
                                           f"kubernetes.io~{plugin}" / volume["name"])
    return [Volume(folders[mount["name"]], mount["mountPath"], mount.get("readOnly", False))
            for mount in pod["spec"]["containers"][0]["volumeMounts"]]


def test_the_server_starts_from_the_image_with_the_volumes_that_a_kubelet_made(cluster, installer, meshca, tmp_path):
    admin, release, namespace = cluster.admin, "pod", "pod"
    cluster.create_namespace(namespace)
    state = tmp_path / "volume"
    state.mkdir()
    admin.create({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": {
        "capacity": {"storage": "8Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(state)},
        "claimRef": {"namespace": namespace, "name": "state-pod-meshca-0"}}})
    installer.install({}, release, namespace)
    kubelet = cluster.start_kubelet("node-with-kubelet")
    pod = cluster.bind(admin.wait_for("v1/Pod", "pod-meshca-0", bool, namespace), kubelet.name)
    # It waits for its key: without one it would be another authority.
    admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "meshca-kek", "namespace": namespace},
                  "data": {"kek": base64.b64encode(os.urandom(32)).decode()}})
    cluster.wait_for_phase(pod, "Running", 180)
    # What a driver of real disks does for fsGroup, and that of a host's folder does not.
    os.chown(state, 0, 65532)
    state.chmod(0o2775)

    image_root.build(meshca, tmp_path / "layout")
    root = ImageRoot(tmp_path / "layout", tmp_path / "bundle")
    container = pod["spec"]["containers"][0]
    env = {each["name"]: each["value"] for each in container["env"]}
    volumes = volumes_of(kubelet, pod, state)
    # The ports of this machine are others' as well.
    server = Background(root.command(*container["args"], "--listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", volumes=volumes,
                                     env=env), tmp_path / "stderr.log")
    try:
        http = re.search(r"^HTTP\s+(\S+)", "\n".join(server.wait_for_line("next")), re.M).group(1)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            with urllib.request.urlopen(f"http://{http}{container[probe]['httpGet']['path']}", timeout=30) as answer:
                assert answer.read() == b"ok\n"
        assert "ready" in root.run("status", volumes=volumes, env=env)
        assert not (state / "state" / "kek").exists()
    finally:
        server.kill()
        installer.run("uninstall", release, "--namespace", namespace)
