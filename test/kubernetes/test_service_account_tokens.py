"""Pods that show the token of their service account: who gets a certificate, who does not, and what it costs the API server."""

import concurrent.futures
import json
import time

import certificates
import cluster_rights
import grpc
import grpc_messages
import pytest
from background import wait_until
from cryptography.hazmat.primitives.asymmetric import rsa

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]

CREATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
USER = "system:serviceaccount:default:ca"
TOKENS = 10_000
RIGHTS = cluster_rights.TOKENS + cluster_rights.REVIEWS


def identity(namespace, account):
    return f"spiffe://cluster.local/ns/{namespace}/sa/{account}"


class Caller:
    """Asks the CA for certificates by tokens, over one TLS connection."""

    def __init__(self, ca):
        self.call = grpc_messages.call(grpc_messages.tls_channel(ca.grpc, ca.root_pem.encode()), CREATE)
        self.key = certificates.new_key()

    def request(self, spiffe_id, **impersonated):
        request = grpc_messages.message("istio.v1.auth.IstioCertificateRequest")(
            csr=certificates.csr_pem(self.key, spiffe_id), validity_duration=3600)
        request.metadata.update(impersonated)
        return request

    def ask(self, token, spiffe_id, **impersonated):
        """The SPIFFE ID of the leaf."""
        answer = self.call(self.request(spiffe_id, **impersonated), metadata=[("authorization", f"Bearer {token}")], timeout=60)
        (found,) = certificates.spiffe_ids(certificates.load(answer.cert_chain[0]))
        return found

    def refused(self, token, spiffe_id, **impersonated):
        """The code of the refusal."""
        with pytest.raises(grpc.RpcError) as error:
            self.ask(token, spiffe_id, **impersonated)
        return error.value.code().name


@pytest.fixture(scope="module")
def kubeconfig(cluster):
    cluster.create_account("default", "ca", rules=RIGHTS)
    return cluster.account_kubeconfig("default", "ca")


@pytest.fixture
def ca(server, kubeconfig):
    ca = server(config=f"kubernetes:\n  kubeconfig: {kubeconfig}\n")
    wait_until(lambda: "meshca_kubernetes_pods_age_seconds +Inf" not in ca.get("/metrics"), 60, ca.log)
    return ca


def reviews(cluster):
    return [call for call in cluster.calls(USER) if call.resource == "tokenreviews"]


def test_a_pods_token_gives_its_identity_and_no_other(ca, cluster, namespace):
    uids = {account: cluster.create_account(namespace, account)["metadata"]["uid"] for account in ("web", "db")}
    of_node = cluster.create_node(f"{namespace}-1")["metadata"]
    node = of_node["name"]
    pod = cluster.create_pod(namespace, "web-1", "web", node)
    caller = Caller(ca)
    before = len(reviews(cluster))
    token = cluster.token(namespace, "web", pod=pod)
    assert caller.ask(token, identity(namespace, "web")) == identity(namespace, "web")
    assert len(reviews(cluster)) == before, "the cluster's keys and the watch say all of it"
    assert caller.refused(token, identity(namespace, "db")) == "PERMISSION_DENIED"
    assert caller.refused(cluster.token(namespace, "web", audiences=["vault"], pod=pod),
                          identity(namespace, "web")) == "UNAUTHENTICATED"
    # Right in every word, of the pod that lives, and signed by somebody else.
    bound_to = (("web-1", pod["metadata"]["uid"]), (node, of_node["uid"]))
    of_this_key = cluster.keys.account_token(namespace, "web", uids["web"], "istio-ca", *bound_to)
    assert caller.ask(of_this_key, identity(namespace, "web")) == identity(namespace, "web")
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    of_another_key = cluster.keys.account_token(namespace, "web", uids["web"], "istio-ca", *bound_to, key=stranger)
    assert caller.refused(of_another_key, identity(namespace, "web")) == "UNAUTHENTICATED"
    assert len(reviews(cluster)) == before, "a bad signature is refused here"

    # What gives it would outlive the Secret.
    secret = cluster.admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bound-to", "namespace": namespace}})
    assert caller.refused(cluster.token(namespace, "web", pod=secret, kind="Secret"),
                          identity(namespace, "web")) == "UNAUTHENTICATED"
    assert len(reviews(cluster)) == before

    # A token that is bound to nothing: the API server is asked, once for a minute.
    unbound = cluster.token(namespace, "web")
    for _ in range(3):
        assert caller.ask(unbound, identity(namespace, "web")) == identity(namespace, "web")
    assert len(reviews(cluster)) == before + 1
    assert reviews(cluster)[-1].code == 201

    cluster.admin.delete("v1/Pod", "web-1", namespace, at_once=True)
    wait_until(lambda: "web-1" not in [each["metadata"]["name"] for each in cluster.admin.list("v1/Pod", namespace)], 60, "gone")
    gone = time.monotonic()
    wait_until(lambda: refusal(caller, token, identity(namespace, "web")) == "UNAUTHENTICATED", 60, ca.log)
    print(f"refused {time.monotonic() - gone:.2f} s after its pod was gone")
    # Another pod of that name is another pod.
    cluster.create_pod(namespace, "web-1", "web", node)
    assert caller.refused(token, identity(namespace, "web")) == "UNAUTHENTICATED"


def refusal(caller, token, spiffe_id):
    """The code, or None where it is answered."""
    try:
        caller.ask(token, spiffe_id)
    except grpc.RpcError as error:
        return error.code().name
    return None


def test_a_nodes_proxy_gets_the_identities_of_its_node_alone(ca, cluster, namespace):
    cluster.create_namespace("istio-system")
    cluster.create_account("istio-system", "ztunnel")
    here, there = (cluster.create_node(f"{namespace}-{name}")["metadata"]["name"] for name in ("here", "there"))
    for account, node in (("web", here), ("db", there)):
        cluster.create_account(namespace, account)
        cluster.create_pod(namespace, f"{account}-1", account, node)
    proxy = cluster.create_pod("istio-system", "ztunnel-1", "ztunnel", here)
    token = cluster.token("istio-system", "ztunnel", pod=proxy)
    caller = Caller(ca)
    web, db = identity(namespace, "web"), identity(namespace, "db")
    assert caller.ask(token, web, ImpersonatedIdentity=web) == web
    assert caller.refused(token, db, ImpersonatedIdentity=db) == "PERMISSION_DENIED"
    # What the pod says of itself is not asked: another account's pod on that node gets nothing of it.
    pod = cluster.create_pod(namespace, "web-2", "web", there)
    assert caller.refused(cluster.token(namespace, "web", pod=pod), db, ImpersonatedIdentity=db) == "PERMISSION_DENIED"
    # Once the last pod of that account has ended there, the proxy has no right to it.
    cluster.set_phase(cluster.admin.get("v1/Pod", "web-1", namespace), "Succeeded")
    wait_until(lambda: refusal(caller, token, web) == "PERMISSION_DENIED", 60, ca.log)


def test_ten_thousand_tokens_of_new_pods_cost_a_handful_of_calls(ca, cluster, namespace):
    account = cluster.create_account(namespace, "web")["metadata"]["uid"]
    node = cluster.create_node(f"{namespace}-1")["metadata"]
    before = len(cluster.calls(USER))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        pods = list(pool.map(lambda number: cluster.create_pod(
            namespace, f"web-{number}", "web", nodeName=node["name"])["metadata"], range(TOKENS)))
        tokens = list(pool.map(lambda pod: cluster.keys.account_token(
            namespace, "web", account, "istio-ca", (pod["name"], pod["uid"]), (node["name"], node["uid"])), pods))
        caller = Caller(ca)
        request = caller.request(identity(namespace, "web"))
        begun = time.monotonic()
        answers = list(pool.map(lambda token: len(caller.call(
            request, metadata=[("authorization", f"Bearer {token}")], timeout=60).cert_chain), tokens))
        took = time.monotonic() - begun
    assert min(answers) >= 1 and len(answers) == TOKENS
    calls = cluster.calls(USER)[before:]
    print(f"{TOKENS} tokens: {len(calls)} calls of the API, {took:.1f} s")
    assert len(calls) <= 100, [str(call) for call in calls[:20]]


def test_while_the_api_server_is_away_known_pods_go_on_and_unknown_ones_wait(server, clusters):
    harmed = clusters()
    harmed.create_account("default", "ca", rules=RIGHTS)
    harmed.create_account("default", "web")
    node = harmed.create_node("node-1")["metadata"]["name"]
    known = harmed.create_pod("default", "known", "web", node)
    token = harmed.token("default", "web", pod=known)
    unbound = harmed.token("default", "web")
    ca = server(config=f"kubernetes:\n  kubeconfig: {harmed.account_kubeconfig('default', 'ca')}\n")
    caller = Caller(ca)
    web = identity("default", "web")
    wait_until(lambda: refusal(caller, token, web) is None, 60, ca.log)
    harmed.kill_api_server()
    assert caller.ask(token, web) == web
    assert caller.refused(unbound, web) == "UNAVAILABLE", "nobody knows, and that is no refusal"
    harmed.start_api_server()
    wait_until(lambda: refusal(caller, unbound, web) is None, 60, ca.log)


def cluster_fact(ca):
    facts = json.loads(ca.cli("check", "-o", "json", check=False).stdout)["facts"]
    return next(fact for fact in facts if fact["name"] == "cluster")


def test_check_names_the_right_that_a_review_lacks(server, cluster, namespace):
    cluster.create_account(namespace, "ca", rules=[rule for rule in RIGHTS if "tokenreviews" not in rule.get("resources", [])])
    cluster.create_account(namespace, "web")
    ca = server(config=f"kubernetes:\n  kubeconfig: {cluster.account_kubeconfig(namespace, 'ca')}\n")
    wait_until(lambda: "meshca_kubernetes_pods_age_seconds +Inf" not in ca.get("/metrics"), 60, ca.log)
    assert cluster_fact(ca)["state"] == "ok", cluster_fact(ca)
    assert refusal(Caller(ca), cluster.token(namespace, "web"), identity(namespace, "web")) == "UNAVAILABLE"
    fact = cluster_fact(ca)
    assert fact["state"] == "warning" and "create tokenreviews" in fact["detail"], fact
