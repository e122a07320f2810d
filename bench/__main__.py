"""``python -m bench [NAME …]``: run all or the named measurements, and write RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import bench
from bench.conditions import busy, conditions
from bench.report import RESULTS, Section, markdown, write

ORDER = ("switches", "size", "history", "api")
"""The order of the results; a measurement that is not listed here is last."""


def measurements() -> dict[str, Any]:
    """Every module of this package that measures something, by its NAME.

    Only these are imported: others are made for a process with settings of its own.
    """
    found = {}
    for path in Path(bench.__file__ or "").parent.glob("*.py"):
        if "\ndef measure(" in path.read_text(encoding="utf-8"):
            module = importlib.import_module(f"bench.{path.stem}")
            found[module.NAME] = module
    ranks = {name: rank for rank, name in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda item: (ranks.get(item[0], 99), item[0])))


def main(arguments: list[str]) -> int:
    modules = measurements()
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(modules))
    names = parser.parse_args(arguments).names or list(modules)
    if unknown := [name for name in names if name not in modules]:
        parser.error(f"there is no {unknown[0]!r}; there are {', '.join(modules)}")
    began = time.monotonic()

    def report(text: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - began:6.1f} s] {text}\n")
        sys.stderr.flush()

    # Several gigabytes may be needed temporarily; reported here, because /tmp may be in memory.
    report(f"scratch files go to {os.environ.get('TMPDIR', '/tmp')} (TMPDIR)")  # noqa: S108
    for name in names:
        module = modules[name]
        report(f"{name}: begins")
        before = busy()
        section: Section = module.measure(report)
        block = markdown(name, module.TITLE, section, conditions(before))
        write(name, block)
        sys.stdout.write(f"{block}\n")
        sys.stdout.flush()
    report(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
