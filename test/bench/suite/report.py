"""How the rows are told: a table for the terminal, a JSON document, the README's section."""

import re

from row import number

BEGIN, END = "<!-- figures: test/bench/run.sh --write-readme -->", "<!-- end of figures -->"
HEADER = ("what", "target", "measured", "measured / target", "spread")


def cells(row):
    low, high = row.spread
    verdict = "" if row.met else "  missed"
    return (row.what, row.bound, f"{number(row.measured)} {row.unit}", f"{row.ratio:.2f}{verdict}",
            f"{number(low)} - {number(high)}")


def table(rows):
    """Lines in columns."""
    lines = [HEADER, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines)


def markdown(rows):
    lines = [HEADER, ("---",) * len(HEADER)]
    lines += [tuple(cell.replace("  missed", ", **missed**") for cell in cells(row)) for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def conditions(about):
    return (f"{about['processor']}, {about['cores']} cores (one for the server, one for the load), state on "
            f"{about['file_system']}; P-256 verify + sign takes {number(about['arithmetic_us'])} us there.")


def with_section(readme, section):
    """The README with what stands between the marks replaced."""
    if BEGIN not in readme or END not in readme:
        raise ValueError(f"the README has no place for the figures: it wants the lines {BEGIN} and {END}")
    return re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: f"{BEGIN}\n{section}\n{END}", readme, flags=re.S)
