"""Requests for certificates by somebody who means harm, on a real API server: forged while the admission policy is weakened, made
by the hundred, and as large as the API server takes."""

import json

import certificates
import pytest
import yaml
from background import wait_until
from cryptography import x509
from kubernetes_api import ApiError, resource_version
from pod_certificates import (ADMISSION, POLICY, POLICY_NAME, REQUEST, RIGHTS, answered, apply_policy, conditions, configuration,
                              pod_of, records, request_for, signer_fact, signing)
from test_signing_requests import ASKS, KIND, asked_for, fact, signed
from test_signing_requests import RIGHTS as SIGNING_RIGHTS

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1200)]

NODE = "node-1"
MAKES_POD_REQUESTS = {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests"], "verbs": ["create"]}
WEAK_POLICIES = {
    "everybody": lambda spec: spec["validations"][0].update(expression="true"),
    "others": lambda spec: spec["matchConditions"][0].update(expression="object.spec.signerName != 'meshca.io/workload'"),
    "version": lambda spec: spec["matchConstraints"].update(matchPolicy="Exact", resourceRules=[
        {**spec["matchConstraints"]["resourceRules"][0], "apiVersions": ["v1beta1"]}]),
    "scope": lambda spec: spec["matchConstraints"]["resourceRules"][0].update(scope="Cluster"),
    "parameter": lambda spec: spec.update(paramKind={"apiVersion": "v1", "kind": "ConfigMap"}),
}


@pytest.fixture(scope="module")
def kubeconfig(cluster):
    cluster.create_node(NODE)
    cluster.create_account("default", "ca", rules=[*RIGHTS, *(rule for rule in SIGNING_RIGHTS if rule not in RIGHTS)])
    return cluster.account_kubeconfig("default", "ca")


@pytest.fixture
def stranger(cluster, namespace):
    cluster.create_account(namespace, "stranger", rules=[MAKES_POD_REQUESTS, ASKS])
    return cluster.as_account(namespace, "stranger")


def write(cluster, kind, change):
    thing = cluster.admin.get(f"{ADMISSION}/{kind}", POLICY_NAME)
    change(thing["spec"])
    return cluster.admin.replace(thing)


def restore(cluster):
    for whole in yaml.safe_load_all(POLICY.read_text(encoding="utf-8")):
        now = cluster.admin.get(f"{ADMISSION}/{whole['kind']}", POLICY_NAME)
        whole["metadata"]["resourceVersion"] = resource_version(now)
        cluster.admin.replace(whole)


def forget_writers(cluster):
    """Takes out of the policy who has written what in it when, as whoever may write it can."""
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        thing = cluster.admin.get(f"{ADMISSION}/{kind}", POLICY_NAME)
        thing["metadata"]["managedFields"] = [{}]
        assert not cluster.admin.replace(thing)["metadata"].get("managedFields")


def forge(cluster, stranger, victim, name):
    """A stranger's request for the victim's certificate, as soon as it is let through."""
    forged = request_for(cluster, victim, certificates.new_key(), name=name)
    refusals = []

    def made():
        try:
            return stranger.create(forged)
        except ApiError as error:
            refusals.append(str(error))
            return None

    wait_until(made, 60, lambda: refusals[-1])


def test_a_policy_that_is_weakened_for_a_moment_or_in_its_words_gives_a_stranger_nothing(
        server, cluster, kubeconfig, namespace, stranger):
    apply_policy(cluster)
    ca = signing(server(config=configuration(kubeconfig)))
    victim = cluster.create_pod(namespace, "victim", node=NODE)
    for name, weaken in WEAK_POLICIES.items():
        if name == "parameter":
            write(cluster, "ValidatingAdmissionPolicyBinding", lambda spec: spec.update(
                paramRef={"name": "none", "namespace": namespace, "parameterNotFoundAction": "Allow"}))
        write(cluster, "ValidatingAdmissionPolicy", weaken)
        forge(cluster, stranger, victim, name)
        wait_until(lambda: signer_fact(ca)["state"] == "failed", 60, lambda: json.dumps(signer_fact(ca)))
        restore(cluster)
        signing(ca)

    # For less than it takes until the policy is looked at again, and while nobody looks.
    audit = lambda spec: spec.update(validationActions=["Audit"])  # noqa: E731
    write(cluster, "ValidatingAdmissionPolicyBinding", audit)
    forge(cluster, stranger, victim, "moment")
    restore(cluster)
    ca.terminate()
    write(cluster, "ValidatingAdmissionPolicyBinding", audit)
    forge(cluster, stranger, victim, "unseen")
    restore(cluster)
    forget_writers(cluster)
    signing(ca.start())

    # What the pod's own node asks for when that has taken hold is answered, so the others were judged as well.
    apply_policy(cluster)
    own = pod_of(cluster, namespace, NODE, "own")
    node = cluster.as_user(f"system:node:{NODE}", "system:nodes")
    forge(cluster, node, own, "own")
    assert answered(cluster, namespace, "own")["type"] == "Issued", ca.log()
    forged = [*WEAK_POLICIES, "moment", "unseen"]
    assert {name: conditions(cluster, namespace, name) for name in forged} == dict.fromkeys(forged, [])
    assert f"{len(forged)} never to be signed" in signer_fact(ca)["detail"], signer_fact(ca)
    assert not [each for each in records(ca) if each["instance"] == f"pod {namespace}/victim"]
    for name in forged:
        cluster.admin.delete(REQUEST, name, namespace)


def test_nobody_waits_behind_all_the_requests_of_somebody_else(server, cluster, kubeconfig, namespace, stranger):
    cluster.create_namespace("honest")
    cluster.create_account("honest", "front", rules=[ASKS])
    key = certificates.new_key()
    hostile = asked_for(key, f"spiffe://cluster.local/ns/{namespace}/sa/stranger")
    honest = asked_for(key, "spiffe://cluster.local/ns/honest/sa/front")
    # The API server lists them in the order of their names.
    many = [f"a-{each:03}" for each in range(300)]
    for name in many:
        stranger.create({**hostile, "metadata": {"name": name}})
    cluster.as_account("honest", "front").create({**honest, "metadata": {"name": "z-honest"}})
    ca = server(config=configuration(kubeconfig))
    # Serial numbers grow with time.
    serials = {name: x509.load_pem_x509_certificate(signed(cluster, name, ca)).serial_number for name in ["z-honest", *many]}
    before = [name for name in many if serials[name] < serials["z-honest"]]
    assert len(before) < 150, f"{len(before)} came before the one that is last by time and in the list"
    cluster.admin.call("DELETE", cluster.admin.path(KIND))


def test_a_request_as_large_as_can_be_is_answered_at_once(server, cluster, kubeconfig, namespace, stranger):
    ca = server(config=configuration(kubeconfig))
    large = asked_for(certificates.new_key(), f"spiffe://cluster.local/ns/{namespace}/sa/stranger")
    # Six bytes of JSON for each.
    large["metadata"]["annotations"] = {f"a.test/{each}": "<" * 60000 for each in range(4)}
    name = stranger.create(large)["metadata"]["name"]
    signed(cluster, name, ca)
    assert ", 0 requests not answered" in fact(ca)["detail"], fact(ca)
    metrics = ca.get("/metrics")
    assert "meshca_kubernetes_signing_request_attempts_failed_total 0" in metrics, metrics
