"""A small file system of a test's own, to fill."""

import contextlib
import errno
import os
import subprocess


@contextlib.contextmanager
def mounted(folder, size):
    """`folder`, made, with a file system of `size` ("8m"). Mounting is root's, or sudo's where that asks for no password."""
    folder.mkdir()
    rights = [] if os.geteuid() == 0 else ["sudo", "-n"]
    options = f"size={size},mode=0700,uid={os.geteuid()}"
    done = subprocess.run([*rights, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, f"cannot mount a tmpfs to fill: {done.stderr.strip()} (run as root, or with sudo's leave)"
    try:
        yield folder
    finally:
        subprocess.run([*rights, "umount", "-l", str(folder)], check=True)


def fill(path):
    """Writes to `path` until nothing more fits."""
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096) == 4096:
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
