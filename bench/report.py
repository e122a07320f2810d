"""RESULTS.md: one section per measurement, each with the conditions it was made under.

A run of one measurement replaces its own section and leaves the others as they are.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
_HEAD = """\
# Results of `make bench`

Written by `python -m bench`; do not edit. Figures are medians with minimum and maximum behind
them unless a column says otherwise. Compare within a table, where everything was measured in one
run on one machine; across machines only the ratios mean anything.
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are texts; ``title`` is a sentence that describes the rows."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """``findings``: sentences, the most important first. ``method``: how it was measured."""

    findings: tuple[str, ...]
    tables: tuple[Table, ...]
    method: tuple[str, ...] = ()


def spread(values: Sequence[float], digits: int = 2) -> str:
    """``median (minimum to maximum)``."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if low == high else f"{middle} ({low} to {high})"


def ratio(value: float, base: float) -> str:
    """How many times ``base``; a dash where there is nothing to compare with."""
    return f"{value / base:.2f} ×" if base else "–"


def whole(number: int) -> str:
    """With a thin space between thousands."""
    return f"{number:,}".replace(",", " ")


def markdown(name: str, title: str, section: Section, conditions: str) -> str:
    """One section between its two marks."""
    parts = [f"## {title}", *(f"- {line}" for line in section.findings)]
    text = [parts[0], "", "\n".join(parts[1:]), ""]
    for table in section.tables:
        text += [table.title, "", _table(table), ""]
    if section.method:
        text += ["How it was measured:", "", "\n".join(f"- {line}" for line in section.method), ""]
    text += [f"Conditions: {conditions}", ""]
    return f"<!-- {name} -->\n" + "\n".join(text) + f"<!-- /{name} -->\n"


def _table(table: Table) -> str:
    lines = [table.header, tuple("---" for _ in table.header), *table.rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def write(name: str, block: str, path: Path = RESULTS) -> None:
    """Put one section's block in its place, or at the end when it is new."""
    text = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    place = re.compile(rf"<!-- {re.escape(name)} -->\n.*?<!-- /{re.escape(name)} -->\n", re.DOTALL)
    new, found = place.subn(lambda _: block, text)
    path.write_text(new if found else f"{text.rstrip()}\n\n{block}", encoding="utf-8")
