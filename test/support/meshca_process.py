"""A `meshca serve` of its own for one test, and the commands a user would type against it."""

import os

from served_process import ServedProcess


class MeshcaProcess(ServedProcess):
    """One server. grpc ("127.0.0.1:40123"), http, api_socket, admin_socket, root_fingerprint, trust_domain: as the first
    screen says."""

    SCREEN = {
        "trust_domain": r"trust domain\s+(\S+)",
        "root_fingerprint": r"^root\s+(\S+)",
        "grpc": r"CSR service\s+(\S+)",
        "api_socket": r"SDS\s+unix://(\S+)",
        "http": r"^HTTP\s+(\S+)",
        "admin_socket": r"\badmin\s+unix://(\S+)",
    }

    def command(self):
        ports = self.free_ports("--listen", "--http-listen")
        return [self.meshca, "serve", "--state-dir", self.state_dir, *ports, *self.args]

    @property
    def root_pem(self):
        """The trust bundle, PEM."""
        return self.cli("bundle", "show", "--format", "pem").stdout

    def entitle(self, *spiffe_ids):
        """Entries by which the user who runs the tests may hold these identities on the API socket; the first is its
        `default`. Nobody holds anything there without one."""
        for spiffe_id in spiffe_ids:
            self.cli("entry", "create", spiffe_id, "--selector", f"unix:uid:{os.geteuid()}")
