"""A kubelet renews its pod's certificate in its own time, and that is all that a rotation of the root waits for."""

import json

import pytest
from background import wait_until
from pod_certificates import chain_in, verified_by_openssl
from rotation import status

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]
# Ten minutes after notBefore, which lies four minutes back; up to five of the kubelet's own, and its next look at the pod.
OWN_TIME_S = 15 * 60


def test_a_pod_that_nobody_touches_leaves_the_old_root_by_itself(unattended):
    ca, volume = unattended.ca, unattended.volume
    laggards = json.dumps(status(ca)["laggards"])
    if chain_in(volume) == unattended.first:
        assert "/ns/unattended/sa/default" in laggards, laggards
    wait_until(lambda: chain_in(volume) != unattended.first, OWN_TIME_S, ca.log)
    leaf, first = chain_in(volume)[0], unattended.first[0]
    assert leaf.public_key() != first.public_key()
    assert leaf.issuer != first.issuer or chain_in(volume)[1] != unattended.first[1]
    assert verified_by_openssl(volume)[0], verified_by_openssl(volume)
    wait_until(lambda: ca.cli("root", "retire", check=False).returncode == 0, 60, lambda: json.dumps(status(ca)))
    wait_until(lambda: (volume / "roots.pem").read_text(encoding="ascii").count("BEGIN CERTIFICATE") == 1, 120,
               lambda: json.dumps(status(ca)))
    assert verified_by_openssl(volume)[0], verified_by_openssl(volume)
