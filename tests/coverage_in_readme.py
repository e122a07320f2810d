"""How many of the statements of ``easyapache`` and ``mpm`` the tests execute.

``make test`` ends with ``python -m tests.coverage_in_readme``, which prints it beside what
README.md shows, and changes nothing. ``make coverage`` adds ``--write``: README.md then shows it,
between its markers.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

from tests.executed_lines import DATA_FILE, TOP

README = TOP / "README.md"
MARKED = re.compile(r"(<!-- coverage -->)(\d+)%(<!-- /coverage -->)")
TOLERATED = 2
"""Points that README.md may be off. A retry that only a busy machine needs is a statement more."""


def measured(data_file: Path = DATA_FILE) -> int:
    """Percent of the statements, rounded down. Raises NoDataError where nothing was measured."""
    coverage = Coverage(data_file=str(data_file), config_file=str(TOP / "pyproject.toml"))
    coverage.load()
    return int(coverage.report(file=io.StringIO()))


def shown(text: str) -> int:
    """The number between the markers. Raises ValueError where there is none."""
    found = MARKED.search(text)
    if not found:
        raise ValueError("There is no number between markers for the coverage in this text.")
    return int(found[2])


def marked(text: str, percent: int) -> str:
    """``text`` with ``percent`` between its markers. Raises ValueError where it has none."""
    shown(text)
    return MARKED.sub(rf"\g<1>{percent}%\g<3>", text)


def sentence(percent: int, in_readme: int) -> str:
    """What ``make test`` says of a run that executed ``percent`` of the statements."""
    executed = f"The tests execute {percent}% of the statements of easyapache and mpm"
    if abs(percent - in_readme) > TOLERATED:
        return f"{executed}, but README.md shows {in_readme}%. To write it there: make coverage"
    return f"{executed} (README.md shows {in_readme}%)."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the number into README.md")
    write = parser.parse_args(arguments).write
    text = README.read_text("utf-8")
    try:
        percent = measured()
    except NoDataError:
        sys.stderr.write("Nothing was measured yet. Run make test.\n")
        return 1
    if write:
        text = marked(text, percent)
        README.write_text(text, "utf-8")
    sys.stdout.write(sentence(percent, shown(text)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
