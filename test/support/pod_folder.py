"""What a process would see as the container of a pod: a root folder with the pod's volumes in it, and an environment.

The kubelets of the tests run no containers, so a test starts the program itself. It has to look for its files relative to
the folder in which it runs, as Istio's programs do.
"""

import os
import pathlib


def make(kubelet, pod, folder):
    """Links each mount of the pod's first container to the volume that `kubelet` keeps, below `folder`. A volume that the
    kubelet changes changes there as well, in the same way as in a container."""
    for mount in pod["spec"]["containers"][0].get("volumeMounts", []):
        place = pathlib.Path(folder) / mount["mountPath"].strip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(kubelet.volume(pod, mount["name"]))
    return pathlib.Path(folder)


def environment(pod):
    """The environment of the pod's first container, over that of the tests."""
    fields = {"metadata.name": pod["metadata"]["name"], "metadata.namespace": pod["metadata"]["namespace"],
              "spec.serviceAccountName": pod["spec"]["serviceAccountName"], "spec.nodeName": pod["spec"].get("nodeName", "")}
    env = dict(os.environ)
    for variable in pod["spec"]["containers"][0].get("env", []):
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            env[variable["name"]] = fields[source["fieldRef"]["fieldPath"]]
        elif not source:
            env[variable["name"]] = variable.get("value", "")
    return env
