"""An Envoy that is a workload of a meshca, and what the server says about it."""

import json

from background import wait_until

FRONTEND = "spiffe://cluster.local/ns/test/sa/frontend"
BACKEND = "spiffe://cluster.local/ns/test/sa/backend"


class Workload:
    """One Envoy and the secrets it was given. `files`: where the certificate lies that it reaches the CA with over mTLS."""

    def __init__(self, process, spiffe_id, name, files):
        self.process = process
        self.spiffe_id = spiffe_id
        self.name = name
        self.files = files

    def serials(self):
        """Serials (hex) of the leaves it got over SDS and presents now; not those it read from files."""
        return {certificate["serial_number"].lower().lstrip("0")
                for entry in self.process.certs().get("certificates", [])
                for certificate in entry.get("cert_chain", [])
                if certificate["path"] == "<inline>" and {"uri": self.spiffe_id} in certificate.get("subject_alt_names", [])}

    def port(self, listener):
        return self.process.listener_port(listener)

    def await_key_other_than(self, serials, timeout=60):
        return wait_until(lambda: self.serials() - serials, timeout,
                          lambda: f"{self.name} got no new key\n{self.process.log()[-3000:]}")


def rows(server, *command):
    """`meshca COMMAND -o json`: its rows, whatever the list is called."""
    found = json.loads(server.cli(*command, "-o", "json").stdout)
    return found if isinstance(found, list) else next(iter(found.values()))


def subscriber(server, spiffe_id):
    """The one connected subscriber with that ID, or nothing yet."""
    found = [row for row in rows(server, "subscriber", "list") if row["spiffe_id"] == spiffe_id and row["connected"]]
    assert len(found) <= 1, found
    return found[0] if found else None
