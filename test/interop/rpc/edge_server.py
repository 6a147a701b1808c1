"""The edge's test server as a process."""

import json

from background import Background, wait_until


class InteropServer:
    """interop_server on free ports: `address` plaintext or TLS, and what it says about itself."""

    def __init__(self, binary, folder, arguments):
        self.process = Background([binary, *arguments, "127.0.0.1:0", f"unix:{folder}/edge.sock"], folder / "stderr")
        lines = self.process.wait_for_line("ready")
        self.address = lines[0].removeprefix("listening ")
        self.unix_path = lines[1].removeprefix("listening unix:")

    @property
    def host_port(self):
        host, port = self.address.rsplit(":", 1)
        return host, int(port)

    def stats(self):
        """The server's counters now."""
        before = sum(line.startswith("stats ") for line in self.process.lines)
        self.process.signal(10)  # SIGUSR1

        def answer():
            found = [line for line in self.process.lines if line.startswith("stats ")]
            return found[-1] if len(found) > before else None

        return json.loads(wait_until(answer, 60, "no answer to SIGUSR1").removeprefix("stats "))

    def stop(self):
        """Gracefully, as SIGTERM asks."""
        if self.process.running():
            assert self.process.terminate() == 0
