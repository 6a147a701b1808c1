"""A `meshca serve` of its own for one test, and the commands a user would type against it."""

import os
import pathlib
import re
import subprocess
import urllib.request

from background import Background


class MeshcaProcess:
    """One server, its state folder and its addresses.

    state_dir, grpc ("127.0.0.1:40123"), http, api_socket, admin_socket, root_fingerprint, trust_domain: as the first
    screen says.
    """

    # The first screen, line by line; a value ends at two spaces or the line's end.
    SCREEN = {
        "trust_domain": r"trust domain\s+(\S+)",
        "root_fingerprint": r"^root\s+(\S+)",
        "grpc": r"CSR service\s+(\S+)",
        "api_socket": r"SDS\s+unix://(\S+)",
        "http": r"^HTTP\s+(\S+)",
        "admin_socket": r"\badmin\s+unix://(\S+)",
    }

    def __init__(self, meshca, folder, state_dir, args=(), config=None, env=None):
        self.meshca = pathlib.Path(meshca)
        self.folder = pathlib.Path(folder)
        self.state_dir = pathlib.Path(state_dir)
        self.args = list(args)
        # No setting of the person who runs the tests reaches the server.
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("MESHCA_", "XDG_"))}
        self.env.update(env or {})
        if config is not None:
            path = self.folder / "meshca.yaml"
            path.write_text(config, encoding="utf-8")
            self.args += ["--config", str(path)]
        self.background = None

    def command(self):
        chosen = " ".join(str(word) for word in self.args)
        ports = []
        for flag in ("--listen", "--http-listen"):
            if flag + " " not in chosen + " " and flag + "=" not in chosen:
                ports += [flag, "127.0.0.1:0"]
        return [self.meshca, "serve", "--state-dir", self.state_dir, *ports, *self.args]

    def start(self, timeout=60):
        """Starts it and waits for the whole first screen: the server answers from then on."""
        self.background = Background(self.command(), self.folder / "stderr.log", self.env, self.folder)
        self.first_screen = self.background.wait_for_line("next", timeout)
        screen = "\n".join(self.first_screen)
        for name, pattern in self.SCREEN.items():
            match = re.search(pattern, screen, re.M)
            setattr(self, name, match.group(1) if match else None)
        return self

    @property
    def pid(self):
        return self.background.pid

    @property
    def root_pem(self):
        """The trust bundle, PEM."""
        return self.cli("bundle", "show", "--format", "pem").stdout

    def log(self):
        return self.background.stderr_text()

    def kill(self):
        self.background.kill()

    def terminate(self, timeout=60):
        return self.background.terminate(timeout)

    def restart(self):
        """SIGTERM where it still runs, then a start on the same state; port 0 may give another address."""
        if self.background.running():
            self.terminate()
        return self.start()

    def stop(self):
        """For the fixture: whatever the test did, nothing stays behind."""
        if self.background and self.background.running():
            self.background.kill()

    def cli(self, *args, check=True, timeout=60, **options):
        """`meshca ARGS --state-dir ...`, finished; with `check`, exit code 0 is demanded."""
        done = subprocess.run([str(self.meshca), *[str(word) for word in args], "--state-dir", str(self.state_dir)],
                              capture_output=True, text=True, timeout=timeout, env=self.env, check=False,
                              stdin=subprocess.DEVNULL, **options)
        if check:
            assert done.returncode == 0, f"{done.args} exited {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def entitle(self, *spiffe_ids):
        """Entries by which the user who runs the tests may hold these identities on the API socket; the first is its
        `default`. Nobody holds anything there without one."""
        for spiffe_id in spiffe_ids:
            self.cli("entry", "create", spiffe_id, "--selector", f"unix:uid:{os.geteuid()}")

    def get(self, path, timeout=60):
        """The body of an HTTP page, such as /metrics."""
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=timeout) as answer:
            return answer.read().decode()
