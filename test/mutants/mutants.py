"""The list of mutants, read and checked: mutants.toml holds one table a mutant."""

import dataclasses
import json
import pathlib
import subprocess
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIST = pathlib.Path(__file__).with_name("mutants.toml")
KEYS = {"name", "guard", "file", "old", "new", "tests"}


@dataclasses.dataclass(frozen=True)
class Test:
    """One test that must notice: a GoogleTest binary and a filter, or a pytest id."""
    target: str  # "pytest" for those
    case: str

    @classmethod
    def parse(cls, text):
        target, _, case = text.partition(":")
        if not case:
            raise ValueError(f"{text!r} is neither TARGET:GTEST_FILTER nor pytest:FILE::TEST")
        return cls(target, case)

    @property
    def build_target(self):
        """What has to be built to run it: whole-server tests run the command."""
        return "meshca" if self.target == "pytest" else self.target

    def __str__(self):
        return f"{self.target}:{self.case}"


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    guard: str  # the rule that holds while the guard stands, one sentence
    file: str
    old: str
    new: str
    tests: tuple

    def occurrences(self, root=ROOT):
        path = root / self.file
        return path.read_text().count(self.old) if path.exists() else 0

    def applied_to(self, text):
        return text.replace(self.old, self.new)

    @property
    def targets(self):
        return sorted({test.build_target for test in self.tests})


def load(path=LIST):
    """Every mutant, sorted so that those of one file and one set of tests follow each other."""
    mutants = []
    for table in tomllib.loads(path.read_text())["mutant"]:
        if set(table) != KEYS:
            raise ValueError(f"{path.name}: {table.get('name')}: has {sorted(table)}, and a mutant has {sorted(KEYS)}")
        tests = tuple(Test.parse(text) for text in table["tests"])
        mutants.append(Mutant(table["name"], table["guard"], table["file"], table["old"], table["new"], tests))
    return sorted(mutants, key=lambda mutant: (mutant.file, mutant.targets, mutant.name))


def gtest_binaries(build_dir):
    """Name to path of the GoogleTest binaries of a build tree, as ctest registers them."""
    listed = subprocess.run(["ctest", "--test-dir", str(build_dir), "--show-only=json-v1"], capture_output=True, text=True,
                            check=True)
    # A test under an emulator (setarch) has its binary behind it.
    return {test["name"]: test["command"] for test in json.loads(listed.stdout)["tests"] if test.get("command")}
