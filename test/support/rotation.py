"""What tests of a root rotation ask the server and the certificates."""

import datetime
import json


def status(server):
    """`meshca root status`, as a dictionary."""
    return json.loads(server.cli("root", "status", "-o", "json").stdout)


def rotate(server, *args, timeout=200):
    """`meshca root rotate` to its end: what its last line says."""
    done = server.cli("root", "rotate", "-o", "json", *args, timeout=timeout)
    return json.loads(done.stdout.splitlines()[-1])


def root_states(server):
    return {root["id"]: root["state"] for root in status(server)["roots"]}


def audited(server, prefix="root."):
    """How often each action of the audit log with that prefix was done since the first start."""
    counts = {}
    for entry in json.loads(server.cli("audit", "list", "-o", "json").stdout):
        if entry["action"].startswith(prefix) and entry["detail"] != "first start":
            counts[entry["action"]] = counts.get(entry["action"], 0) + 1
    return counts


def step_in(status_json):
    return json.loads(status_json)["step"]


def seconds(time):
    """A time of the server's JSON, in seconds since 1970."""
    return datetime.datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
