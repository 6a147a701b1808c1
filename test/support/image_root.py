"""Our container image, unpacked by somebody else's tool, and commands run in it as a container runtime would: a mount namespace
of its own, the image read-only, as the image's user without any capability, new privileges out of reach, and volumes where the
pod says."""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Volume:
    """The folder `outside`, at `inside` of the image."""
    outside: pathlib.Path
    inside: str
    read_only: bool = False


def build(binary, out, **env):
    """Builds the image of this command into `out`; returns its digest."""
    done = subprocess.run([ROOT / "charts" / "image" / "build.py", "--binary", binary, "--out", out, "--tag", "test"], text=True,
                          capture_output=True, check=False, timeout=900, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return re.search(r"sha256:[0-9a-f]{64}", done.stdout).group(0)


class ImageRoot:
    """The root file system of the image in the layout `image`, and what its configuration says. Unpacking and mounting are
    root's, or sudo's where that asks for no password."""

    def __init__(self, image, folder):
        self._rights = [] if os.geteuid() == 0 else ["sudo", "-n"]
        done = subprocess.run([*self._rights, "umoci", "unpack", "--image", f"{image}:test", folder], text=True,
                              capture_output=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        self.folder = pathlib.Path(folder) / "rootfs"
        process = json.loads((pathlib.Path(folder) / "config.json").read_text(encoding="utf-8"))["process"]
        self.user = (process["user"]["uid"], process["user"]["gid"])
        self.entrypoint = process["args"]

    def command(self, *words, volumes=(), env=None, user=None, keep=()):
        """A command line that runs the image's entry point with these arguments. `user`: (uid, gid) instead of the image's;
        `keep`: the capabilities that root has left, as capsh spells them."""
        uid, gid = user or self.user
        root = shlex.quote(str(self.folder))
        script = [f"mount --bind {root} {root}"]
        for volume in volumes:
            # What a runtime makes in a layer of its own.
            inside = self.folder / volume.inside.lstrip("/")
            subprocess.run([*self._rights, "mkdir", "-p", inside], check=True)
            script.append(f"mount --bind {shlex.quote(str(volume.outside))} {shlex.quote(str(inside))}")
            if volume.read_only:
                script.append(f"mount -o remount,bind,ro {shlex.quote(str(inside))}")
        script += [f"mount -o remount,bind,ro {root}", f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        # Another user than root has no capability left; root keeps those of the bounding set, and chroot needs one of its own.
        enter = ["chroot", f"--userspec={uid}:{gid}", f"--groups={gid}", str(self.folder)]
        if uid == 0:
            bounds = ",".join(["-all", *(f"+{name}" for name in (*keep, "sys_chroot"))])
            enter = ["setpriv", "--clear-groups", "--inh-caps=-all", f"--bounding-set={bounds}", "chroot", str(self.folder)]
        enter = ["setpriv", "--no-new-privs", *enter]
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})}
        script.append("exec " + shlex.join(["env", "-i", *(f"{key}={value}" for key, value in variables.items()), *enter,
                                            *self.entrypoint, *(str(word) for word in words)]))
        return [*self._rights, "unshare", "--mount", "--propagation", "private", "sh", "-e", "-c", "\n".join(script)]

    def run(self, *words, **options):
        """What the command printed; it has to succeed."""
        done = subprocess.run(self.command(*words, **options), text=True, capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout
