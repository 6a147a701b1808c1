"""What lies in the image: the files that meshca needs to run, each from the Debian package that it belongs to."""

import dataclasses
import io
import os
import pathlib
import re
import subprocess
import tarfile

# Libraries that are inside the command already, by the packages whose archives and headers it was built from.
LINKED_IN = ("libabsl-dev", "libgrpc-dev", "libgrpc++-dev", "libprotobuf-dev", "libboost1.81-dev", "libcli11-dev",
             "nlohmann-json3-dev")
PUBLIC_ROOTS = "ca-certificates"
ACCOUNTS = {
    "/etc/passwd": "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/var/lib/meshca:/sbin/nologin\n",
    # Not called meshca: an agent that runs as root would give its admin socket to a group of that name, and has no right to.
    "/etc/group": "root:x:0:\nnonroot:x:65532:\n",
    # Names of a cluster come from DNS, those that the kubelet writes down from /etc/hosts.
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
FOLDERS = {"/dev": 0o755, "/etc": 0o755, "/proc": 0o555, "/run": 0o755, "/sys": 0o555, "/tmp": 0o1777, "/usr/bin": 0o755,
           "/var/lib": 0o755}
# Debian's own merge of / and /usr; the loader's path in the command goes by /lib64.
LINKS = {"/bin": "usr/bin", "/lib": "usr/lib", "/lib64": "usr/lib64"}


@dataclasses.dataclass(frozen=True)
class Package:
    """A Debian package; `linked_in`: its code is part of the command."""
    name: str
    architecture: str
    version: str
    source: str
    source_version: str
    linked_in: bool = False


def environment_number(name):
    return int(os.environ[name]) if os.environ.get(name) else None


class RootFilesystem:
    """Files by their path. All are root's, and none may be written to by anybody else."""

    def __init__(self):
        self._entries = {}  # path: (TarInfo, content)
        for path, mode in FOLDERS.items():
            self._add_folder(path, mode)

    def add_text(self, path, text):
        self.add_bytes(path, text.encode())

    def add_bytes(self, path, content, mode=0o644):
        self._add_folder(str(pathlib.PurePosixPath(path).parent))
        entry = self._entry(path, tarfile.REGTYPE, mode)
        entry.size = len(content)
        self._entries[path] = (entry, content)

    def add_link(self, path, target):
        self._add_folder(str(pathlib.PurePosixPath(path).parent))
        entry = self._entry(path, tarfile.SYMTYPE, 0o777)
        entry.linkname = target
        self._entries[path] = (entry, b"")

    def _add_folder(self, path, mode=0o755):
        if path == "/" or path in self._entries:
            return
        self._add_folder(str(pathlib.PurePosixPath(path).parent))
        self._entries[path] = (self._entry(path, tarfile.DIRTYPE, mode), b"")

    @staticmethod
    def _entry(path, kind, mode):
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.mode, entry.uname, entry.gname = kind, mode, "", ""
        return entry

    def to_tar(self, date):
        """A layer: the same bytes for the same files."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for _, (entry, content) in sorted(self._entries.items()):
                entry.mtime = date
                tar.addfile(entry, io.BytesIO(content))
        return out.getvalue()


def asked(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def loaded_by(binary):
    """The paths of the shared libraries that the loader opens for `binary`, and its own."""
    paths = []
    for line in asked("ldd", binary).splitlines():
        found = re.match(r"\s+(?:\S+ => )?(/\S+) \(0x", line)
        assert found or "linux-vdso" in line, f"a library of {binary} is not on this machine: {line.strip()}"
        if found:
            paths.append(found.group(1))
    return paths


def owners_of(paths):
    """{path: the package that it belongs to}. dpkg knows a file by the path that its package names, with or without /usr."""
    names = {path: {path, os.path.realpath(path), os.path.realpath(path).removeprefix("/usr"), "/usr" + path} for path in paths}
    # One question for all: dpkg reads its lists of files anew each time. It complains of the names that it does not know.
    said = subprocess.run(["dpkg", "-S", *sorted(set.union(*names.values()))], capture_output=True, text=True, check=False).stdout
    owners = {}
    for line in said.splitlines():
        owner, _, name = line.rpartition(": ")
        owners[name] = owner.partition(":")[0]
    found = {path: next((owners[name] for name in sorted(names[path]) if name in owners), None) for path in paths}
    assert all(found.values()), f"of no Debian package: {[path for path, owner in found.items() if not owner]}"
    return found


def described(names):
    """[Package] of these names."""
    form = "${Package}\t${Architecture}\t${Version}\t${source:Package}\t${source:Version}\n"
    lines = sorted(set(asked("dpkg-query", "-W", "-f", form, *names).splitlines()))
    packages = [Package(*line.split("\t"), line.partition("\t")[0] in LINKED_IN) for line in lines]
    return list({package.name: package for package in packages}.values())


def public_roots():
    """The certificates of Debian's package, not of this machine's administrator, in one file."""
    folder = pathlib.Path("/usr/share/ca-certificates/mozilla")
    return b"".join(path.read_bytes().rstrip() + b"\n" for path in sorted(folder.glob("*.crt")))


def fill(files, binary):
    """Puts into `files` all that `binary` needs, and returns the packages that it comes from."""
    files.add_bytes("/usr/bin/meshca", binary.read_bytes(), 0o755)
    owners = owners_of(loaded_by(binary))
    for path in owners:
        files.add_bytes(path if path.startswith("/usr/") else "/usr" + path, pathlib.Path(path).read_bytes(), 0o755)
    files.add_bytes("/etc/ssl/certs/ca-certificates.crt", public_roots())
    # Where OpenSSL looks by default.
    files.add_link("/usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")
    packages = described([*LINKED_IN, PUBLIC_ROOTS, *owners.values()])
    for package in packages:
        licence = f"/usr/share/doc/{package.name}/copyright"
        files.add_bytes(licence, pathlib.Path(licence).read_bytes())
    for path, text in ACCOUNTS.items():
        files.add_text(path, text)
    for path, target in LINKS.items():
        files.add_link(path, target)
    return packages
