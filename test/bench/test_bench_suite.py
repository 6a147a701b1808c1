"""The parts of run.sh that measure nothing: rows, tables, plots, the README's section; and that one row runs."""

import json
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

SUITE = pathlib.Path(__file__).resolve().parent / "suite"
sys.path.insert(0, str(SUITE))

import measure  # noqa: E402
import report  # noqa: E402
import svg_plot  # noqa: E402
from row import Row, number  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def row(repeats, target=2, **options):
    return Row("issuance", "a certificate", "x", target, repeats, **options)


def test_the_median_of_the_repeats_is_held_against_the_target():
    one = row([1.5, 9.0, 1.0])
    assert (one.measured, one.ratio, one.spread, one.met) == (1.5, 0.75, (1.0, 9.0), True)
    assert not row([2.01]).met
    assert row([2.0]).met


def test_a_lower_bound_is_met_from_above():
    assert row([91.0], 90, at_least=True).met
    assert not row([89.9], 90, at_least=True).met
    assert row([91.0], 90, at_least=True).bound == ">= 90 x"


def test_a_row_as_json_says_all_that_the_table_says():
    document = json.loads(json.dumps(row([3.0, 1.0, 2.5], details={"p99_ms": 4}).to_json()))
    assert document == {"name": "issuance", "what": "a certificate", "unit": "x", "target": 2, "bound": "at most",
                        "measured": 2.5, "ratio": 1.25, "met": False, "spread": {"min": 1.0, "max": 3.0},
                        "repeats": [3.0, 1.0, 2.5], "details": {"p99_ms": 4}}


@pytest.mark.parametrize("value,text", [(1.6, "1.60"), (16, "16"), (17.68, "17.7"), (250, "250"), (13227.5, "13,228")])
def test_numbers_show_what_counts(value, text):
    assert number(value) == text


def test_the_table_has_its_columns_below_one_another_and_names_what_was_missed():
    lines = report.table([row([1.0]), row([2.5])]).splitlines()
    assert len({line.index("<=") for line in lines[1:]} | {lines[0].index("target")}) == 1
    assert "missed" not in lines[1] and "missed" in lines[2]


def test_the_readme_keeps_what_stands_around_the_figures():
    readme = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.with_section(readme, "new \\1")
    assert once == f"before\n{report.BEGIN}\nnew \\1\n{report.END}\nafter\n"
    assert report.with_section(once, "new \\1") == once
    with pytest.raises(ValueError, match="has no place"):
        report.with_section("nothing", "new")


def test_our_readme_has_that_place():
    report.with_section((SUITE.parents[2] / "README.md").read_text(encoding="utf-8"), "")


@pytest.mark.parametrize("top,wanted", [(0, [0, 1]), (5_000_000, [i * 1e6 for i in range(6)]),
                                        (1.7, [0, 0.5, 1, 1.5, 2])])
def test_axes_end_at_a_round_number(top, wanted):
    assert svg_plot.ticks(top) == pytest.approx(wanted)


def test_a_plot_shows_every_point_where_it_belongs():
    drawing = ET.fromstring(svg_plot.svg("Cost & size", "rows", "x", [(0, 1.0), (50, 1.5), (100, 2.0)], limit=1.6))
    points = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in drawing.iter(f"{SVG}circle")]
    assert len(points) == 3
    assert points[1][0] == pytest.approx((points[0][0] + points[2][0]) / 2)
    assert points[1][1] == pytest.approx((points[0][1] + points[2][1]) / 2)
    assert points[0][1] > points[2][1], "up is more"
    assert [text.text for text in drawing.iter(f"{SVG}text") if "target" in text.text] == ["target 1.60"]


def test_every_row_has_a_name_of_its_own():
    assert len(set(measure.NAMES)) == len(measure.NAMES)


def test_one_row_is_measured_and_told_as_one_document(build_dir, tmp_path):
    done = subprocess.run([sys.executable, SUITE / "measure.py", "--json", "--only", "start-fresh", "--work", tmp_path],
                          capture_output=True, text=True, timeout=240, check=False, env={
                              "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1",
                              "MESHCA_BUILD_DIR": str(build_dir)})
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (only,) = document["rows"]
    assert (only["name"], len(only["repeats"])) == ("start-fresh", 5)
    assert all(milliseconds > 0 for milliseconds in only["repeats"])
