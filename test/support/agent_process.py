"""A `meshca agent` of its own for one test, and the commands a user would type against it."""

from served_process import ServedProcess


class AgentProcess(ServedProcess):
    """One agent. node, trust_domain, http, api_socket, admin_socket: as the first screen says."""

    SCREEN = {
        "node": r"agent of node\s+(\S+)",
        "trust_domain": r"trust domain\s+(\S+)",
        "api_socket": r"Workload API\s+unix://(\S+)",
        "http": r"^HTTP\s+(\S+)",
        "admin_socket": r"\badmin\s+unix://(\S+)",
    }
    CLEARED = ("MESHCA_", "XDG_", "SPIFFE_")
    CHOSEN = ("--agent",)

    def command(self):
        return [self.meshca, "agent", "--state-dir", self.state_dir, *self.free_ports("--http-listen"), *self.args]
