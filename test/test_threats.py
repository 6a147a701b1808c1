"""ca/THREATS.md names the test behind each line; none of them may be gone."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINES = (ROOT / "ca" / "THREATS.md").read_text().splitlines()
CPP_CASE = re.compile(r"\b(?:TEST|TEST_F|TEST_P|TYPED_TEST)\(\s*(\w+),\s*(\w+)\s*\)")
PYTHON_CASE = re.compile(r"^def (test_\w+)\(", re.MULTILINE)


def rows():
    """Each row of the page's tables, as its cells; without their heads."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES if line.startswith("|")]
    return [row for row in cells if row[0] != "cannot" and not set(row[0]) <= {"-", " "}]


@pytest.fixture(scope="module")
def known():
    here = ROOT / "test"
    cpp = {f"{suite}.{case}" for path in here.rglob("*.cc") for suite, case in CPP_CASE.findall(path.read_text())}
    return cpp | {name for path in here.rglob("test_*.py") for name in PYTHON_CASE.findall(path.read_text())}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:60])
def test_what_nobody_can_do_is_shown_by_tests_that_exist(row, known):
    names = re.findall(r"`([^`]+)`", row[-1])
    assert names, f"no test is named for: {row[0]}"
    missing = [name for name in names if name not in known]
    assert not missing, f"ca/THREATS.md names tests that are not there: {missing}"


def test_the_page_has_somebody_for_each_way_in():
    heads = " ".join(line for line in LINES if line.startswith("## "))
    for who in ("user of the host", "workload", "node", "operator", "reads a backup", "writes the database", "stole", "Not defended"):
        assert who in heads
