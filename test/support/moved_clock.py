"""The wall clock of one process, moved by Debian's faketime; its boot clock stays as it is."""

import glob
import os


def faketime_library():
    (library,) = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    return library


class MovedClock:
    """Real time, and what is added to it."""

    def __init__(self, folder):
        self.file = folder / "faketime"
        self.set("+0")

    def set(self, offset):
        # Replaced at once: the process reads it with every look at its clock.
        new = self.file.with_suffix(".new")
        new.write_text(offset + "\n", encoding="utf-8")
        os.replace(new, self.file)

    def env(self):
        """What a process is started with whose clock this is."""
        return {"LD_PRELOAD": faketime_library(), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def without(self, env):
        """`env` for commands that go by the true time."""
        return {key: value for key, value in env.items() if key not in self.env()}
