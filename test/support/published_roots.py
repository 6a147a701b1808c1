"""The roots where a server publishes them in a cluster, and what it says of that."""

import json

CONFIG_MAP = "istio-ca-root-cert"
LEASE = "coordination.k8s.io/v1/Lease"


def published(cluster, namespace):
    """What the namespace's ConfigMap shows; None: there is none."""
    found = cluster.admin.list("v1/ConfigMap", namespace, fieldSelector=f"metadata.name={CONFIG_MAP}")
    return found[0]["data"].get("root-cert.pem") if found else None


def facts(ca):
    """What `meshca check` found, by name."""
    return {fact["name"]: fact for fact in json.loads(ca.cli("check", "-o", "json", check=False).stdout)["facts"]}


def lease(cluster, name):
    """The Lease of those who may publish: meshca-TRUSTDOMAIN."""
    return cluster.admin.get(LEASE, name, "kube-system")
