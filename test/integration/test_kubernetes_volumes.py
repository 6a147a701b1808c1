"""State and key on Kubernetes volumes, as the kubelet lays them out: `..data` links, fsGroup, modes that it sets."""

import os
import pathlib
import subprocess

import pytest
from meshca_process import MeshcaProcess

USER, FS_GROUP = 54321, 54400


class Pod(MeshcaProcess):
    """A server as the container's user runs it, with the pod's fsGroup among its groups."""

    def command(self):
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", f"--groups={FS_GROUP}", *super().command()]


def mount_secret(folder, name, content, mode=0o440, group=FS_GROUP):
    """A Secret's volume: the file in a folder of the moment, `..data` that leads there, a link of the file's name."""
    moment = folder / "..2024_05_01_10_00_00.123456789"
    moment.mkdir(parents=True)
    (moment / name).write_bytes(content)
    (folder / "..data").symlink_to(moment.name)
    (folder / name).symlink_to(f"..data/{name}")
    for path in (folder, moment):
        path.chmod(0o2755)
        os.chown(path, 0, group)
    os.chown(moment / name, 0, group)
    (moment / name).chmod(mode)
    return folder / name


def mount_again(folder):
    """What the kubelet does to a volume with an fsGroup at each mount (fsGroupChangePolicy: Always)."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, -1, FS_GROUP, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod((path.stat().st_mode & 0o7777) | (0o2770 if path.is_dir() else 0o660))


@pytest.fixture
def pod(meshca, tmp_path):
    if os.geteuid() != 0:
        pytest.fail("playing the kubelet needs root, as the CI has")
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    started = []

    def start(state_dir, key, refused=False):
        process = Pod(meshca, home, state_dir, ["--kek-file", key], env={"HOME": str(home)})
        if refused:
            done = subprocess.run([str(word) for word in process.command()], capture_output=True, text=True,
                                  timeout=60, env=process.env, check=False)
            assert done.returncode == 1, done.stderr
            return done.stderr
        started.append(process)
        return process.start()

    yield start
    for process in started:
        process.stop()


def test_a_pod_keeps_its_state_on_a_volume_and_its_key_in_a_secret(pod, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    mount_again(volume)
    key = mount_secret(tmp_path / "secret", "kek", os.urandom(32))
    assert pathlib.Path(os.path.realpath(key)).stat().st_mode & 0o777 == 0o440

    said = pod(volume, key, refused=True)
    assert f"name one inside it, such as {volume}/state, which meshca makes for itself alone" in said

    state = volume / "state"
    first = pod(state, key)
    fingerprint = first.root_fingerprint
    first.terminate()

    mount_again(volume)
    assert (state / "meshca.db").stat().st_mode & 0o777 == 0o660
    second = pod(state, key)
    assert second.root_fingerprint == fingerprint
    assert state.stat().st_mode & 0o7777 == 0o700
    assert (state / "meshca.db").stat().st_mode & 0o777 == 0o600
    assert "its mode is set back" in second.log()


@pytest.mark.parametrize(("mode", "group", "words"), [
    (0o444, FS_GROUP, "defaultMode: 0440"),
    (0o644, 0, "`fsGroup` in the pod's securityContext"),
    (0o440, 0, "belongs to user 0, group 0, mode 0440"),
])
def test_a_key_that_others_in_the_pod_can_read_is_refused_in_words_for_its_manifest(pod, tmp_path, mode, group, words):
    key = mount_secret(tmp_path / "secret", "kek", os.urandom(32), mode, group)
    volume = tmp_path / "volume"
    volume.mkdir()
    mount_again(volume)
    said = pod(volume / "state", key, refused=True)
    assert words in said and str(key) in said
