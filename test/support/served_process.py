"""A long-running `meshca` command of one test, and what a user would type against it."""

import os
import pathlib
import re
import subprocess
import urllib.request

from background import Background


class ServedProcess:
    """One process, its state folder and its addresses: a server or an agent, whose class says how it is started.

    What SCREEN names is read off the first screen and stands in attributes of that name, once it was waited for.
    """

    SCREEN = {}  # attribute: pattern of its line; a value ends at two spaces or the line's end
    CLEARED = ("MESHCA_", "XDG_")  # no setting of the person who runs the tests reaches it
    CHOSEN = ()  # what turns a command to this process, before --state-dir

    def __init__(self, meshca, folder, state_dir, args=(), config=None, env=None):
        self.meshca = pathlib.Path(meshca)
        self.folder = pathlib.Path(folder)
        self.state_dir = pathlib.Path(state_dir)
        self.args = list(args)
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(self.CLEARED)}
        self.env.update(env or {})
        if config is not None:
            path = self.folder / "meshca.yaml"
            path.write_text(config, encoding="utf-8")
            self.args += ["--config", str(path)]
        self.background = None
        self.launcher = []  # a command that starts it: service_manager.py
        self.pass_fds = ()

    def command(self):
        raise NotImplementedError

    def free_ports(self, *flags):
        """Those of `flags` that the test has not chosen, each with a free port of the loopback."""
        chosen = " ".join(str(word) for word in self.args) + " "
        return [word for flag in flags if flag + " " not in chosen and flag + "=" not in chosen
                for word in (flag, "127.0.0.1:0")]

    def start(self, timeout=60, ready=True):
        """Starts it and, with `ready`, waits for the whole first screen: it serves from then on."""
        self.background = Background([*self.launcher, *self.command()], self.folder / "stderr.log", self.env, self.folder,
                                     pass_fds=self.pass_fds)
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
        """SIGTERM where it still runs, then a start on the same state; port 0 may give another address."""
        if self.background.running():
            self.terminate()
        return self.start()

    def stop(self):
        """For the fixture: whatever the test did, nothing stays behind."""
        if self.background and self.background.running():
            self.background.kill()

    def cli(self, *args, check=True, timeout=60, **options):
        """`meshca ARGS` against this process, finished; with `check`, exit code 0 is demanded."""
        words = [self.meshca, *args, *self.CHOSEN, "--state-dir", self.state_dir]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=timeout, env=self.env,
                              check=False, stdin=subprocess.DEVNULL, **options)
        if check:
            log = self.log() if self.background else ""
            assert done.returncode == 0, f"{done.args} exited {done.returncode}\n{done.stdout}{done.stderr}\n{log}"
        return done

    def get(self, path, timeout=60):
        """The body of an HTTP page, such as /metrics."""
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=timeout) as answer:
            return answer.read().decode()
