"""Calls to a Kubernetes API server as one user, for tests: plain HTTPS, JSON in and out, no client library between."""

import contextlib
import http.client
import json
import ssl
import time
import urllib.parse

from background import wait_until

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class ApiError(AssertionError):
    """An answer that is none of 2xx: `code`, and the API's own `reason` and `message`."""

    def __init__(self, method, path, code, text):
        try:
            status = json.loads(text)
        except ValueError:
            status = {}
        self.code = code
        self.reason = status.get("reason", "")
        self.message = status.get("message", text)
        super().__init__(f"{method} {path}: {code} {self.reason}: {self.message}")


class Away(Exception):
    """The API server is not there, or went away in the middle of an answer."""


def resource_version(thing):
    return thing["metadata"]["resourceVersion"]


def lines(answer):
    """The lines of an HTTP answer as they come. Unlike its own readline(), it tells one that was cut off from one that ended."""
    rest = b""
    while chunk := answer.read1(65536):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


class KubernetesApi:
    """The API at `url`, believed by `ca_file`, as whoever `token` or `certificate` (certificate file, key file) says; nobody
    with neither. A kind is called as in a manifest: "v1/Pod", "certificates.k8s.io/v1/ClusterTrustBundle". Objects are dicts.
    Every call has a connection of its own, so threads may share one of these."""

    def __init__(self, url, ca_file, token=None, certificate=None):
        self.url = url
        self.ca_file = ca_file
        self.token = token
        self._address = urllib.parse.urlsplit(url)
        self._tls = ssl.create_default_context(cafile=ca_file)
        if certificate:
            self._tls.load_cert_chain(*certificate)
        self._kinds = {}  # (group and version) -> kind -> (plural, namespaced)

    def call(self, method, path, body=None, content_type="application/json", timeout=60, **query):
        """The answer as a dict; one that is not JSON as text. A query's words are those of the API; None leaves one out."""
        with self._answer(method, path, body, content_type, timeout, query) as answer:
            text = answer.read().decode()
        return json.loads(text) if answer.headers.get_content_subtype().endswith("json") else text

    @contextlib.contextmanager
    def _answer(self, method, path, body, content_type, timeout, query):
        query = urllib.parse.urlencode({key: value for key, value in query.items() if value is not None})
        target = f"{path}?{query}" if query else path
        headers = {"Accept": "application/json, */*;q=0.1", "Content-Type": content_type, "User-Agent": "meshca-test"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPSConnection(self._address.hostname, self._address.port, timeout=timeout,
                                                 context=self._tls)
        try:
            connection.request(method, target, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            if answer.status // 100 != 2:
                raise ApiError(method, target, answer.status, answer.read().decode(errors="replace"))
            yield answer
        except (OSError, http.client.HTTPException) as error:
            raise Away(f"{method} {self.url}{target}: {error!r}") from error
        finally:
            connection.close()

    # Objects.

    def path(self, kind, namespace=None, name=None, subresource=None):
        group_version, _, word = kind.rpartition("/")
        root = f"/api/{group_version}" if "/" not in group_version else f"/apis/{group_version}"
        if group_version not in self._kinds:
            listed = self.call("GET", root)["resources"]
            self._kinds[group_version] = {each["kind"]: (each["name"], each["namespaced"]) for each in listed
                                          if "/" not in each["name"]}
        assert word in self._kinds[group_version], f"{kind}: this API server has no such kind"
        plural, namespaced = self._kinds[group_version][word]
        parts = [root, *(("namespaces", namespace) if namespaced and namespace else ()), plural]
        return "/".join([*parts, *(part for part in (name, subresource) if part)])

    def create(self, thing, **query):
        return self.call("POST", self._collection_of(thing), thing, **query)

    def apply(self, thing, field_manager="test", force=True, **query):
        """Server-side apply: made where it is missing; of what is there, `field_manager` then owns what `thing` names."""
        path = f"{self._collection_of(thing)}/{thing['metadata']['name']}"
        return self.call("PATCH", path, thing, APPLY_PATCH, fieldManager=field_manager, force=str(force).lower(), **query)

    def replace(self, thing, subresource=None):
        path = f"{self._collection_of(thing)}/{thing['metadata']['name']}"
        return self.call("PUT", f"{path}/{subresource}" if subresource else path, thing)

    def patch(self, kind, name, change, namespace=None, subresource=None):
        return self.call("PATCH", self.path(kind, namespace, name, subresource), change, MERGE_PATCH)

    def get(self, kind, name, namespace=None):
        return self.call("GET", self.path(kind, namespace, name))

    def list(self, kind, namespace=None, **query):
        return self.call("GET", self.path(kind, namespace), **query)["items"]

    def delete(self, kind, name, namespace=None, at_once=False):
        """`at_once`: a pod whose node has no kubelet stays for ever otherwise."""
        return self.call("DELETE", self.path(kind, namespace, name), gracePeriodSeconds=0 if at_once else None)

    def _collection_of(self, thing):
        return self.path(f"{thing['apiVersion']}/{thing['kind']}", thing["metadata"].get("namespace"))

    # Waiting.

    def watch(self, kind, since, namespace=None, name=None, timeout=60, **query):
        """Yields (type, object) of each change after the resource version `since`, until the server ends the watch; Away when
        nothing came for `timeout` seconds."""
        query.update(watch="true", resourceVersion=since, fieldSelector=f"metadata.name={name}" if name else None)
        with self._answer("GET", self.path(kind, namespace), None, "application/json", timeout, query) as answer:
            for line in lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiError("GET", f"{kind}, watched since {since}", event["object"]["code"], json.dumps(event["object"]))
                yield event["type"], event["object"]

    def wait_for(self, kind, name, condition, namespace=None, timeout=60, what=None):
        """The object once condition(object) holds, None standing for one that is not there. It watches; an API server that
        goes away meanwhile is asked again when it is back."""
        deadline = time.monotonic() + timeout
        seen = []

        def found():
            try:
                for state in self._states(kind, name, namespace, max(0.1, deadline - time.monotonic())):
                    seen[:] = [state]
                    if condition(state):
                        return True
            except Away:
                pass
            except ApiError as error:
                if error.code not in (410, 429) and error.code < 500:
                    raise
            return False

        place = f"{namespace}/{name}" if namespace else name
        wait_until(found, timeout, lambda: f"{kind} {place}: {what() if callable(what) else what or 'the condition'}; "
                                           f"last seen: {json.dumps(seen, indent=1)}")
        return seen[0]

    def wait_gone(self, kind, name, namespace=None, timeout=60):
        self.wait_for(kind, name, lambda thing: thing is None, namespace, timeout, "gone")

    def _states(self, kind, name, namespace, timeout):
        """What the object is now and becomes."""
        deadline = time.monotonic() + timeout
        listed = self.call("GET", self.path(kind, namespace), fieldSelector=f"metadata.name={name}", timeout=timeout)
        yield listed["items"][0] if listed["items"] else None
        for event, thing in self.watch(kind, resource_version(listed), namespace, name, timeout):
            yield None if event == "DELETED" else thing
            if time.monotonic() > deadline:
                return
