"""The container image: the same bytes each time, nothing in it that nobody named, and a server that runs from it as its user."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile
import urllib.error
import urllib.request

import image_root
import pytest
from background import Background, wait_until
from image_root import ImageRoot, Volume

pytestmark = [pytest.mark.all_only, pytest.mark.timeout(1800)]

USER = 65532
CONFIG = """
state_dir: /var/lib/meshca/state
kek_file: /etc/meshca/kek/kek
admin_socket: /run/meshca/admin.sock
api_socket: /run/meshca/public/api.sock
listen: 127.0.0.1:0
http_listen: 127.0.0.1:0
"""


@pytest.fixture(scope="module")
def image(meshca, tmp_path_factory):
    """The layout."""
    out = tmp_path_factory.mktemp("image") / "layout"
    image_root.build(meshca, out)
    return out


@pytest.fixture(scope="module")
def root(image, tmp_path_factory):
    return ImageRoot(image, tmp_path_factory.mktemp("unpacked") / "bundle")


def blob(layout, descriptor):
    content = (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
    assert len(content) == descriptor["size"] and descriptor["digest"] == "sha256:" + hashlib.sha256(content).hexdigest()
    return content


def manifests(layout):
    return json.loads((layout / "index.json").read_bytes())["manifests"]


def files_of(layout):
    return {path.relative_to(layout).as_posix(): path.read_bytes() for path in layout.rglob("*") if path.is_file()}


def test_the_same_inputs_give_the_same_bytes(meshca, image, tmp_path):
    # Of another place, with other times and another umask; of the same date alone.
    copy = tmp_path / "elsewhere" / "meshca"
    copy.parent.mkdir()
    copy.write_bytes(meshca.read_bytes())
    copy.chmod(0o755)
    before = os.umask(0o077)
    try:
        image_root.build(copy, tmp_path / "again")
    finally:
        os.umask(before)
    assert files_of(tmp_path / "again") == files_of(image)

    image_root.build(meshca, tmp_path / "dated", SOURCE_DATE_EPOCH="1700000000")
    dated = json.loads(blob(tmp_path / "dated", json.loads(blob(tmp_path / "dated", manifests(tmp_path / "dated")[0]))["config"]))
    assert dated["created"] == "2023-11-14T22:13:20Z"


def test_a_folder_of_something_else_is_not_emptied(meshca, tmp_path):
    (tmp_path / "kept").write_text("kept")
    with pytest.raises(AssertionError, match="holds something else than an image"):
        image_root.build(meshca, tmp_path)
    assert (tmp_path / "kept").exists()


def test_the_image_says_what_it_is(image, meshca):
    described = manifests(image)[0]
    manifest = json.loads(blob(image, described))
    config = json.loads(blob(image, manifest["config"]))
    assert config["config"]["User"] == f"{USER}:{USER}" and config["config"]["Entrypoint"] == ["/usr/bin/meshca"]
    version = subprocess.run([meshca, "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert config["config"]["Labels"]["org.opencontainers.image.version"] == version
    assert (config["os"], described["platform"]["os"]) == ("linux", "linux")
    for layer in manifest["layers"]:
        blob(image, layer)


def test_nothing_is_in_it_but_the_command_and_what_it_loads(root, meshca):
    files = {path.relative_to(root.folder).as_posix() for path in root.folder.rglob("*") if not path.is_dir() or path.is_symlink()}
    libraries = {name for name in files if ".so" in name}
    loaded = {pathlib.Path(path).name for path in re.findall(r"(/\S+) \(0x", subprocess.run(
        ["ldd", meshca], capture_output=True, text=True, check=True).stdout)}
    assert {pathlib.Path(name).name for name in libraries} == loaded
    rest = {name for name in files - libraries if not name.startswith("usr/share/doc/")}
    assert rest == {"usr/bin/meshca", "bin", "lib", "lib64", "etc/passwd", "etc/group", "etc/nsswitch.conf",
                    "etc/ssl/certs/ca-certificates.crt", "usr/lib/ssl/cert.pem"}
    for path in root.folder.rglob("*"):
        if not path.is_symlink():
            mode = path.stat().st_mode
            assert not mode & (stat.S_ISUID | stat.S_ISGID)
            assert path.stat().st_uid == 0 and (path.name == "tmp" or not mode & (stat.S_IWOTH | stat.S_IWGRP)), path


def test_the_bill_of_materials_names_the_package_of_every_library(image, root):
    described = manifests(image)[1]
    manifest = json.loads(blob(image, described))
    assert described["artifactType"] == manifest["artifactType"] == "application/spdx+json"
    assert manifest["subject"]["digest"] == manifests(image)[0]["digest"]
    text = blob(image, manifest["layers"][0])
    assert text == (image / "sbom.spdx.json").read_bytes() == (root.folder / "usr/share/doc/meshca/sbom.spdx.json").read_bytes()

    document = json.loads(text)
    assert (document["spdxVersion"], document["dataLicense"], document["SPDXID"]) == ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
    packages = {package["name"]: package for package in document["packages"]}
    ids = [package["SPDXID"] for package in document["packages"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.\-]+", each) for each in ids)
    assert packages["meshca"]["checksums"][0]["checksumValue"] == hashlib.sha256(
        (root.folder / "usr/bin/meshca").read_bytes()).hexdigest()
    for relationship in document["relationships"]:
        assert relationship["relatedSpdxElement"] in ids
    linked = {each["relatedSpdxElement"] for each in document["relationships"] if each["relationshipType"] == "STATIC_LINK"}
    assert {"SPDXRef-libgrpc-dev", "SPDXRef-libabsl-dev", "SPDXRef-libprotobuf-dev"} <= linked
    for package in document["packages"]:
        if package["name"] != "meshca":
            installed = subprocess.run(["dpkg-query", "-W", "-f", "${Version}\n", package["name"]], capture_output=True, text=True,
                                       check=True).stdout.splitlines()
            assert package["versionInfo"] in installed
            assert package["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/debian/")
            assert (root.folder / "usr/share/doc" / package["name"] / "copyright").stat().st_size > 0
    # By another way than the build's: the package's own list of files.
    for library in root.folder.rglob("*.so*"):
        inside = "/" + library.relative_to(root.folder).as_posix()
        real = os.path.realpath(inside)
        listed = [name for name, package in packages.items() if name != "meshca" and {real, real.removeprefix("/usr")} & set(
            subprocess.run(["dpkg", "-L", name], capture_output=True, text=True, check=True).stdout.splitlines())]
        assert listed, inside


def test_the_command_runs_in_it(root, meshca):
    assert root.user == (USER, USER)
    said = subprocess.run([meshca, "version"], capture_output=True, text=True, check=True).stdout
    assert root.run("version") == said


def as_volume(folder, group=USER, mode=0o440, **files):
    """As the kubelet mounts a Secret: root's, behind its links, and of the pod's `fsGroup` where it has one."""
    data = folder / "..2026_11_29"
    data.mkdir(parents=True)
    (folder / "..data").symlink_to(data.name)
    for name, content in files.items():
        (data / name).write_bytes(content)
        (data / name).chmod(mode)
        os.chown(data / name, 0, group)
        (folder / name).symlink_to(f"..data/{name}")
    for each in (folder, data):
        os.chown(each, 0, group)
        each.chmod(0o3775 if group else 0o1777)
    return folder


def writable(folder, mode):
    folder.mkdir()
    os.chown(folder, 0, USER)
    folder.chmod(mode)
    return folder


@pytest.fixture
def volumes(tmp_path_factory):
    """Those of the server's pod, as on a node."""
    tmp_path = tmp_path_factory.mktemp("volumes")
    return [Volume(writable(tmp_path / "state", 0o2775), "/var/lib/meshca"),
            Volume(writable(tmp_path / "run", 0o2777), "/run/meshca"),
            Volume(writable(tmp_path / "tmp", 0o2777), "/tmp"),
            Volume(as_volume(tmp_path / "config", **{"meshca.yaml": CONFIG.encode()}), "/etc/meshca/config", True),
            Volume(as_volume(tmp_path / "kek", kek=bytes(range(32))), "/etc/meshca/kek", True)]


ENV = {"MESHCA_CONFIG": "/etc/meshca/config/meshca.yaml"}


def served(root, volumes, stderr):
    background = Background(root.command("serve", volumes=volumes, env=ENV), stderr)
    screen = "\n".join(background.wait_for_line("next", 60))
    return background, re.search(r"^HTTP\s+(\S+)", screen, re.M).group(1)


def page(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
        return answer.read().decode()


def is_ready(http):
    try:
        return page(http, "/readyz") == "ok\n"
    except urllib.error.HTTPError:
        return False


def test_a_server_runs_from_it_with_a_pods_volumes_and_again_after_its_end(root, volumes, tmp_path):
    background, http = served(root, volumes, tmp_path / "stderr.log")
    try:
        wait_until(lambda: is_ready(http), 60, "ready")
        status = pathlib.Path(f"/proc/{background.pid}/status").read_text(encoding="ascii")
        assert re.search(rf"^Uid:(\s+{USER}){{4}}$", status, re.M) and re.search(rf"^Gid:(\s+{USER}){{4}}$", status, re.M)
        assert re.search(r"^CapEff:\s+0+$", status, re.M) and re.search(r"^NoNewPrivs:\s+1$", status, re.M)
        # As `kubectl exec ... -- meshca ...` does.
        assert "ready" in root.run("status", volumes=volumes, env=ENV)
        first = root.run("bundle", "show", "--format", "pem", volumes=volumes, env=ENV)
        assert "BEGIN CERTIFICATE" in first
        state = volumes[0].outside / "state"
        assert state.stat().st_mode & 0o777 == 0o700 and state.stat().st_uid == USER
        assert not (state / "kek").exists()

        assert background.terminate() == 0
        background, http = served(root, volumes, tmp_path / "stderr.log")
        assert root.run("bundle", "show", "--format", "pem", volumes=volumes, env=ENV) == first
        wait_until(lambda: "meshca_ready 1" in page(http, "/metrics"), 60, "ready again")
    finally:
        background.kill()


AGENT_CONFIG = """
state_dir: /var/lib/meshca-agent/state
api_socket: /run/meshca/agent/api.sock
admin_socket: /run/meshca/admin/admin.sock
http_listen: 127.0.0.1:0
"""


@pytest.fixture
def open_folder():
    """One that every user of this machine reaches, as pods reach what a kubelet mounts for them."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="meshca-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("capabilities", [("sys_ptrace",), ()], ids=["with CAP_SYS_PTRACE", "without"])
def test_an_agent_with_one_capability_of_roots_tells_programs_of_other_users_apart(root, server, meshca, open_folder, tmp_path,
                                                                                   capabilities):
    ca = server()
    program = open_folder / "workload"
    shutil.copy(meshca, program)
    token = tmp_path / "token"
    ca.cli("token", "create", "--node", "node-1", "--out", token)
    ca.cli("entry", "create", "spiffe://cluster.local/web", "--selector", "unix:uid:54321", "--selector", f"unix:path:{program}",
           "--node", "node-1")
    state, sockets, admin = (open_folder / name for name in ("state", "sockets", "admin"))
    for folder in (state, sockets, admin):
        folder.mkdir()
    config = AGENT_CONFIG + f"server: [\"{ca.grpc}\"]\n"
    volumes = [Volume(state, "/var/lib/meshca-agent"), Volume(sockets, "/run/meshca/agent"), Volume(admin, "/run/meshca/admin"),
               Volume(as_volume(tmp_path / "config", 0, 0o644, **{"agent.yaml": config.encode()}), "/etc/meshca/config", True),
               Volume(as_volume(tmp_path / "tokens", 0, 0o400, **{"node-1": token.read_bytes()}), "/etc/meshca/tokens", True)]
    env = {"MESHCA_AGENT_CONFIG": "/etc/meshca/config/agent.yaml", "MESHCA_AGENT_TOKEN_FILE": "/etc/meshca/tokens/node-1"}
    background = Background(root.command("agent", volumes=volumes, env=env, user=(0, 0), keep=capabilities),
                            tmp_path / "stderr.log")
    try:
        background.wait_for_line("next", 60)
        status = pathlib.Path(f"/proc/{background.pid}/status").read_text(encoding="ascii")
        # chroot needs one of its own, which a container runtime needs not.
        effective = int(re.search(r"^CapEff:\s+(\S+)", status, re.M).group(1), 16)
        assert effective & ~(1 << 18) == (1 << 19 if capabilities else 0)
        assert "node-1" in root.run("status", "--agent", volumes=volumes, env=env, user=(0, 0), keep=capabilities)

        workload = [program, "workload", "x509", "--api-socket", sockets / "api.sock"]
        done = subprocess.run(workload, user=54321, group=54321, extra_groups=[], capture_output=True, text=True, timeout=60,
                              env={"PATH": "/usr/bin", "HOME": "/"}, check=False)
        if capabilities:
            assert "spiffe://cluster.local/web" in done.stdout, done.stderr
        else:
            assert done.returncode != 0 and "PermissionDenied" in done.stderr, done.stdout + done.stderr
    finally:
        background.kill()
