"""Pods that get their certificates from kubelets: a server that answers those, such pods, and what lies in their volumes."""

import base64
import json
import pathlib
import subprocess
import time

import yaml
from background import wait_until
from cluster_rights import TOKENS, WRITING, trust_bundle
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from rotation import seconds

SIGNER, OPEN_SIGNER = "meshca.io/workload", "meshca.io/open"
BUNDLE, BUNDLE_SIGNER = "istio.io:istiod-ca:root-cert", "istio.io/istiod-ca"
CERTIFICATES, BETA = "certificates.k8s.io/v1", "certificates.k8s.io/v1beta1"
REQUEST = f"{CERTIFICATES}/PodCertificateRequest"
ADMISSION = "admissionregistration.k8s.io/v1"
TAKES_HOLD_S = 10  # kPolicyTakesHold
POLICY_NAME = "meshca-pod-certificate-requests"
POLICY = pathlib.Path(__file__).parents[2] / "ca/pod_certificates/admission_policy.yaml"
SIGN = {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [SIGNER, OPEN_SIGNER], "verbs": ["sign"]}
RIGHTS = TOKENS + WRITING + trust_bundle(BUNDLE_SIGNER) + [
    {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests/status"], "verbs": ["update"]},
    {"apiGroups": ["admissionregistration.k8s.io"], "resourceNames": [POLICY_NAME], "verbs": ["get"],
     "resources": ["validatingadmissionpolicies", "validatingadmissionpolicybindings"]},
    SIGN,
]


def apply_policy(cluster):
    """Returns once requests that are made from then on are signed: what is older may be a stranger's."""
    made = [cluster.admin.apply(thing) for thing in yaml.safe_load_all(POLICY.read_text(encoding="utf-8"))]
    since = max(seconds(written["time"]) for thing in made for written in thing["metadata"]["managedFields"]
                if "time" in written) + TAKES_HOLD_S
    wait_until(lambda: time.time() > since + 1, 60, "the policy has taken hold")


def configuration(kubeconfig, signer=SIGNER, more=""):
    return f"""
kubernetes:
  kubeconfig: {kubeconfig}
  cluster_trust_bundle: {{name: "{BUNDLE}", signer_name: {BUNDLE_SIGNER}, mount_delay: 1s}}
  mount_delay: 1s
  signer: {signer}
{more}"""


def signer_fact(ca, signer=SIGNER):
    facts = json.loads(ca.cli("check", "-o", "json", check=False).stdout)["facts"]
    return next(fact for fact in facts if fact["name"] == f"signer {signer}")


def signing(ca):
    wait_until(lambda: "\nmeshca_kubernetes_signer_on 1" in ca.get("/metrics"), 60,
               lambda: json.dumps(signer_fact(ca)) + ca.log())
    return ca


def pod_of(cluster, namespace, node, name, key_type="ECDSAP256"):
    """A pod whose volume `identity` has its certificate, its key and the roots."""
    return cluster.create_pod(namespace, name, node=node, volumes=[{"name": "identity", "projected": {"sources": [
        {"podCertificate": {"signerName": SIGNER, "keyType": key_type, "keyPath": "key.pem", "certificateChainPath": "chain.pem",
                            "maxExpirationSeconds": 3600}},
        {"clusterTrustBundle": {"signerName": BUNDLE_SIGNER, "labelSelector": {}, "path": "roots.pem"}}]}}])


def conditions(cluster, namespace, name, kind=REQUEST):
    return cluster.admin.get(kind, name, namespace).get("status", {}).get("conditions", [])


def answered(cluster, namespace, name):
    """The condition by which the request was answered."""
    thing = cluster.admin.wait_for(REQUEST, name, lambda now: now and now.get("status", {}).get("conditions"), namespace)
    return thing["status"]["conditions"][0]


def request_for(cluster, pod, key, api_version=CERTIFICATES, signer=SIGNER, name="by-hand", **changes):
    """A request such as a kubelet makes for the pod, by `key`; of v1beta1 in its older form."""
    metadata = pod["metadata"]
    account = cluster.admin.get("v1/ServiceAccount", pod["spec"]["serviceAccountName"], metadata["namespace"])
    node = cluster.admin.get("v1/Node", pod["spec"]["nodeName"])
    spec = {"signerName": signer, "podName": metadata["name"], "podUID": metadata["uid"],
            "serviceAccountName": account["metadata"]["name"], "serviceAccountUID": account["metadata"]["uid"],
            "nodeName": node["metadata"]["name"], "nodeUID": node["metadata"]["uid"], "maxExpirationSeconds": 7200, **changes}
    encoded = lambda data: base64.b64encode(data).decode()  # noqa: E731
    if api_version == CERTIFICATES:
        stub = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        spec["stubPKCS10Request"] = encoded(stub.public_bytes(serialization.Encoding.DER))
    else:
        spec["pkixPublicKey"] = encoded(key.public_key().public_bytes(serialization.Encoding.DER,
                                                                      serialization.PublicFormat.SubjectPublicKeyInfo))
        proven = metadata["uid"].encode()
        if isinstance(key, rsa.RSAPrivateKey):  # as Go does, with the longest salt
            proof = key.sign(proven, padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH), hashes.SHA256())
        else:
            proof = key.sign(proven, ec.ECDSA(hashes.SHA256()))
        spec["proofOfPossession"] = encoded(proof)
    return {"apiVersion": api_version, "kind": "PodCertificateRequest",
            "metadata": {"name": name, "namespace": metadata["namespace"]}, "spec": spec}


def chain_in(folder):
    return x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())


def uri_of(certificate):
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def verified_by_openssl(folder):
    """What openssl says of the pod's chain by the roots that were published to the same pod."""
    ran = subprocess.run(["openssl", "verify", "-purpose", "sslserver", "-CAfile", folder / "roots.pem", "-untrusted",
                          folder / "chain.pem", folder / "chain.pem"], capture_output=True, text=True, check=False)
    return ran.returncode == 0, ran.stdout + ran.stderr


def records(ca):
    return json.loads(ca.cli("cert", "list", "-o", "json").stdout)
