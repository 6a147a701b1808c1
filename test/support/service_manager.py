"""systemd's side of NOTIFY_SOCKET and of its file descriptor store, for one service of a test."""

import array
import os
import socket
import sys
import threading

# Descriptors stand under 3, 4, ... in the new process, which knows by its pid that they are for it.
LAUNCHER = """
import os, sys
given = [int(fd) for fd in sys.argv[1].split(",") if fd]
high = [os.dup(fd) if fd < 3 + len(given) else fd for fd in given]
high = [os.dup2(fd, 100 + place) for place, fd in enumerate(high)]
for place, fd in enumerate(high):
    os.dup2(fd, 3 + place)
    os.set_inheritable(3 + place, True)
os.closerange(3 + len(given), 200)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class ServiceManager:
    """Keeps what the service stores, by name, as systemd does: `room` is the unit's FileDescriptorStoreMax=."""

    def __init__(self, folder, room):
        self.path = folder / "notify"
        self.room = room
        self.stored = []  # (name, fd)
        self.heard = []  # what was told, whole
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        while True:
            text, rights, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(16 * array.array("i").itemsize))
            if not text:
                return
            fds = array.array("i")
            for _, _, data in rights:
                fds.frombytes(data)
            with self._lock:
                self._take(text.decode().splitlines(), list(fds))
                self.heard.append(text.decode())

    def _take(self, lines, fds):
        name = next((line.split("=", 1)[1] for line in lines if line.startswith("FDNAME=")), "stored")
        if "FDSTOREREMOVE=1" in lines:
            for stored in [one for one in self.stored if one[0] == name]:
                self.stored.remove(stored)
                os.close(stored[1])
        elif "FDSTORE=1" in lines:
            for fd in fds:
                # The room is looked at before systemd looks whether it has this file already.
                if len(self.stored) < self.room and not any(os.path.sameopenfile(fd, one) for _, one in self.stored):
                    self.stored.append((name, fd))
                else:
                    os.close(fd)

    def env(self):
        return {"NOTIFY_SOCKET": str(self.path)}

    def names(self):
        with self._lock:
            return [name for name, _ in self.stored]

    def put(self, name, fd):
        """Stores a copy of `fd` that the service did not give."""
        with self._lock:
            self.stored.append((name, os.dup(fd)))

    def contents(self):
        """The bytes of all that is stored."""
        with self._lock:
            return [os.pread(fd, os.fstat(fd).st_size, 0) for _, fd in self.stored]

    def start(self, process, **options):
        """Starts a ServedProcess, which was started before and has ended, with what is stored."""
        with self._lock:
            names, fds = [name for name, _ in self.stored], [fd for _, fd in self.stored]
        process.env.update(LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=":".join(names))
        process.launcher = [sys.executable, "-c", LAUNCHER, ",".join(map(str, fds))]
        process.pass_fds = fds
        return process.start(**options)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join(60)
        self._socket.close()
        for _, fd in self.stored:
            os.close(fd)
