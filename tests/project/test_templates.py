"""Templates are read by people: short lines, and no style or script among the elements."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 120
STILL: dict[str, int] = {}
"""Lines that are longer for now, by template. May only shrink."""


def test_no_line_of_a_template_is_longer_than_120_columns() -> None:
    found = {}
    for file in sorted((ROOT / "templates").rglob("*.html")):
        long = sum(len(line) > LONGEST for line in file.read_text("utf-8").splitlines())
        if long:
            found[str(file.relative_to(ROOT / "templates"))] = long
    assert found == STILL
