"""The control plane that the other tests here stand on does what they lean on: tokens, watches, rights, kubelets, faults."""

import base64
import datetime
import threading

import certificates
import jwt
import pytest
import yaml
from background import wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from kubernetes_api import ApiError, Away, KubernetesApi, resource_version
from kubernetes_keys import ISSUER

# The first test of a run builds the servers.
pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]

SIGNER = "meshca.io/workload"
REQUEST = "certificates.k8s.io/v1/PodCertificateRequest"
BUNDLE = "certificates.k8s.io/v1/ClusterTrustBundle"


@pytest.fixture(scope="module")
def kubelet(cluster):
    return cluster.start_kubelet("node-1")


@pytest.fixture(scope="module")
def another(clusters):
    """A second cluster, which tests may harm."""
    return clusters()


def root_certificate(name="test root"):
    """A root of nobody's, PEM."""
    key = certificates.new_key()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256()))
    return made.public_bytes(serialization.Encoding.PEM).decode()


def projected(name, *sources):
    return {"name": name, "projected": {"sources": list(sources)}}


def review(api, token, *audiences):
    """What the API server says of a token."""
    spec = {"token": token, "audiences": list(audiences)}
    return api.create({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": spec})["status"]


def refused(call):
    """The error of a call that has to be refused."""
    with pytest.raises(ApiError) as error:
        call()
    return error.value


def test_a_token_names_the_pod_and_the_node_that_it_is_bound_to(cluster, namespace):
    node = cluster.create_node(f"{namespace}-node")
    account = cluster.create_account(namespace, "web")
    pod = cluster.create_pod(namespace, "web-1", "web", node["metadata"]["name"])
    claims = jwt.decode(cluster.token(namespace, "web", pod=pod), cluster.keys.accounts_key.public_key(), ["RS256"],
                        audience="istio-ca", issuer=ISSUER)
    assert claims["sub"] == f"system:serviceaccount:{namespace}:web"
    bound = claims["kubernetes.io"]
    assert bound["namespace"] == namespace
    for kind, thing in (("serviceaccount", account), ("pod", pod), ("node", node)):
        assert bound[kind] == {"name": thing["metadata"]["name"], "uid": thing["metadata"]["uid"]}

    # Such a token dies with its pod, and the API server's own keys are published where verifiers look for them.
    token = cluster.token(namespace, "web", pod=pod)
    assert review(cluster.admin, token, "istio-ca")["user"]["username"] == claims["sub"]
    cluster.admin.delete("v1/Pod", "web-1", namespace, at_once=True)
    wait_until(lambda: not review(cluster.admin, token, "istio-ca").get("authenticated"), 60, "a token of a pod that is gone")
    published = cluster.admin.call("GET", "/openid/v1/jwks")
    assert [key["kid"] for key in published["keys"]] == [jwt.get_unverified_header(token)["kid"]]


def test_a_token_made_by_hand_is_one_of_the_api_server(cluster, namespace):
    account = cluster.create_account(namespace, "web")
    made = cluster.keys.account_token(namespace, "web", account["metadata"]["uid"], "istio-ca")
    said = review(cluster.admin, made, "istio-ca", "other")
    assert said["authenticated"] and said["audiences"] == ["istio-ca"], said
    assert jwt.get_unverified_header(made) == jwt.get_unverified_header(cluster.token(namespace, "web"))
    of_nobody = cluster.keys.account_token(namespace, "web", "00000000-0000-0000-0000-000000000000", "istio-ca")
    assert not review(cluster.admin, of_nobody, "istio-ca").get("authenticated")


def test_a_config_map_is_published_and_watched(cluster, namespace):
    admin = cluster.admin
    since = resource_version(admin.call("GET", admin.path("v1/ConfigMap", namespace)))
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "roots", "namespace": namespace}}
    made = admin.apply({**config_map, "data": {"root-cert.pem": "one"}}, field_manager="meshca")
    assert [owner["manager"] for owner in made["metadata"]["managedFields"]] == ["meshca"]
    edited = admin.patch("v1/ConfigMap", "roots", {"data": {"root-cert.pem": "edited"}}, namespace)
    admin.apply({**config_map, "data": {"root-cert.pem": "one"}}, field_manager="meshca")
    admin.delete("v1/ConfigMap", "roots", namespace)

    seen = []
    for event, thing in admin.watch("v1/ConfigMap", since, namespace, "roots"):
        seen.append((event, thing["data"]["root-cert.pem"]))
        if event == "DELETED":
            break
    assert seen == [("ADDED", "one"), ("MODIFIED", "edited"), ("MODIFIED", "one"), ("DELETED", "one")]
    assert int(resource_version(edited)) > int(resource_version(made))


def test_an_account_may_do_what_its_rules_say_and_the_audit_log_names_it(cluster, namespace):
    cluster.create_account(namespace, "reader", rules=[{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"]}],
                           namespace_rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}])
    config = yaml.safe_load(cluster.account_kubeconfig(namespace, "reader").read_text(encoding="utf-8"))
    reader = KubernetesApi(config["clusters"][0]["cluster"]["server"], cluster.ca_file,
                           token=config["users"][0]["user"]["token"])
    assert reader.list("v1/Namespace")
    assert reader.list("v1/Pod", namespace) == []
    assert refused(lambda: reader.list("v1/Pod", "kube-system")).code == 403
    assert refused(lambda: KubernetesApi(cluster.url, cluster.ca_file, token="nonsense").list("v1/Namespace")).code == 401

    user = f"system:serviceaccount:{namespace}:reader"
    expected = [("list", "namespaces", "", 200), ("list", "pods", namespace, 200), ("list", "pods", "kube-system", 403)]
    told = lambda: [(call.verb, call.resource, call.namespace, call.code) for call in cluster.calls(user)  # noqa: E731
                    if call.verb == "list"]
    wait_until(lambda: len(told()) >= 3, 60, lambda: f"three calls of {user}: {told()}")
    assert told() == expected
    asked = [call for call in cluster.calls("admin") if call.resource == "serviceaccounts/token" and call.namespace == namespace]
    assert [(call.verb, call.name, call.code) for call in asked] == [("create", "reader", 201)]


def test_a_validating_admission_policy_refuses(cluster, namespace):
    """As the one that keeps strangers from asking for a pod's certificate."""
    admission = "admissionregistration.k8s.io/v1"
    cluster.admin.apply({
        "apiVersion": admission, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "no-secret-config"},
        "spec": {"failurePolicy": "Fail",
                 "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                                                         "resources": ["configmaps"]}]},
                 "validations": [{"expression": "object.metadata.name != 'refused' || 'system:nodes' in request.userInfo.groups",
                                  "message": "not by you"}]}})
    cluster.admin.apply({
        "apiVersion": admission, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "no-secret-config"},
        "spec": {"policyName": "no-secret-config", "validationActions": ["Deny"]}})

    def refusal():
        # A policy is looked at some moments after it was written.
        try:
            cluster.admin.create({"apiVersion": "v1", "kind": "ConfigMap",
                                  "metadata": {"name": "refused", "namespace": namespace}}, dryRun="All")
        except ApiError as error:
            return error
        return None

    error = wait_until(refusal, 60, "the policy refuses")
    assert error.code == 422 and "not by you" in error.message
    cluster.admin.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "let-in", "namespace": namespace}})


def test_it_says_its_release_and_serves_certificate_kinds_in_both_versions(cluster):
    version = cluster.admin.call("GET", "/version")
    assert (version["gitVersion"], version["major"], version["minor"]) == ("v1.37.2", "1", "37")
    for version in ("v1", "v1beta1"):
        for kind in ("PodCertificateRequest", "ClusterTrustBundle"):
            assert cluster.admin.list(f"certificates.k8s.io/{version}/{kind}") is not None


def test_a_kubelet_runs_a_pod_with_its_token_and_its_roots(cluster, kubelet, namespace):
    first, second = root_certificate(), root_certificate()
    bundle = {"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
              "metadata": {"name": f"test.meshca.io:{namespace}:roots"},
              "spec": {"signerName": f"test.meshca.io/{namespace}", "trustBundle": first}}
    cluster.admin.create(bundle)
    pod = cluster.create_pod(namespace, "web", node=kubelet.name, volumes=[projected(
        "identity",
        {"clusterTrustBundle": {"signerName": bundle["spec"]["signerName"], "labelSelector": {}, "path": "roots.pem"}},
        {"serviceAccountToken": {"audience": "istio-ca", "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}})])
    cluster.wait_for_phase(pod, "Running")

    files = kubelet.volume(pod, "identity")
    assert (files / "roots.pem").read_text(encoding="ascii").strip() == first.strip()
    assert (files / "ca.crt").read_text(encoding="ascii") == cluster.keys.ca_pem
    claims = jwt.decode((files / "token").read_text(encoding="ascii"), cluster.keys.accounts_key.public_key(), ["RS256"],
                        audience="istio-ca")
    assert claims["kubernetes.io"]["pod"]["uid"] == pod["metadata"]["uid"]
    assert claims["kubernetes.io"]["node"]["name"] == kubelet.name

    # Roots that change reach the pod.
    cluster.admin.apply({**bundle, "spec": {**bundle["spec"], "trustBundle": second}})
    wait_until(lambda: (files / "roots.pem").read_text(encoding="ascii").strip() == second.strip(), 60, "the new root in the pod")

    cluster.admin.delete("v1/Pod", "web", namespace)
    cluster.admin.wait_gone("v1/Pod", "web", namespace)


def request_of(cluster, namespace, pod):
    """The request that a kubelet made for the pod."""
    def of_pod():
        return [request for request in cluster.admin.list(REQUEST, namespace)
                if request["spec"]["podUID"] == pod["metadata"]["uid"]]
    return wait_until(of_pod, 60, lambda: f"a request of pod {pod['metadata']['name']}")[0]


def test_a_kubelet_asks_for_a_pods_certificate_and_waits(cluster, kubelet, namespace):
    account = cluster.create_account(namespace, "web")
    pod = cluster.create_pod(namespace, "web-1", "web", kubelet.name, volumes=[projected(
        "svid", {"podCertificate": {"signerName": SIGNER, "keyType": "ECDSAP256", "credentialBundlePath": "svid.pem",
                                    "maxExpirationSeconds": 3600}})])
    request = request_of(cluster, namespace, pod)
    spec = request["spec"]
    assert {key: spec[key] for key in ("signerName", "podName", "podUID", "serviceAccountName", "serviceAccountUID",
                                       "nodeName", "maxExpirationSeconds")} == {
        "signerName": SIGNER, "podName": "web-1", "podUID": pod["metadata"]["uid"], "serviceAccountName": "web",
        "serviceAccountUID": account["metadata"]["uid"], "nodeName": kubelet.name, "maxExpirationSeconds": 3600}
    asked = x509.load_der_x509_csr(base64.b64decode(spec["stubPKCS10Request"]))
    assert asked.is_signature_valid and asked.public_key().curve.name == "secp256r1" and len(list(asked.subject)) == 0

    # Nobody answers: the pod waits for its volume.
    assert not request.get("status", {}).get("conditions")
    assert cluster.admin.get("v1/Pod", "web-1", namespace)["status"]["phase"] == "Pending"
    made = wait_until(lambda: [call for call in cluster.calls(f"system:node:{kubelet.name}")
                               if call.resource == "podcertificaterequests" and call.namespace == namespace], 60, "the call")
    assert [(call.verb, call.code) for call in made] == [("create", 201)]

    # A kubelet that was restarted asks anew, by another key.
    kubelet.restart()
    names = [request["metadata"]["name"]]
    anew = wait_until(lambda: [each for each in cluster.admin.list(REQUEST, namespace) if each["metadata"]["name"] not in names],
                      60, "another request after the kubelet's restart")
    key = lambda of: x509.load_der_x509_csr(base64.b64decode(of["spec"]["stubPKCS10Request"])).public_key()  # noqa: E731
    assert key(anew[0]) != key(request)


def test_two_clusters_run_side_by_side(cluster, another):
    another.create_namespace("only-there")
    assert "only-there" not in [each["metadata"]["name"] for each in cluster.admin.list("v1/Namespace")]
    stranger = KubernetesApi(another.url, another.ca_file, certificate=cluster.keys.user("admin", "system:masters"))
    with pytest.raises((ApiError, Away)):
        stranger.list("v1/Namespace")
    pids = [process.pid for each in (cluster, another) for process in each.processes().values()]
    assert len(set(pids)) == len(pids)


def test_the_api_server_is_killed_and_comes_back(another):
    cluster = another
    cluster.create_namespace("before")
    since = resource_version(cluster.admin.call("GET", cluster.admin.path("v1/ConfigMap", "before")))
    broken = []

    def watch():
        try:
            for event in cluster.admin.watch("v1/ConfigMap", since, "before"):
                broken.append(event)
        except Away as error:
            broken.append(error)

    watching = threading.Thread(target=watch)
    watching.start()
    wait_until(lambda: [call for call in cluster.calls("admin") if call.verb == "watch" and call.resource == "configmaps"
                        and call.namespace == "before"], 60, "the watch")
    url = cluster.url
    cluster.kill_api_server()
    watching.join(60)
    assert broken and isinstance(broken[-1], Away), broken
    with pytest.raises(Away):
        cluster.admin.get("v1/Namespace", "before")
    cluster.start_api_server()
    assert cluster.url == url
    assert cluster.admin.get("v1/Namespace", "before")["status"]["phase"] == "Active"
    # The controllers, which were not restarted, have found it again.
    cluster.create_namespace("after")
