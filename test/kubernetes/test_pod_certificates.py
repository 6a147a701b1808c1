"""Pods' certificates by PodCertificateRequest, with real kubelets: given, denied, refused to strangers, renewed, rotated."""

import json

import certificates
import pytest
from background import wait_until
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kubernetes_api import ApiError
from pod_certificates import (ADMISSION, BETA, CERTIFICATES, OPEN_SIGNER, POLICY_NAME, REQUEST, RIGHTS, SIGN, answered,
                              apply_policy, chain_in, conditions, configuration, pod_of, records, request_for, signer_fact,
                              signing, uri_of, verified_by_openssl)
from rotation import seconds, status

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]


def as_node(cluster, kubelet):
    return cluster.as_user(f"system:node:{kubelet.name}", "system:nodes")


def test_nothing_is_signed_and_check_says_why_until_the_policy_is_there(server, cluster, kubelet, signer_kubeconfig, namespace):
    for kind in ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"):
        if cluster.admin.list(f"{ADMISSION}/{kind}", fieldSelector=f"metadata.name={POLICY_NAME}"):
            cluster.admin.delete(f"{ADMISSION}/{kind}", POLICY_NAME)
    ca = server(config=configuration(signer_kubeconfig))
    early = pod_of(cluster, namespace, kubelet.name, "early")
    wait_until(lambda: cluster.admin.list(REQUEST, namespace), 60, "the request")
    wait_until(lambda: signer_fact(ca)["state"] == "failed", 60, lambda: json.dumps(signer_fact(ca)))
    fact = signer_fact(ca)
    assert f"no ValidatingAdmissionPolicy {POLICY_NAME}" in fact["detail"] and "admission_policy.yaml" in fact["mend"], fact
    assert ca.cli("check", check=False).returncode != 0
    assert not [each for each in records(ca) if each["auth_method"] == "pod-certificate"]
    assert "meshca_kubernetes_signer_on 0" in ca.get("/metrics")

    # What was there before may be a stranger's, who was not refused then. The kubelet asks anew in its own time.
    apply_policy(cluster)
    late = pod_of(cluster, namespace, kubelet.name, "late")
    cluster.wait_for_phase(late, "Running")
    assert "\nmeshca_kubernetes_signer_on 1" in ca.get("/metrics")
    wait_until(lambda: "before the admission policy" in signer_fact(ca)["detail"], 60, lambda: json.dumps(signer_fact(ca)))
    assert cluster.admin.get("v1/Pod", "early", namespace)["status"]["phase"] == "Pending"
    cluster.admin.delete("v1/Pod", early["metadata"]["name"], namespace)
    for request in cluster.admin.list(REQUEST, namespace):
        cluster.admin.delete(REQUEST, request["metadata"]["name"], namespace)
    wait_until(lambda: signer_fact(ca)["state"] == "ok", 60, lambda: json.dumps(signer_fact(ca)) + ca.log())


def test_a_pods_certificate_verifies_by_the_published_roots_through_a_rotation(ca, cluster, kubelet, namespace):
    pod = pod_of(cluster, namespace, kubelet.name, "web-1")
    cluster.wait_for_phase(pod, "Running")
    folder = kubelet.volume(pod, "identity")
    assert verified_by_openssl(folder)[0], verified_by_openssl(folder)
    leaf = chain_in(folder)[0]
    assert uri_of(leaf) == [f"spiffe://{ca.trust_domain}/ns/{namespace}/sa/default"]
    key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    assert key.public_key() == leaf.public_key()
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() == 3600
    assert len(chain_in(folder)) == 2
    request = next(each for each in cluster.admin.list(REQUEST, namespace) if each["spec"]["podUID"] == pod["metadata"]["uid"])
    assert [each["type"] for each in request["status"]["conditions"]] == ["Issued"]
    record = next(each for each in records(ca) if each["serial"] == certificates.serial_hex(leaf))
    assert (record["auth_method"], record["instance"]) == ("pod-certificate", f"pod {namespace}/web-1"), record
    assert pod["metadata"]["uid"] in json.dumps(record)

    # What a rotation would wait for is named, with the time at which it comes by itself.
    plan = json.loads(ca.cli("root", "rotate", "--plan", "-o", "json").stdout)
    named = next(each for each in plan["at_risk"] if each["instance"] == f"pod {namespace}/web-1")
    half = leaf.not_valid_before_utc.timestamp() + 1800
    assert seconds(named["renews_by"]) == half + 300, named
    assert f"kubectl -n {namespace} delete pod web-1" in named["detail"], named

    # A new root. Whoever has a certificate from before both roots were published has to take another one before the new
    # root signs, and another one after it: this pod's kubelet asks again when it is restarted, by another key.
    ca.cli("root", "prepare")
    wait_until(lambda: (folder / "roots.pem").read_text(encoding="ascii").count("BEGIN CERTIFICATE") == 2, 60, "both roots")
    refused = ca.cli("root", "activate", check=False)
    assert refused.returncode == 3 and f"/ns/{namespace}/sa/default" in refused.stderr, refused.stderr
    behind = wait_until(lambda: status(ca)["laggards"], 60, lambda: json.dumps(status(ca)))
    assert [(each["instance"], seconds(each["renews_by"])) for each in behind] == [(f"pod {namespace}/web-1", half + 300)], behind
    assert "; renews by itself at the latest at " in ca.cli("root", "status").stdout
    for step in ("activate", "retire"):
        held = chain_in(folder)[0]
        kubelet.restart()
        wait_until(lambda: chain_in(folder)[0] != held, 60, lambda: json.dumps(signer_fact(ca)) + ca.log())  # noqa: B023
        assert verified_by_openssl(folder)[0], verified_by_openssl(folder)
        assert chain_in(folder)[0].public_key() != held.public_key()
        wait_until(lambda: ca.cli("root", step, check=False).returncode == 0, 60, lambda: json.dumps(status(ca)))  # noqa: B023
    assert chain_in(folder)[1] != x509.load_pem_x509_certificates(request["status"]["certificateChain"].encode())[1]

    wait_until(lambda: (folder / "roots.pem").read_text(encoding="ascii").count("BEGIN CERTIFICATE") == 1, 60,
               lambda: json.dumps(status(ca)))
    assert verified_by_openssl(folder)[0], verified_by_openssl(folder)


def test_a_rotation_waits_no_more_for_a_pod_that_is_gone(ca, cluster, kubelet, namespace):
    pod = pod_of(cluster, namespace, kubelet.name, "web-1")
    cluster.wait_for_phase(pod, "Running")
    ca.cli("root", "rotate", "--detach")
    waits_for = lambda: [each["instance"] for each in status(ca)["laggards"]]  # noqa: E731
    wait_until(lambda: f"pod {namespace}/web-1" in waits_for(), 60, lambda: json.dumps(status(ca)))
    cluster.admin.delete("v1/Pod", "web-1", namespace)
    wait_until(lambda: status(ca)["step"] == "done", 120, lambda: json.dumps(status(ca)) + ca.log())


def test_programs_that_read_roots_once_are_named_until_they_are_started_anew(ca, cluster, kubelet):
    cluster.create_namespace("istio-system")
    for account in ("ztunnel", "istiod"):
        cluster.create_account("istio-system", account)
    version = "app.kubernetes.io/version"
    # With the labels of Istio's charts, and nothing of Istio in them.
    make = lambda name, account, **labels: cluster.create_pod(  # noqa: E731
        "istio-system", name, account=account, node=kubelet.name, labels={"app": account, **labels})
    old = make("ztunnel-old", "ztunnel", **{version: "1.29.2"})
    make("ztunnel-new", "ztunnel", **{version: "1.31.0"})
    istiod = make("istiod-1", "istiod")
    plan = lambda: " ".join(json.loads(ca.cli("root", "rotate", "--plan", "-o", "json").stdout).get("warnings", []))  # noqa: E731
    wait_until(lambda: "istio-system/istiod-1" in plan() and "istio-system/ztunnel-old" in plan(), 60, plan)
    assert "ztunnel-new" not in plan()
    assert "kubectl -n istio-system rollout restart daemonset ztunnel" in plan()

    ca.cli("root", "prepare")
    named = lambda: " ".join(status(ca).get("warnings", []))  # noqa: E731
    assert "istio-system/istiod-1" in named() and "istio-system/ztunnel-old" in named(), named()
    assert "rollout restart deployment -l app=istiod" in ca.cli("root", "status").stdout
    for pod in (old, istiod):
        cluster.admin.delete("v1/Pod", pod["metadata"]["name"], "istio-system")
    wait_until(lambda: "istio-system/" not in named(), 60, named)
    ca.cli("root", "abort")


def test_both_versions_of_the_api_are_answered(ca, cluster, kubelet, namespace):
    kinds = {"v1": (CERTIFICATES, certificates.new_key()), "v1beta1": (BETA, certificates.new_key()),
             "v1beta1-rsa": (BETA, rsa.generate_private_key(65537, 3072))}
    for name, (version, key) in kinds.items():
        # A node may ask for pods with such a volume alone.
        pod = pod_of(cluster, namespace, kubelet.name, f"pod-{name}")
        made = request_for(cluster, pod, key, version, name=name)
        refusals = []
        wait_until(lambda: as_node_creates(cluster, kubelet, made, refusals), 60, lambda: refusals[-1])  # noqa: B023
    for name, (version, key) in kinds.items():
        condition = answered(cluster, namespace, name)
        assert condition["type"] == "Issued", (condition, ca.log())
        issued = cluster.admin.get(f"{version}/PodCertificateRequest", name, namespace)["status"]
        leaf = x509.load_pem_x509_certificates(issued["certificateChain"].encode())[0]
        assert leaf.public_key() == key.public_key()
        assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() == 7200
        assert issued["notBefore"] < issued["beginRefreshAt"] < issued["notAfter"]


def as_node_creates(cluster, kubelet, request, refusals):
    """False while the API server's own watch does not know yet that the pod is on that node."""
    try:
        return as_node(cluster, kubelet).create(request)
    except ApiError as error:
        refusals.append(str(error))
        if error.code != 403:
            raise
        return False


def test_a_stranger_who_names_a_live_pod_is_refused(ca, cluster, kubelet, namespace):
    victim = cluster.create_pod(namespace, "victim", node=kubelet.name)
    cluster.create_account(namespace, "stranger", rules=[
        {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests"], "verbs": ["create"]}])
    stranger = cluster.as_account(namespace, "stranger")
    for version in (CERTIFICATES, BETA):
        with pytest.raises(ApiError) as refusal:
            stranger.create(request_for(cluster, victim, certificates.new_key(), version))
        assert refusal.value.code in (403, 422) and "only the kubelet of the pod's own node" in refusal.value.message
    assert cluster.admin.list(REQUEST, namespace, fieldSelector="spec.podName=victim") == []
    assert not [each for each in records(ca) if each["instance"] == f"pod {namespace}/victim"]


def test_without_the_policy_what_does_not_fit_the_pod_is_refused_all_the_same(server, cluster, kubelet, signer_kubeconfig, namespace):
    ca = server(config=configuration(signer_kubeconfig, OPEN_SIGNER, "  signer_without_policy: true\n"))
    cluster.create_node(f"{namespace[:20]}-node")
    cluster.create_account(namespace, "admin")
    victim = cluster.create_pod(namespace, "victim", node=kubelet.name)
    another = cluster.create_pod(namespace, "another", account="admin", node=kubelet.name)
    forge = lambda name, **changes: cluster.admin.create(request_for(  # noqa: E731
        cluster, victim, certificates.new_key(), signer=OPEN_SIGNER, name=name, **changes))
    forge("node", nodeName=f"{namespace[:20]}-node")
    forge("account", serviceAccountName="admin")
    forge("pod", podUID=another["metadata"]["uid"])
    forge("no-such-pod", podUID="11111111-2222-3333-4444-555555555555")
    for name, what in (("node", "names node"), ("account", "names service account"), ("pod", "names pod")):
        condition = answered(cluster, namespace, name)
        assert (condition["type"], condition["reason"]) == ("Denied", "PodMismatch"), condition
        assert what in condition["message"]
    wait_until(lambda: "no pod of uid" in signer_fact(ca, OPEN_SIGNER)["detail"], 60, lambda: str(signer_fact(ca, OPEN_SIGNER)))
    assert conditions(cluster, namespace, "no-such-pod") == [], "it may yet be known"
    assert not [each for each in records(ca) if each["auth_method"] == "pod-certificate"]


def test_a_key_type_that_is_not_signed_is_denied_with_one_that_is(ca, cluster, kubelet, namespace):
    pod = pod_of(cluster, namespace, kubelet.name, "p521", "ECDSAP521")
    request = wait_until(lambda: cluster.admin.list(REQUEST, namespace), 60, "the request")[0]
    condition = answered(cluster, namespace, request["metadata"]["name"])
    assert (condition["type"], condition["reason"]) == ("Denied", "UnsupportedKeyType"), condition
    assert "ECDSAP256" in condition["message"]
    assert cluster.admin.get("v1/Pod", "p521", namespace)["status"]["phase"] == "Pending"
    cluster.admin.delete("v1/Pod", pod["metadata"]["name"], namespace)
    wait_until(lambda: "meshca_kubernetes_pod_requests_denied_total 1" in ca.get("/metrics"), 60, lambda: ca.get("/metrics"))


def test_killed_between_record_and_answer_it_answers_after_its_restart(server, cluster, kubelet, policy, namespace):  # noqa: ARG001
    cluster.create_account("default", "killed", rules=[rule for rule in RIGHTS if rule is not SIGN])
    config = configuration(cluster.account_kubeconfig("default", "killed"))
    ca = signing(server(config=config))
    pod = pod_of(cluster, namespace, kubelet.name, "web-1")
    of_pod = lambda: [each for each in records(ca) if each["instance"] == f"pod {namespace}/web-1"]  # noqa: E731
    wait_until(of_pod, 60, ca.log)
    # It is recorded, and the API server lets nobody answer who may not sign: that is named, and is no answer.
    wait_until(lambda: "not permitted to" in signer_fact(ca)["detail"] and "signers" in signer_fact(ca)["detail"], 60,
               lambda: json.dumps(signer_fact(ca)))
    request = cluster.admin.list(REQUEST, namespace)[0]["metadata"]["name"]
    assert conditions(cluster, namespace, request) == []
    ca.kill()

    role = cluster.admin.get("rbac.authorization.k8s.io/v1/ClusterRole", "default-killed")
    cluster.admin.replace({**role, "rules": RIGHTS})
    again = server(config=config, state_dir=ca.state_dir)
    cluster.wait_for_phase(pod, "Running")
    assert answered(cluster, namespace, request)["type"] == "Issued", again.log()
    assert verified_by_openssl(kubelet.volume(pod, "identity"))[0]
