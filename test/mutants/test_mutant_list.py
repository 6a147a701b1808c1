"""The list of mutants cannot rot: each change still fits its file, and each test that must notice is there."""

import subprocess

import mutants
import pytest

ALL = mutants.load()
TESTS = sorted({test for mutant in ALL for test in mutant.tests}, key=str)


def test_names_are_unique():
    names = [mutant.name for mutant in ALL]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_the_old_text_is_in_its_file_exactly_once(mutant):
    assert mutant.occurrences() == 1, f"{mutant.file} changed: bring test/mutants/mutants.toml up to date with it"
    assert mutant.old != mutant.new


@pytest.fixture(scope="module")
def binaries(build_dir):
    return mutants.gtest_binaries(build_dir)


@pytest.mark.parametrize("test", TESTS, ids=str)
def test_the_tests_that_must_notice_are_there(test, binaries):
    if test.target == "pytest":
        file, _, function = test.case.partition("::")
        assert f"def {function.split('[')[0]}(" in (mutants.ROOT / file).read_text()
        return
    # Each part of the filter: one that fits nothing would hide behind the others.
    for part in test.case.split(":"):
        command = [*binaries[test.target], "--gtest_list_tests", f"--gtest_filter={part}"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert any(line.startswith("  ") for line in listed.splitlines()), f"{test.target} has no test {part}"
