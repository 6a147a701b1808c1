"""An API server of ours in Kubernetes' place: it replays the pods, service accounts and namespaces of a large cluster, keeps the
ConfigMaps and the Lease that are written there, and can go away. Plain HTTP on the loopback; judges nobody and stores nothing on
disk."""

import contextlib
import http.server
import json
import re
import socket
import socketserver
import threading
import urllib.parse

ACCOUNTS, NAMESPACES, NODES = 2500, 500, 2000


def namespace_of(number):
    return f"namespace-{number % NAMESPACES}"


def uid(kind, number):
    return f"{kind:08x}-9c1f-4e55-8a3d-{number:012x}"


def metadata(name, number, kind, namespace=None, **more):
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, "uid": uid(kind, number), "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z", **place, **more}


def pod(mark):
    """As kubectl shows one of a Deployment with a sidecar: 4 KB, most of which nobody here wants. `mark(WORD)` stands for what is
    another in each."""
    app, account = f"deployment-{mark('app')}", f"service-account-{mark('account')}"
    fields = [{"manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
               "fieldsV1": {f"f:part-{part}": {"f:name": {}, "f:value": {}, "f:other": {}} for part in range(12)}}
              for manager in ("kube-controller-manager", "kubelet")]
    container = {"image": "registry.example/team/application:1.2.3", "imagePullPolicy": "IfNotPresent",
                 "env": [{"name": f"VARIABLE_{one}", "value": "a value of some length"} for one in range(10)],
                 "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
                 "volumeMounts": [{"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}
    return {
        "metadata": metadata(f"deployment-name-{mark('pod')}-7d4c9b6f58-x2x9p", 0, 1, f"namespace-{mark('namespace')}",
                             labels={"app": app, "version": "v1", "pod-template-hash": "7d4c9b6f58"}, managedFields=fields,
                             ownerReferences=[{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "uid": uid(9, 0)}]),
        "spec": {"serviceAccountName": account, "serviceAccount": account, "restartPolicy": "Always",
                 "nodeName": f"ip-10-0-{mark('node')}.eu-central-1.compute.internal",
                 "containers": [{"name": name, **container} for name in ("application", "istio-proxy")]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"} for kind in ("Ready", "Initialized")]}}


# Rendered by one `%` for each pod: to build and print 100,000 of them would take longer than to read them.
_POD = json.dumps(pod(lambda word: f"@{word}@"), separators=(",", ":")).replace("%", "%%").replace(uid(1, 0), "@uid@")
for _word, _part in (("app", "%(app)d"), ("account", "%(account)d"), ("pod", "%(pod)06d"), ("namespace", "%(namespace)d"),
                     ("node", "%(node)d"), ("uid", "00000001-9c1f-4e55-8a3d-%(pod)012x")):
    _POD = _POD.replace(f"@{_word}@", _part)


def pod_text(number):
    return _POD % {"pod": number, "app": number % 5000, "account": number % ACCOUNTS, "namespace": number % NAMESPACES,
                   "node": number % NODES}


def account(number):
    return {"metadata": metadata(f"service-account-{number}", number, 2, namespace_of(number))}


def namespace(number):
    return {"metadata": metadata(f"namespace-{number}", number, 3), "status": {"phase": "Active"}}


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class ReplayedApi:
    """Serves from its making; by `with`, until its end. `config_maps`: what each namespace's holds."""

    def __init__(self, folder, pods=0, namespaces=0):
        self._counts = {"pods": pods, "serviceaccounts": ACCOUNTS if pods else 0, "namespaces": namespaces}
        self._changed = threading.Condition()
        self._version = 1
        self._events = []  # of ConfigMaps: (version, event)
        self.config_maps = {}
        self._lease = None
        self._watching = {}
        self._connections = set()
        self._server = None
        self._port = 0
        self.back()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}],
            "users": [{"name": "bench", "user": {"token": "bench"}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}]}), encoding="ascii")

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.away()

    def back(self):
        """Listens, on the address of before."""
        self._server = _Server(("127.0.0.1", self._port), lambda *words: _Answers(self, *words))
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def away(self):
        """Refuses connections, and breaks those there are."""
        self._server.shutdown()
        self._server.server_close()
        with self._changed:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.notify_all()

    def wait(self, condition, timeout):
        """Until `condition(self)` holds, which is asked after each change; whether it did."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout)

    def is_watched(self, *resources):
        return all(self._watching.get(resource, 0) > 0 for resource in resources)

    # What follows is asked by the connections' threads.

    def count(self, resource):
        return 0 if resource == "configmaps" else self._counts.get(resource)

    def listed(self, resource, start, limit):
        """A page, each object as JSON; what the next one is asked for by; the version."""
        if resource == "configmaps":
            with self._changed:
                items = [json.dumps(self._config_map(name)) for name in self.config_maps]
                return items, "", self._version
        make = {"pods": pod_text, "serviceaccounts": lambda number: json.dumps(account(number)),
                "namespaces": lambda number: json.dumps(namespace(number))}[resource]
        end = min(start + limit, self.count(resource))
        return [make(number) for number in range(start, end)], str(end) if end < self.count(resource) else "", self._version

    def apply(self, name, data):
        with self._changed:
            kind = "MODIFIED" if name in self.config_maps else "ADDED"
            if self.config_maps.get(name) != data:
                self._version += 1
                self.config_maps[name] = data
                self._events.append((self._version, {"type": kind, "object": self._config_map(name)}))
                self._changed.notify_all()
            return self._config_map(name)

    def lease(self):
        with self._changed:
            return self._lease

    def replace_lease(self, lease):
        """The Lease as it stands then; None where somebody else has written since it was read."""
        with self._changed:
            stands = self._lease["metadata"]["resourceVersion"] if self._lease else None
            if lease["metadata"].get("resourceVersion") != stands:
                return None
            lease["metadata"]["resourceVersion"] = str(int(stands or 0) + 1)
            self._lease = lease
            return lease

    def events(self, resource, since, gone):
        """The events of a watch, as they come, until `gone()`."""
        with self._changed:
            self._watching[resource] = self._watching.get(resource, 0) + 1
            self._changed.notify_all()
        try:
            at = next((i for i, (version, _) in enumerate(self._events) if version > since), len(self._events))
            while True:
                with self._changed:
                    news = lambda: resource == "configmaps" and len(self._events) > at  # noqa: E731
                    self._changed.wait_for(lambda: news() or gone(), 30)
                    if gone():
                        return
                    ready = self._events[at:] if news() else []
                    version = self._version
                at += len(ready)
                yield [event for _, event in ready] or [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}]
        finally:
            with self._changed:
                self._watching[resource] -= 1

    def opened(self, connection):
        with self._changed:
            self._connections.add(connection)

    def closed(self, connection):
        with self._changed:
            self._connections.discard(connection)
            self._changed.notify_all()

    def _config_map(self, name):
        return {"metadata": {"name": "istio-ca-root-cert", "namespace": name, "uid": f"config-map-{name}", "resourceVersion": str(self._version)},
                "data": self.config_maps[name]}


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def __init__(self, api, *words):
        self._api = api
        super().__init__(*words)

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._gone = False
        self._api.opened(self.connection)

    def finish(self):
        self._api.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path.startswith(("/openid", "/.well-known")):
            return self._answer({"keys": [], "issuer": "https://kubernetes.test"})
        if url.path == "/readyz":
            return self._answer_text("ok")
        if "/leases/" in url.path:
            lease = self._api.lease()
            return self._answer(lease) if lease else self._refuse(404, "NotFound")
        resource = url.path.rsplit("/", 1)[1]
        if self._api.count(resource) is None:
            return self._refuse(404, "NotFound")
        if query.get("watch") == "true":
            return self._watch(resource, int(query["resourceVersion"]))
        items, following, version = self._api.listed(resource, int(query.get("continue", 0)), int(query["limit"]))
        about = json.dumps({"resourceVersion": str(version), **({"continue": following} if following else {})})
        return self._answer_text(f'{{"kind":"List","apiVersion":"v1","metadata":{about},"items":[{",".join(items)}]}}')

    def do_PATCH(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = re.search("/namespaces/([^/]+)/configmaps/", self.path)
        self._answer(self._api.apply(name.group(1), body["data"]) if name else body)

    def do_POST(self):
        """Events and reviews, which are forgotten."""
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))), 201)

    def do_PUT(self):
        lease = self._api.replace_lease(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        return self._answer(lease) if lease else self._refuse(409, "Conflict")

    def _watch(self, resource, since):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        with contextlib.suppress(OSError):
            for events in self._api.events(resource, since, self._is_broken):
                text = "".join(json.dumps(event) + "\n" for event in events).encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
                self.wfile.flush()
        self.close_connection = True

    def _is_broken(self):
        """Whether either side has shut the connection: there is nothing else to read on a watch's."""
        with contextlib.suppress(BlockingIOError, OSError):
            return self.connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
        return False

    def _refuse(self, code, reason):
        self._answer({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}, code)

    def _answer(self, thing, code=200):
        self._answer_text(json.dumps(thing, separators=(",", ":")), code)

    def _answer_text(self, text, code=200):
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *ignored):
        pass
