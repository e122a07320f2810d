"""Installs the panel on a whole machine and tries it there: ``python -m tests.machine``.

Each point is a sentence. Exit status 0: all of them hold; 1: one does not; 2: no machine can be
built here. ``--cuts`` and ``--plugs`` say how often the power fails in the middle of a change.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.report import Section, Table, markdown, write
from bootstrap import packages
from lab.machine import disk
from lab.process import LabError
from tests.machine import adverse, afterwards, at_home, power, survival
from tests.machine.server import Wrong
from tests.machine.trial import LIMIT, POINTS, Trial, within, write_line

PARTS = (at_home, survival, adverse, power, afterwards)
"""Their points, in this order."""
POINTS.sort(key=lambda one: [part.__name__ for part in PARTS].index(one.module))


def run(trial: Trial, wanted: list[str]) -> None:
    """Every point, or those named; the first one comes in any case: it installs the panel."""
    for one in POINTS:
        if wanted and one.name not in wanted and one is not POINTS[0]:
            continue
        begin = time.monotonic()
        held = "yes"
        try:
            with within(one.limit):
                one.work(trial)
        except (Wrong, LabError, packages.CannotBuild) as error:
            held = "no"
            trial.wrong.append(f"{one.sentence}: {error}")
            write_line(f"NO    {one.sentence} ({one.name})\n      {error}")
        took = time.monotonic() - begin
        if held == "yes":
            write_line(f"ok    {one.sentence} ({took:.0f} s)")
        trial.rows.append((one.sentence, held, f"{took:.0f} s"))
        trial.took[one.name] = took
        if held == "no":
            if one is POINTS[0]:
                break
            try:
                with within(LIMIT):
                    _recover(trial)
            except (Wrong, LabError) as error:
                trial.wrong.append(f"after {one.name} the machine is not up: {error}")
                write_line(f"NO    after {one.name} the machine is not up: {error}")
                break


def _timings(trial: Trial) -> None:
    total = sum(trial.took.values())
    write_line(f"The points took {total / 60:.0f} min, the longest first:")
    for name, took in sorted(trial.took.items(), key=lambda one: -one[1]):
        write_line(f"{took:7.0f} s  {name}")


def _recover(trial: Trial) -> None:
    """The next point finds a machine that is up, with packages of the usual speed."""
    both = (trial.two.panel, trial.two.server) if trial.two else (trial.machine,)
    for machine in both:
        if machine.init is None:
            machine.boot()
        machine.slow(0)
    if trial.two:
        trial.two.cable.plug()


def report(trial: Trial, section_name: str) -> None:
    held = sum(row[1] == "yes" for row in trial.rows)
    minutes = sum(trial.took.values()) / 60
    findings = (
        f"{held} of {len(trial.rows)} points hold on a whole machine, in {minutes:.0f} minutes.",
    )
    tables = (
        Table("What was tried.", ("point", "holds", "took"), tuple(trial.rows)),
        Table("What was measured.", ("what", "value"), tuple(trial.figures)),
    )
    method = (
        (
            "Debian 12 with systemd 252 as process 1, booted by systemd-nspawn with every "
            "capability; dnf and rpm at / with EasyApache 4's package names; httpd.service as on "
            "a cPanel server."
        ),
        "The panel, its worker, its agent and its Redis from the .deb that make packages builds.",
        (
            "Not tried: Enterprise Linux, SELinux, cPanel's own scripts and watchdog, and a jump "
            "of the clock, which the machine has in common with the one that boots it."
        ),
    )
    conditions = (
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.0f}, {time.strftime('%F')}."
    )
    section = Section(findings, tables, method)
    title = "The packages on a whole machine"
    write(section_name, markdown(section_name, title, section, conditions))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--plugs", type=int, default=10)
    parser.add_argument(
        "--minutes", type=float, default=600, help="no further cut or plug after so many"
    )
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--package", type=Path, help="a .deb of the panel; else it is built now")
    names = [one.name for one in POINTS]
    parser.add_argument("--point", action="append", default=[], choices=names, help="only these")
    parser.add_argument("--section", help="of bench/RESULTS.md, also where only some points run")
    parser.add_argument("--keep", action="store_true", help="leave the machine's disk behind")
    asked = parser.parse_args()
    if lacks := disk.missing():
        write_line(f"A whole machine needs {', '.join(lacks)}.")
        return 2
    seed = asked.seed if asked.seed is not None else int(time.time())
    write_line(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="ea4-machine-", dir="/var/tmp"))
    folder.chmod(0o755)
    package = asked.package
    if package is None:
        target = [one for one in packages.TARGETS if one.name == "debian12"]
        version = packages.version_of_the_project()
        package = packages.build(target, [packages.PANEL], version, "1", folder)[0]
    until = time.monotonic() + 60 * asked.minutes
    trial = Trial(folder, package, asked.cuts, asked.plugs, random.Random(seed), until)
    try:
        run(trial, asked.point)
        if asked.section or not asked.point:
            report(trial, asked.section or "machine")
    finally:
        if asked.keep:
            write_line(f"kept: {folder}")
        elif hasattr(trial, "machine"):
            if trial.two is not None:
                trial.two.discard()
            trial.machine.discard()
            shutil.rmtree(folder)
    _timings(trial)
    write_line(f"{len(trial.wrong)} of {len(trial.rows)} points do not hold.")
    return 1 if trial.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
