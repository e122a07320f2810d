"""Writes how much of the code the last run with coverage reached into README.md, between markers.

``make coverage`` measures and then runs ``python -m tests.coverage_in_readme``.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

README = Path(__file__).resolve().parent.parent / "README.md"
MARKED = re.compile(r"(<!-- coverage -->).*?(<!-- /coverage -->)", re.DOTALL)


def measured(data_file: Path | None = None) -> int:
    """Percent of lines, rounded down. Raises NoDataError where nothing was measured."""
    coverage = Coverage(data_file=str(data_file)) if data_file else Coverage()
    coverage.load()
    return int(coverage.report(file=io.StringIO()))


def marked(text: str, percent: int) -> str:
    """``text`` with the number between its markers. Raises ValueError where it has none."""
    if not MARKED.search(text):
        raise ValueError("There are no markers for the coverage in this text.")
    return MARKED.sub(rf"\g<1>{percent}%\g<2>", text)


def main() -> int:
    try:
        percent = measured()
    except NoDataError:
        sys.stderr.write("Nothing was measured yet. Run make coverage.\n")
        return 1
    README.write_text(marked(README.read_text("utf-8"), percent), "utf-8")
    sys.stdout.write(f"The tests reach {percent}% of the lines. README.md shows it.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
