"""What the chart renders: by which values, as whom it runs, what it may do, and that a wrong value is refused."""

import copy
import hashlib
import json
import pathlib
import re
import subprocess

import pytest
import yaml
from conftest import VALUES
from helm import CHART, NAMESPACE, HelmError, named

# The first test of a run builds Helm.
pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
EVERY = pytest.mark.parametrize("values", VALUES)
SIGNER = "meshca.io/workload"
POLICY = "meshca-pod-certificate-requests"
POD_KINDS = {"StatefulSet": "server", "DaemonSet": "agent"}


def pods(things):
    """(component, pod template) of each."""
    return [(POD_KINDS[thing["kind"]], thing["spec"]["template"]) for thing in things if thing["kind"] in POD_KINDS]


def containers(template):
    assert "initContainers" not in template["spec"]
    return template["spec"]["containers"]


def config_of(things, key="meshca.yaml"):
    text = next(thing["data"][key] for thing in things if thing["kind"] == "ConfigMap" and key in thing["data"])
    return yaml.safe_load(text)


@EVERY
def test_helm_finds_no_fault_in_it(renderer, values):
    assert "0 chart(s) failed" in renderer.lint(VALUES[values])


@EVERY
def test_rendering_leaves_nothing_to_chance(renderer, rendered, values):
    assert renderer.render(VALUES[values]) == rendered[values]


def test_every_file_of_values_renders_something_else(rendered):
    texts = [json.dumps(things) for things in rendered.values()]
    assert len(set(texts)) == len(texts) == 6


WRONG = {
    "a key at the top": ("istoi: {enabled: true}", "istoi"),
    "a key of a feature": ("istio: {enbled: true}", "/istio"),
    "a key that there was": ("istio: {adoptSecret: istio-ca-secret}", "/istio"),
    "a key of the configuration": ("server: {config: {leaf: {lifetme: 1h}}}", "/server/config/leaf"),
    "a key of the agent's": ("agent: {config: {listen: ':1'}}", "/agent/config"),
    "a key of kubernetes": ("server: {config: {kubernetes: {signers: a/b}}}", "/server/config/kubernetes"),
    "a key of it that the server does not have": ("server: {config: {kubernetes: {secrets: []}}}",
                                                  "/server/config/kubernetes"),
    "a word for a list": ("server: {config: {kubernetes: {roots_config_map: {namespaces: '*'}}}}",
                          "/server/config/kubernetes/roots_config_map/namespaces"),
    "a key that the chart sets": ("server: {config: {kek_file: /tmp/kek}}", "/server/config"),
    "a key inside one, too": ("server: {config: {authority: {plugged_in_ca: /tmp}}}", "/server/config/authority"),
    "a choice that there is not": ("server: {config: {leaf: {key_type: rsa-1024}}}", "/server/config/leaf/key_type"),
    "a number out of bounds": ("server: {config: {limits: {connections_max: 0}}}", "/server/config/limits/connections_max"),
    "a duration without a unit": ("server: {config: {leaf: {lifetime: '90'}}}", "/server/config/leaf/lifetime"),
    "a number for a text": ("server: {config: {trust_domain: 7}}", "/server/config/trust_domain"),
    "what has to be there": ("server: {config: {authenticators: [{jwt: {issuer: https://a.test}}]}}", "audiences"),
    "no name for the key's Secret": ("server: {kekSecret: {name: ''}}", "/server/kekSecret/name"),
    "a delay without a unit": ("server: {config: {kubernetes: {mount_delay: soon}}}", "/server/config/kubernetes/mount_delay"),
    "a digest that is none": ("image: {digest: latest}", "/image/digest"),
    "a port that is none": ("server: {service: {port: 70000}}", "/server/service/port"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_value_is_refused_by_its_place(renderer, what):
    text, place = WRONG[what]
    with pytest.raises(HelmError, match="values don't meet the specifications of the schema") as error:
        renderer.render(yaml.safe_load(text))
    assert place in str(error.value)


def test_the_schema_refuses_unknown_keys_in_every_mapping_of_ours():
    """Those of Kubernetes' own types (affinity, tolerations, ...) are for the API server to judge."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def judge(node, place):
        if isinstance(node, dict):
            if isinstance(node.get("properties"), dict):
                assert node.get("additionalProperties") is False, place
            for key, child in node.items():
                judge(child, f"{place}/{key}")
        elif isinstance(node, list):
            for child in node:
                judge(child, place)

    judge(schema, "")
    # And every default has its place in the schema: Helm checks the chart's own values as well as the user's.
    assert set(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))) <= set(schema["properties"])


# As whom it runs.

@EVERY
def test_no_pod_may_do_more_than_it_has_to(rendered, values):
    for component, template in pods(rendered[values]):
        pod = template["spec"]
        as_whom = pod["securityContext"]
        assert as_whom["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.get("hostNetwork") and not pod.get("hostIPC")
        assert pod["enableServiceLinks"] is False
        for container in containers(template):
            confined = container["securityContext"]
            assert confined["allowPrivilegeEscalation"] is False and confined["readOnlyRootFilesystem"] is True
            assert "privileged" not in confined and confined["capabilities"]["drop"] == ["ALL"]
            added = confined["capabilities"].get("add", [])
            if component == "server":
                assert added == []
            else:
                assert added == ["SYS_PTRACE"]
            assert not {"runAsUser", "runAsNonRoot", "seccompProfile"} & set(confined), "the pod's own words hold"
        if component == "server":
            assert (as_whom["runAsNonRoot"], as_whom["runAsUser"], as_whom["runAsGroup"], as_whom["fsGroup"]) == (
                True, 65532, 65532, 65532)
            assert not pod.get("hostPID")
            assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
        else:
            # The one that is root, and without root's powers: folders of the host, processes of every user.
            assert pod["hostPID"] is True and as_whom["runAsUser"] == 0


@EVERY
def test_every_pod_has_probes_bounds_and_places_to_write(rendered, values):
    for component, template in pods(rendered[values]):
        for container in containers(template):
            ports = {port["name"] for port in container["ports"]}
            for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
                assert container[probe]["httpGet"] == {"path": path, "port": "http"} and "http" in ports
            assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]
            mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
            declared = {volume["name"] for volume in template["spec"]["volumes"]}
            assert set(mounts) == declared | ({"state"} if component == "server" else set())
            for volume in template["spec"]["volumes"]:
                given = "configMap" in volume or "secret" in volume
                assert mounts[volume["name"]].get("readOnly", False) == given, volume["name"]
                if "secret" in volume:
                    assert volume["secret"]["defaultMode"] == {"server": 0o440, "agent": 0o400}[component]


@EVERY
def test_what_looks_for_pods_finds_those_that_it_is_for(rendered, values):
    labels = {component: template["metadata"]["labels"] for component, template in pods(rendered[values])}

    def finds(selector):
        return [component for component, given in labels.items() if selector.items() <= given.items()]

    for thing in rendered[values]:
        spec, kind = thing.get("spec", {}), thing["kind"]
        component = thing["metadata"]["labels"]["app.kubernetes.io/component"]
        if kind == "Service":
            assert finds(spec["selector"]) == [component]
            for port in spec["ports"]:
                assert port["targetPort"] in ("grpc", "http")
        elif kind in ("StatefulSet", "DaemonSet", "PodDisruptionBudget", "PodMonitor"):
            assert finds(spec["selector"]["matchLabels"]) == [component]
        elif kind == "NetworkPolicy":
            assert finds(spec["podSelector"]["matchLabels"]) == [component]
            assert spec["policyTypes"] == ["Ingress", "Egress"]
        elif kind == "ServiceMonitor":
            service = named(rendered[values], "Service")
            assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
            assert spec["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
    server = dict(pods(rendered[values]))["server"]["spec"]
    assert finds(server["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]) == ["server"]


def test_one_replica_is_never_in_the_way_of_a_drained_node(rendered):
    assert named(rendered["default"], "StatefulSet")["spec"]["replicas"] == 1
    assert named(rendered["default"], "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_the_image_is_named_by_its_digest_where_one_is_given(rendered):
    images = {name: {container["image"] for _, template in pods(things) for container in containers(template)}
              for name, things in rendered.items()}
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    assert images["default"] == {f"meshca:{version}"}
    assert images["everything"] == {"registry.test/meshca@" + VALUES["everything"]["image"]["digest"]}


def test_its_versions_are_the_commands(meshca):
    said = subprocess.run([meshca, "version"], capture_output=True, text=True, check=True, timeout=60).stdout.split()[1]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (said, said)


# Secrets.

@EVERY
def test_no_secret_is_made_by_the_chart(rendered, values):
    assert not [thing for thing in rendered[values] if thing["kind"] == "Secret"]
    server = dict(pods(rendered[values]))["server"]["spec"]
    secret = next(volume["secret"] for volume in server["volumes"] if volume["name"] == "kek")
    wanted = VALUES[values].get("server", {}).get("kekSecret", {"name": "meshca-kek", "key": "kek"})
    assert secret["secretName"] == wanted["name"] and secret["items"] == [{"key": wanted["key"], "path": "kek"}]
    assert not secret.get("optional"), "without its key the server must not start: it would make another one"


# The configuration.

@EVERY
def test_the_command_takes_the_configuration(meshca, rendered, values, tmp_path):
    files = [("meshca.yaml", [])] + ([("agent.yaml", ["--agent"])] if "agent" in dict(pods(rendered[values])) else [])
    for name, words in files:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(config_of(rendered[values], name)), encoding="utf-8")
        done = subprocess.run([meshca, "config", "validate", "--config", path, *words], capture_output=True, text=True,
                              check=False, timeout=60)
        assert done.returncode == 0, done.stderr


def test_what_the_chart_sets_is_where_the_pod_has_it(rendered):
    for values, things in rendered.items():
        config = config_of(things)
        server = dict(pods(things))["server"]["spec"]["containers"][0]
        mounts = [mount["mountPath"] for mount in server["volumeMounts"]]
        for key in ("state_dir", "kek_file", "admin_socket", "api_socket"):
            assert any(config[key].startswith(mount + "/") for mount in mounts), (values, key)
        assert [port["containerPort"] for port in server["ports"]] == [int(config[key].lstrip(":"))
                                                                        for key in ("listen", "http_listen")]
        service = named(things, "Service")["metadata"]
        assert f"{service['name']}.{service['namespace']}.svc" in config["server_names"]
    everything = config_of(rendered["everything"])
    assert everything["server_names"] == ["mesh-ca.meshca-system.svc", "mesh-ca.meshca-system.svc.cluster.test", "ca.mesh.test"]
    assert everything["authority"] == {"plugged_in_ca": "/etc/meshca/ca", "issuing_lifetime": "20d"}


def test_an_agent_calls_the_server_of_its_release_by_a_name_that_its_certificate_has(rendered):
    host, port = config_of(rendered["agents"], "agent.yaml")["server"][0].split(":")
    assert host in config_of(rendered["agents"])["server_names"]
    assert int(port) == next(each["port"] for each in named(rendered["agents"], "Service")["spec"]["ports"]
                             if each["targetPort"] == "grpc")


def test_the_agents_admin_socket_is_not_where_pods_can_reach_it(rendered):
    config = config_of(rendered["agents"], "agent.yaml")
    template = dict(pods(rendered["agents"]))["agent"]
    shared = [mount["mountPath"] for mount in containers(template)[0]["volumeMounts"] if mount["name"] == "socket"]
    assert config["api_socket"].startswith(shared[0] + "/") and not config["admin_socket"].startswith(shared[0])


def test_a_changed_configuration_starts_the_pods_anew(renderer, rendered):
    changed = copy.deepcopy(VALUES["agents"])
    changed["server"] = {"config": {"leaf": {"lifetime": "1h"}}}
    before, after = dict(pods(rendered["agents"])), dict(pods(renderer.render(changed)))
    assert before["server"]["metadata"]["annotations"] != after["server"]["metadata"]["annotations"]
    assert before["agent"] == after["agent"]


def test_istio_sets_what_its_proxies_expect_and_single_keys_can_be_others(rendered):
    assert "kubernetes" not in config_of(rendered["default"]) and "kubernetes" not in config_of(rendered["agents"])
    istio = {
        "audiences": ["istio-ca"],
        "trusted_node_accounts": ["istio-system/ztunnel"],
        # In all namespaces but those that the server leaves out by itself.
        "roots_config_map": {"name": "istio-ca-root-cert", "key": "root-cert.pem"},
        "cluster_trust_bundle": {"name": "istio.io:istiod-ca:root-cert", "signer_name": "istio.io/istiod-ca"},
        "server_secrets": [{
            "namespace": "istio-system", "name": "istiod-tls", "service_account": "istiod", "pods": "app=istiod",
            "dns_names": ["istiod.istio-system.svc", "istiod-remote.istio-system.svc", "istio-pilot.istio-system.svc"]}]}
    assert config_of(rendered["istio"])["kubernetes"] == istio
    revisions = [{"namespace": "mesh-system", "name": "istiod-tls", "service_account": "istiod-canary", "pods": "app=istiod",
                  "dns_names": [f"{name}.mesh-system.svc" for name in
                                ("istiod", "istiod-remote", "istio-pilot", "istiod-canary", "istiod-stable")]}]
    assert config_of(rendered["everything"])["kubernetes"] == {
        **istio, "trusted_node_accounts": ["mesh-system/ztunnel"], "server_secrets": revisions,
        "signer": SIGNER, "verify": "token-review", "mount_delay": "3m"}
    assert config_of(rendered["signer"])["kubernetes"] == {"signer": SIGNER}


def test_kubernetes_with_nothing_in_it_is_on(renderer):
    things = renderer.render({"server": {"config": {"kubernetes": {}}}})
    assert config_of(things)["kubernetes"] == {}
    assert dict(pods(things))["server"]["spec"]["automountServiceAccountToken"] is True


# What it may do.

def rights(things):
    """{(resource or path, name or *): verbs} of all roles; of a Role with " in NAMESPACE" behind the resource."""
    found = {}
    for role in things:
        if role["kind"] not in ("ClusterRole", "Role"):
            continue
        place = f" in {role['metadata']['namespace']}" if role["kind"] == "Role" else ""
        for rule in role["rules"]:
            things_meant = [f"{rule['apiGroups'][0]}/{resource}{place}" for resource in rule.get("resources", ())]
            for thing in things_meant + rule.get("nonResourceURLs", []):
                for name in rule.get("resourceNames", ["*"]):
                    assert (thing, name) not in found
                    found[thing, name] = " ".join(rule["verbs"])
    return found


PUBLISH = "list watch create patch"
OF_TOKENS = {("authentication.k8s.io/tokenreviews", "*"): "create",
             ("/pods", "*"): "list watch", ("/serviceaccounts", "*"): "list watch",
             ("/openid/v1/jwks", "*"): "get", ("/.well-known/openid-configuration", "*"): "get"}
OF_ISTIO = {("/namespaces", "*"): "list watch", ("/configmaps", "istio-ca-root-cert"): PUBLISH,
            ("certificates.k8s.io/clustertrustbundles", "istio.io:istiod-ca:root-cert"): PUBLISH,
            ("certificates.k8s.io/signers", "istio.io/istiod-ca"): "attest"}
OF_ISTIOD = {("/secrets in istio-system", "istiod-tls"): PUBLISH}
OF_AN_UNGUARDED_SIGNER = {("certificates.k8s.io/podcertificaterequests", "*"): "get list watch",
                          ("certificates.k8s.io/podcertificaterequests/status", "*"): "update",
                          ("certificates.k8s.io/certificatesigningrequests", "*"): "get list watch",
                          ("certificates.k8s.io/certificatesigningrequests/approval", "*"): "patch",
                          ("certificates.k8s.io/certificatesigningrequests/status", "*"): "patch",
                          ("certificates.k8s.io/signers", SIGNER): "sign approve"}
OF_EVENTS = {("events.k8s.io/events", "*"): "create patch"}
OF_THE_LEASE = {("coordination.k8s.io/leases in kube-system", "meshca-cluster.local"): "get create update", **OF_EVENTS}
OF_THE_SIGNER = {**OF_AN_UNGUARDED_SIGNER,
                 ("admissionregistration.k8s.io/validatingadmissionpolicies", POLICY): "get",
                 ("admissionregistration.k8s.io/validatingadmissionpolicybindings", POLICY): "get"}
RIGHTS = {
    "default": {},
    "agents": {},
    "istio": {**OF_TOKENS, **OF_ISTIO, **OF_ISTIOD, **OF_THE_LEASE},
    "signer": {**OF_TOKENS, **OF_THE_SIGNER, **OF_THE_LEASE},
    "istio-with-signer": {**OF_TOKENS, **OF_ISTIO, **OF_ISTIOD, **OF_THE_SIGNER, **OF_THE_LEASE},
    "everything": {**OF_TOKENS, **OF_ISTIO, ("/secrets in mesh-system", "istiod-tls"): PUBLISH, **OF_THE_SIGNER, **OF_EVENTS,
                   ("coordination.k8s.io/leases in kube-system", "meshca-mesh.test"): "get create update"},
}


@EVERY
def test_rights_are_those_of_what_is_on(rendered, values):
    assert rights(rendered[values]) == RIGHTS[values]
    account = named(rendered[values], "StatefulSet")["spec"]["template"]["spec"]["serviceAccountName"]
    for binding in rendered[values]:
        if binding["kind"] in ("ClusterRoleBinding", "RoleBinding"):
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]
            assert binding["roleRef"]["name"] == binding["metadata"]["name"]
            assert binding["roleRef"]["kind"] == binding["kind"].removesuffix("Binding")


@EVERY
def test_a_token_is_mounted_where_something_is_asked_of_kubernetes_alone(rendered, values):
    for component, template in pods(rendered[values]):
        wanted = component == "server" and bool(RIGHTS[values])
        assert template["spec"]["automountServiceAccountToken"] is wanted
    for account in rendered[values]:
        if account["kind"] == "ServiceAccount":
            assert account["automountServiceAccountToken"] is False


def test_rights_to_publish_are_for_the_names_that_are_configured(renderer):
    kubernetes = {"roots_config_map": {"name": "roots", "key": "roots.pem"},
                  "cluster_trust_bundle": {"name": "other.test:x:roots", "signer_name": "other.test/x"}}
    given = rights(renderer.render({"server": {"config": {"kubernetes": kubernetes}}}))
    assert given == {**OF_TOKENS, ("/namespaces", "*"): "list watch", **OF_THE_LEASE, ("/configmaps", "roots"): PUBLISH,
                     ("certificates.k8s.io/clustertrustbundles", "other.test:x:roots"): PUBLISH,
                     ("certificates.k8s.io/signers", "other.test/x"): "attest"}


def test_rights_to_keep_certificates_are_for_the_secrets_that_are_configured(renderer):
    def secret(namespace, name):
        return {"namespace": namespace, "name": name, "service_account": "a", "dns_names": ["a.test"]}

    kubernetes = {"server_secrets": [secret("web", "front"), secret("web", "back"), secret("mesh", "front")]}
    given = rights(renderer.render({"server": {"config": {"kubernetes": kubernetes}}}))
    assert given == {**OF_TOKENS, **OF_THE_LEASE, ("/secrets in web", "front"): PUBLISH, ("/secrets in web", "back"): PUBLISH,
                     ("/secrets in mesh", "front"): PUBLISH}
    without = {"istio": {"enabled": True}, "server": {"config": {"kubernetes": {"server_secrets": []}}}}
    assert rights(renderer.render(without)) == {**OF_TOKENS, **OF_ISTIO, **OF_THE_LEASE}


def test_a_signer_without_a_policy_has_no_right_to_look_at_one(renderer):
    kubernetes = {"signer": SIGNER, "signer_without_policy": True}
    things = renderer.render({"server": {"config": {"kubernetes": kubernetes}}, "admissionPolicy": {"create": False}})
    assert rights(things) == {**OF_TOKENS, **OF_AN_UNGUARDED_SIGNER, **OF_THE_LEASE}
    assert not [thing for thing in things if thing["kind"].startswith("ValidatingAdmission")]


def test_judging_tokens_alone_takes_no_lease(renderer):
    assert rights(renderer.render({"server": {"config": {"kubernetes": {}}}})) == OF_TOKENS


@pytest.mark.parametrize(("domain", "name"), (
    ("prod.example", "meshca-prod.example"), ("mesh_1.test", "meshca-97a72e269ba4fd4a8732281fd4c8b002"),
    ("a..b", "meshca-" + hashlib.sha256(b"a..b").hexdigest()[:32]),
    ("a" * 201, "meshca-" + hashlib.sha256(b"a" * 201).hexdigest()[:32])))
def test_the_lease_is_the_trust_domains_in_whatever_namespace_all_look_for_it(renderer, domain, name):
    kubernetes = {"signer": SIGNER, "lease_namespace": "mesh-leases"}
    things = renderer.render({"server": {"config": {"trust_domain": domain, "kubernetes": kubernetes}}})
    assert rights(things)["coordination.k8s.io/leases in mesh-leases", name] == "get create update"
    assert config_of(things)["kubernetes"]["lease_namespace"] == "mesh-leases"


def test_without_events_there_is_no_right_to_write_them(renderer):
    given = rights(renderer.render({"server": {"config": {"kubernetes": {"signer": SIGNER, "events": False}}}}))
    assert given == {right: verbs for right, verbs in {**OF_TOKENS, **OF_THE_SIGNER, **OF_THE_LEASE}.items() if right not in OF_EVENTS}


def test_the_rights_can_be_left_to_others(renderer):
    values = {**VALUES["everything"], "server": {**VALUES["everything"]["server"], "rbac": {"create": False}}}
    assert not [thing for thing in renderer.render(values) if thing["kind"].endswith(("Role", "RoleBinding"))]


@EVERY
def test_the_policy_against_forgers_stands_with_the_signer(rendered, values):
    policies = [thing for thing in rendered[values] if thing["kind"].startswith("ValidatingAdmissionPolicy")]
    assert len(policies) == (2 if "signer" in values or values == "everything" else 0)
    # The server looks for both by this name.
    assert {policy["metadata"]["name"] for policy in policies} <= {POLICY}


def test_two_releases_in_one_cluster_do_not_take_each_others_objects(renderer):
    first, second = VALUES["everything"], {**VALUES["everything"], "admissionPolicy": {"create": False}}
    once, again = renderer.render(first, namespace="one"), renderer.render(second, namespace="two")
    placed = {(thing["kind"], thing["metadata"].get("namespace"), thing["metadata"]["name"]) for thing in once}
    assert len(placed) == len(once)
    assert not placed & {(thing["kind"], thing["metadata"].get("namespace"), thing["metadata"]["name"]) for thing in again}


def test_network_policies_let_in_and_out_what_is_needed(rendered):
    policy = {name: named(things, "NetworkPolicy", named(things, "StatefulSet")["metadata"]["name"])["spec"]
              for name, things in rendered.items()}
    for name, spec in policy.items():
        assert spec["ingress"][0]["ports"] == [{"port": "grpc", "protocol": "TCP"}]
        out = [port["port"] for rule in spec["egress"] for port in rule["ports"]]
        assert out == {"default": [53, 53], "agents": [53, 53], "everything": [53, 53, 443, 6443, 443]}.get(
            name, [53, 53, 443, 6443])
    assert "from" not in policy["default"]["ingress"][0] and "from" in policy["everything"]["ingress"][0]


# Watching over it.

def test_alerts_and_dashboard_ask_for_metrics_that_there_are(rendered):
    sources = " ".join(path.read_text(encoding="utf-8") for folder in ("server", "process", "agent_process")
                       for path in (ROOT / "cli" / folder).glob("*.cc"))
    known = set(re.findall(r'"((?:meshca|citadel|process)_\w+)"', sources))
    alerts = named(rendered["everything"], "PrometheusRule")["spec"]["groups"]
    asked = [rule["expr"] for group in alerts for rule in group["rules"]]
    dashboard = next(json.loads(thing["data"]["meshca.json"]) for thing in rendered["everything"]
                     if thing["kind"] == "ConfigMap" and "meshca.json" in thing["data"])
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) > 40
    for expression in asked:
        names = re.findall(r"\b(?:meshca|citadel|process)_\w+", re.sub(r'"[^"]*"', "", expression))
        assert names, expression
        for name in names:
            assert re.sub(r"_(bucket|sum|count)$", "", name) in known, expression
        assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


def test_every_alert_says_how_bad_it_is_and_what_to_do(rendered):
    rules = [rule for group in named(rendered["everything"], "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"].endswith(".")
