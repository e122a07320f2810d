"""``lab up|down|reset|status``: the lab from a shell. ``manage.py lab`` hands over to this."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from lab.pristine import STOCKS
from lab.process import LabError
from lab.server import Lab, Status

Report = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser, folder: Path) -> None:
    """``folder`` is the default folder of the lab."""
    parser.add_argument("action", choices=("up", "down", "reset", "status"))
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--folder", type=Path, default=folder, metavar="DIR")
    parser.add_argument(
        "--stock",
        choices=sorted(STOCKS),
        help="starting point: a stock profile of EasyApache 4, or another (up makes the lab "
        "from it, reset returns to it)",
    )
    parser.add_argument(
        "--hooks",
        action="store_true",
        help="a new lab gets cPanel's hook that restarts httpd after a transaction",
    )
    parser.add_argument(
        "--yum", action="store_true", help="a new lab's package manager is called yum"
    )


def run_command(options: argparse.Namespace, report: Report) -> int:
    """Run a command; ``report`` takes lines of output. Raises LabError.

    Exit status: 0 done; for ``status`` 1 when httpd does not run.
    """
    lab = _lab(options)
    match options.action:
        case "up":
            lab.up()
        case "down":
            lab.down()
        case "reset":
            lab = lab.reset(options.stock).up()
    seen = lab.status()
    report(json.dumps(seen.as_json()) if options.json else _summary(seen))
    return 1 if options.action == "status" and seen.pid is None else 0


def _lab(options: argparse.Namespace) -> Lab:
    there = (options.folder / "lab.json").exists()
    if options.action != "up" or there:
        lab = Lab.open(options.folder)
        if options.action == "up" and options.stock not in (None, lab.setup.stock):
            raise LabError(
                f"the lab in {options.folder} was created as {lab.setup.stock}; "
                f"to start over: lab reset --stock {options.stock}"
            )
        return lab
    return Lab.create(
        options.folder, options.stock or "default", hooks=options.hooks, yum=options.yum
    )


def _summary(seen: Status) -> str:
    itk = " with ITK" if seen.itk else ""
    running = f"{seen.running}{itk} (process {seen.pid})" if seen.pid is not None else "nothing"
    return (
        f"address    {seen.address}\n"
        f"folder     {seen.root}\n"
        f"installed  {', '.join(seen.installed) or 'no MPM'}\n"
        f"running    {running}"
    )
