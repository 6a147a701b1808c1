"""A `meshca agent` of its own for one test, and the commands a user would type against it."""

import os
import pathlib
import re
import subprocess
import urllib.request

from background import Background


class AgentProcess:
    """One agent, its state folder and its addresses.

    node, trust_domain, state_dir, http, api_socket, admin_socket: as the first screen says, once `ready` was waited for.
    """

    SCREEN = {
        "node": r"agent of node\s+(\S+)",
        "trust_domain": r"trust domain\s+(\S+)",
        "api_socket": r"Workload API\s+unix://(\S+)",
        "http": r"^HTTP\s+(\S+)",
        "admin_socket": r"\badmin\s+unix://(\S+)",
    }

    def __init__(self, meshca, folder, state_dir, args=(), config=None, env=None):
        self.meshca = pathlib.Path(meshca)
        self.folder = pathlib.Path(folder)
        self.state_dir = pathlib.Path(state_dir)
        self.args = list(args)
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("MESHCA_", "XDG_", "SPIFFE_"))}
        self.env.update(env or {})
        if config is not None:
            path = self.folder / "agent.yaml"
            path.write_text(config, encoding="utf-8")
            self.args += ["--config", str(path)]
        self.background = None

    def command(self):
        chosen = " ".join(str(word) for word in self.args)
        port = [] if "--http-listen" in chosen else ["--http-listen", "127.0.0.1:0"]
        return [self.meshca, "agent", "--state-dir", self.state_dir, *port, *self.args]

    def start(self, timeout=60, ready=True):
        """Starts it and, with `ready`, waits for the whole first screen: it serves from then on."""
        self.background = Background(self.command(), self.folder / "stderr.log", self.env, self.folder)
        if ready:
            self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=60):
        self.first_screen = self.background.wait_for_line("next", timeout)
        screen = "\n".join(self.first_screen)
        for name, pattern in self.SCREEN.items():
            match = re.search(pattern, screen, re.M)
            setattr(self, name, match.group(1) if match else None)

    @property
    def pid(self):
        return self.background.pid

    def log(self):
        return self.background.stderr_text()

    def kill(self):
        self.background.kill()

    def terminate(self, timeout=60):
        return self.background.terminate(timeout)

    def restart(self):
        if self.background.running():
            self.terminate()
        return self.start()

    def stop(self):
        """For the fixture: whatever the test did, nothing stays behind."""
        if self.background and self.background.running():
            self.background.kill()

    def cli(self, *args, check=True, timeout=60, **options):
        """`meshca ARGS --agent --state-dir ...`, finished; with `check`, exit code 0 is demanded."""
        done = subprocess.run([str(self.meshca), *[str(word) for word in args], "--agent", "--state-dir", str(self.state_dir)],
                              capture_output=True, text=True, timeout=timeout, env=self.env, check=False,
                              stdin=subprocess.DEVNULL, **options)
        if check:
            assert done.returncode == 0, f"{done.args} exited {done.returncode}\n{done.stdout}{done.stderr}\n{self.log()}"
        return done

    def get(self, path, timeout=60):
        """The body of an HTTP page, such as /metrics."""
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=timeout) as answer:
            return answer.read().decode()
