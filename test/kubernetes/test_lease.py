"""Two servers that publish in one cluster: the one with the Lease writes, the other waits, says so, and takes over."""

import json
import time

import pytest
from background import wait_until
from cluster_rights import LEASE as LEASE_RIGHTS
from cluster_rights import TOKENS, WRITING, config_map
from published_roots import CONFIG_MAP, LEASE, facts, lease, published

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]

RIGHTS = TOKENS + WRITING + config_map(CONFIG_MAP)
DURATION_S = 20  # LeaseTerms::duration


@pytest.fixture
def contender(server, cluster, namespace):
    """contender(NAME): a server with an account and a database of its own that publishes in the test's namespace."""
    def start(name, trust_domain="two.test", rules=RIGHTS):
        cluster.create_account(namespace, name, rules=rules)
        return server("--trust-domain", trust_domain, config=f"""
kubernetes:
  kubeconfig: {cluster.account_kubeconfig(namespace, name)}
  roots_config_map: {{name: {CONFIG_MAP}, namespaces: [{namespace}]}}
  mount_delay: 1s
""")
    return start


def holds(ca):
    return "\nmeshca_kubernetes_lease_held 1" in ca.get("/metrics")


def lease_fact(ca):
    return facts(ca)["lease"]


def writes(cluster, name, namespace):
    """(time, resource) of each write of the account that went through."""
    return [(call.event["stageTimestamp"], call.resource) for call in cluster.calls(f"system:serviceaccount:{namespace}:{name}")
            if call.verb in ("patch", "update") and call.code in (200, 201)]


def test_the_second_waits_says_so_and_takes_over(contender, cluster, namespace):
    one = contender("one")
    wait_until(lambda: published(cluster, namespace) == one.root_pem, 60, one.log)
    assert lease_fact(one)["state"] == "ok" and "this server publishes" in lease_fact(one)["detail"]
    first = lease(cluster, "meshca-two.test")["spec"]["holderIdentity"]

    two = contender("two")
    assert two.root_pem != one.root_pem
    wait_until(lambda: first in lease_fact(two)["detail"], 60, lambda: json.dumps(lease_fact(two)))
    fact = lease_fact(two)
    assert fact["state"] == "warning" and "publishes nothing" in fact["detail"] and "kube-system/meshca-two.test" in fact["detail"], fact
    assert not holds(two) and holds(one)
    assert f"{first} holds the Lease" in two.cli("subscriber", "list", "-o", "json").stdout
    # What is deleted comes back, by the one that has the Lease.
    cluster.admin.delete("v1/ConfigMap", CONFIG_MAP, namespace)
    wait_until(lambda: published(cluster, namespace) == one.root_pem, 60, one.log)
    assert writes(cluster, "two", namespace) == []

    killed = time.monotonic()
    one.kill()
    wait_until(lambda: published(cluster, namespace) == two.root_pem, 60, two.log)
    took = time.monotonic() - killed
    print(f"the second publishes {took:.1f} s after the first was killed")
    assert DURATION_S / 2 < took <= DURATION_S + 10, f"{took:.1f} s"
    assert lease(cluster, "meshca-two.test")["spec"]["leaseTransitions"] == 1

    # The first comes back, waits, and has it at once when the second ends as it should.
    one.start()
    wait_until(lambda: "is held by" in lease_fact(one)["detail"], 60, lambda: json.dumps(lease_fact(one)))
    two.terminate()
    ended = time.monotonic()
    wait_until(lambda: holds(one), 60, one.log)
    took = time.monotonic() - ended
    print(f"the first has it {took:.1f} s after the second has ended")
    assert took <= 2, f"{took:.1f} s"
    wait_until(lambda: published(cluster, namespace) == one.root_pem, 60, one.log)

    # In every term of the Lease its holder alone has written.
    held_by = None
    for _, resource, who in sorted((*write, name) for name in ("one", "two") for write in writes(cluster, name, namespace)):
        if resource == "leases":
            held_by = who
        else:
            assert who == held_by, (resource, who, held_by)


def test_a_killed_server_that_starts_again_has_it_at_once(contender, cluster, namespace):
    ca = contender("ca", "again.test")
    wait_until(lambda: holds(ca), 60, ca.log)
    before = lease(cluster, "meshca-again.test")["spec"]
    ca.kill()
    cluster.admin.delete("v1/ConfigMap", CONFIG_MAP, namespace)
    ca.start()
    started = time.monotonic()
    wait_until(lambda: published(cluster, namespace) is not None, 60, ca.log)
    # It cannot have waited until the Lease had run out, which it would have measured from its own start.
    assert time.monotonic() - started < DURATION_S
    after = lease(cluster, "meshca-again.test")["spec"]
    assert after["holderIdentity"] == before["holderIdentity"]
    assert after.get("leaseTransitions", 0) == before.get("leaseTransitions", 0)


def test_without_the_right_nothing_is_published_and_the_rule_is_named(contender, cluster, namespace):
    ca = contender("ca", "no.test", [rule for rule in RIGHTS if rule not in LEASE_RIGHTS])
    wait_until(lambda: lease_fact(ca)["state"] == "failed", 60, lambda: json.dumps(lease_fact(ca)))
    fact = lease_fact(ca)
    assert "resources: [leases]" in fact["detail"] and "publishes nothing" in fact["detail"], fact
    assert ca.cli("check", check=False).returncode != 0
    assert published(cluster, namespace) is None and not holds(ca)
    role = cluster.admin.get("rbac.authorization.k8s.io/v1/ClusterRole", f"{namespace}-ca")
    cluster.admin.replace({**role, "rules": RIGHTS})
    wait_until(lambda: published(cluster, namespace) == ca.root_pem, 60, ca.log)
    assert lease_fact(ca)["state"] == "ok"


def test_what_somebody_writes_into_the_lease_is_gone_with_the_next_renewal(contender, cluster, namespace):
    ca = contender("ca", "edited.test")
    name = "meshca-edited.test"
    wait_until(lambda: holds(ca), 60, ca.log)
    identity = lease(cluster, name)["spec"]["holderIdentity"]
    for edit in ({"spec": {"acquireTime": None}}, {"spec": {"acquireTime": "0001-01-01T00:00:01.000000Z"}},
                 {"metadata": {"annotations": {"filled": "x" * 250000}}},
                 {"spec": {"holderIdentity": "a stranger\x1b[2J" + "x" * 500000, "leaseTransitions": 2 ** 31 - 1}}):
        edited = cluster.admin.patch(LEASE, name, edit, "kube-system")["metadata"]["resourceVersion"]
        wait_until(lambda: lease(cluster, name)["metadata"]["resourceVersion"] != edited, 60,  # noqa: B023
                   lambda: json.dumps(lease_fact(ca)) + ca.log())
        spec = lease(cluster, name)["spec"]
        assert spec["holderIdentity"] == identity and spec["acquireTime"] > "2000" and spec.get("leaseTransitions", 0) >= 0, spec
        assert "filled" not in lease(cluster, name)["metadata"]["annotations"]
        wait_until(lambda: holds(ca), 60, ca.log)
    assert "\x1b" not in ca.log() + ca.cli("check", check=False).stdout


def test_a_lease_that_is_deleted_stays_with_the_server_that_writes(contender, cluster, namespace):
    one = contender("one", "deleted.test")
    wait_until(lambda: published(cluster, namespace) == one.root_pem, 60, one.log)
    name = "meshca-deleted.test"
    identity = lease(cluster, name)["spec"]["holderIdentity"]
    two = contender("two", "deleted.test")
    # The second looks every second, the first renews every three: each time it is likely to be the first to see it.
    for _ in range(4):
        wait_until(lambda: f"{identity} " in lease_fact(two)["detail"], 60, lambda: json.dumps(lease_fact(two)))
        cluster.admin.delete(LEASE, name, "kube-system")
        made = cluster.admin.wait_for(LEASE, name, bool, "kube-system")
        assert made["spec"]["holderIdentity"] == identity
    assert writes(cluster, "two", namespace) == []
