"""What a `meshca serve` may do in a test's cluster, as rules of a ClusterRole: those of the chart, each for what it is for."""

TOKENS = [
    {"apiGroups": [""], "resources": ["namespaces", "pods", "serviceaccounts"], "verbs": ["list", "watch"]},
    {"nonResourceURLs": ["/openid/v1/jwks", "/.well-known/openid-configuration"], "verbs": ["get"]},
]
REVIEWS = [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]
LEASE = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}]
EVENTS = [{"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}]
# Whoever publishes or signs holds the Lease, and tells of what he does.
WRITING = LEASE + EVENTS


def config_map(name):
    return [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name], "verbs": ["list", "watch", "create", "patch"]}]


def trust_bundle(signer):
    return [{"apiGroups": ["certificates.k8s.io"], "resources": ["clustertrustbundles"], "verbs": ["list", "watch", "create", "patch"]},
            {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [signer], "verbs": ["attest"]}]
