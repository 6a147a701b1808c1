"""An API server that is not as it should be: it forgets, falls silent, has too much to do, or believes our token no more."""

import json
import os
import signal
import time

import pytest
from background import wait_until
from cluster_rights import TOKENS, WRITING, config_map
from kubernetes_keys import ISSUER

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]

CONFIG_MAP = "istio-ca-root-cert"
RIGHTS = TOKENS + WRITING + config_map(CONFIG_MAP)


def configuration(kubeconfig):
    return f"kubernetes:\n  kubeconfig: {kubeconfig}\n  roots_config_map: {{name: {CONFIG_MAP}}}\n  mount_delay: 1s\n"


@pytest.fixture
def started(server):
    """A server that publishes in the cluster, by the rights of the chart."""
    def start(cluster, name):
        cluster.create_account("default", name, rules=RIGHTS)
        ca = server(config=configuration(cluster.account_kubeconfig("default", name)))
        wait_until(lambda: published_in(cluster, "default"), 60, lambda: fact(ca) + ca.log())
        return ca
    return start


def published_in(cluster, namespace):
    return bool(cluster.admin.list("v1/ConfigMap", namespace, fieldSelector=f"metadata.name={CONFIG_MAP}"))


def fact(ca, name=f"published ConfigMap {CONFIG_MAP}"):
    facts = json.loads(ca.cli("check", "-o", "json", check=False).stdout)["facts"]
    return json.dumps(next(each for each in facts if each["name"] == name))


def test_changes_that_the_api_server_has_forgotten_are_listed_anew(started, clusters):
    cluster = clusters()
    ca = started(cluster, "ca")
    os.kill(ca.pid, signal.SIGSTOP)
    try:
        cluster.create_namespace("meanwhile")
        cluster.kill_api_server()
        cluster.start_api_server()  # it remembers no change from before its start
        cluster.admin.delete("v1/ConfigMap", CONFIG_MAP, "default")
    finally:
        os.kill(ca.pid, signal.SIGCONT)
    for namespace in ("meanwhile", "default"):
        wait_until(lambda: published_in(cluster, namespace), 60, lambda: fact(ca) + ca.log())  # noqa: B023
    wait_until(lambda: any(call.verb == "watch" and call.code == 410 or "too old resource version" in json.dumps(call.event)
                           for call in cluster.calls("system:serviceaccount:default:ca")) or "410" in ca.log(), 60, ca.log)
    wait_until(lambda: '"state": "ok"' in fact(ca), 60, lambda: fact(ca))


def test_an_api_server_that_falls_silent_is_noticed_and_taken_up_again(started, clusters):
    cluster = clusters()
    ca = started(cluster, "ca")
    silent = cluster.api_server
    os.kill(silent.pid, signal.SIGSTOP)
    try:
        # Calls that are made every few seconds get no answer, and neither does a probe.
        wait_until(lambda: '"state": "ok"' not in fact(ca, "cluster"), 60, lambda: fact(ca, "cluster"))
        assert "it is away (API server https://127.0.0.1:" in fact(ca, "cluster"), fact(ca, "cluster")
        assert "meshca_kubernetes_api_server_away 1" in ca.get("/metrics")
        assert ca.cli("status").returncode == 0
    finally:
        os.kill(silent.pid, signal.SIGCONT)
    wait_until(lambda: '"state": "ok"' in fact(ca, "cluster"), 90, lambda: fact(ca, "cluster") + ca.log())
    assert "meshca_kubernetes_api_server_returns_total 1" in ca.get("/metrics")
    cluster.create_namespace("afterwards")
    wait_until(lambda: published_in(cluster, "afterwards"), 60, lambda: fact(ca) + ca.log())


def test_an_api_server_with_too_much_to_do_gets_everything_in_its_own_time(started, clusters):
    """It takes one write at a time and refuses every other by 429."""
    cluster = clusters(api_server_options=["--enable-priority-and-fairness=false", "--max-mutating-requests-inflight=1"])
    names = [f"busy-{i:03d}" for i in range(100)]
    for name in names:
        wait_until(lambda: created(cluster, name), 60, f"namespace {name}")  # noqa: B023
    ca = started(cluster, "ca")
    wait_until(lambda: all(published_in(cluster, name) for name in names), 120, lambda: fact(ca) + ca.log())
    refused = [call for call in cluster.calls("system:serviceaccount:default:ca") if call.code == 429]
    assert refused, "it was never refused, so nothing is shown by this"
    wait_until(lambda: '"state": "ok"' in fact(ca), 60, lambda: fact(ca))


def created(cluster, name):
    """False: somebody else was writing."""
    try:
        return cluster.create_namespace(name, wait=False)
    except Exception as error:  # noqa: BLE001
        if getattr(error, "code", 0) != 429:
            raise
        return False


def test_a_token_of_its_own_that_has_ended_is_named_and_the_next_one_is_taken(server, cluster, tmp_path):
    uid = cluster.create_account("default", "ending", rules=RIGHTS)["metadata"]["uid"]
    own = lambda lifetime: cluster.keys.account_token("default", "ending", uid, ISSUER, lifetime_s=lifetime)  # noqa: E731
    token = tmp_path / "token"
    # The API server takes a token for a minute longer than it says, and believes itself for ten seconds more.
    token.write_text(own(-30), encoding="ascii")
    ends = time.time() - 30 + 60 + 10 + 1
    token.chmod(0o600)
    config = json.loads(cluster.account_kubeconfig("default", "ending").read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"tokenFile": str(token)}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    path.chmod(0o600)
    ca = server(config=configuration(path))
    wait_until(lambda: published_in(cluster, "default"), 30, lambda: fact(ca) + ca.log())

    wait_until(lambda: time.time() > ends, 60, "the token has ended")
    cluster.create_namespace("afterwards")
    wait_until(lambda: f"its token {token} is not believed, or has ended" in fact(ca), 120, lambda: fact(ca) + ca.log())
    assert not published_in(cluster, "afterwards")
    token.write_text(own(3600), encoding="ascii")
    wait_until(lambda: published_in(cluster, "afterwards"), 60, lambda: fact(ca) + ca.log())
    wait_until(lambda: '"state": "ok"' in fact(ca), 60, lambda: fact(ca))
