"""A child process whose output is kept and whose end is certain. Ended by its own pid, never by name."""

import os
import signal
import subprocess
import threading
import time


def wait_until(condition, timeout, what):
    """Returns the first true value of condition(); fails with `what` when `timeout` seconds brought none."""
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline  # Asked first: the last look is one that began when the time was up.
        value = condition()
        if value:
            return value
        assert not late, f"not within {timeout} s: {what() if callable(what) else what}"
        time.sleep(0.02)


class Background:
    """`command` running, its stdout lines in `lines`, its stderr in the file `stderr_path`. It reads nothing, or from a
    pipe what tell() writes."""

    def __init__(self, command, stderr_path, env=None, cwd=None, stdin=subprocess.DEVNULL, pass_fds=()):
        self.command = [str(word) for word in command]
        self.stderr_path = stderr_path
        self.lines = []
        self._changed = threading.Condition()
        self._ended = False
        with open(stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(self.command, stdin=stdin, stdout=subprocess.PIPE,
                                            stderr=stderr, text=True, errors="replace", env=env, cwd=cwd, pass_fds=pass_fds)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self.process.pid

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for_line(self, prefix, timeout=60):
        """Returns all stdout lines up to the first one that starts with `prefix`."""
        found = lambda: next((i for i, line in enumerate(self.lines) if line.startswith(prefix)), None)  # noqa: E731
        with self._changed:
            self._changed.wait_for(lambda: found() is not None or self._ended, timeout)
            index = found()
            assert index is not None, (
                f"{self.command[0]} printed no line starting with {prefix!r} within {timeout} s"
                f"{' and ended' if self._ended else ''}\n{self.output()}")
            return self.lines[:index + 1]

    def wait_for_count(self, count, timeout=60):
        """Returns its first `count` stdout lines."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.lines) >= count or self._ended, timeout)
            assert len(self.lines) >= count, (
                f"{self.command[0]} printed {len(self.lines)} lines, not {count}, within {timeout} s"
                f"{' and ended' if self._ended else ''}\n{self.output()}")
            return self.lines[:count]

    def tell(self, line):
        """Writes a line to its standard input, which was started as subprocess.PIPE."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def output(self):
        """What it has printed so far, for an assertion's message."""
        return ("stdout:\n" + "\n".join(self.lines[-100:]) + "\nstderr:\n" +
                "\n".join(self.stderr_text().splitlines()[-100:]))

    def stderr_text(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.running():
            self.process.send_signal(number)

    def kill(self):
        """SIGKILL, as a power cut would: nothing is flushed by the process."""
        self.signal(signal.SIGKILL)
        self.process.wait(60)
        self._reader.join(60)

    def terminate(self, timeout=60):
        """SIGTERM; returns the exit code. One that does not end in time is killed and fails the test."""
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.command[0]} still ran {timeout} s after SIGTERM\n{self.output()}") from None
        self._reader.join(60)
        return code

    def cpu_seconds(self):
        """User and system time it has used so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        """Memory it has in RAM now."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
