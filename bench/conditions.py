"""What a figure depends on: the machine, its programs, and what else it was doing."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from lab.system import distribution


def busy() -> float:
    """The load average of the last minute: about how many processes want a processor."""
    return os.getloadavg()[0]


def conditions(busy_before: float) -> str:
    """One paragraph. ``busy_before``: the result of ``busy`` before the measurement."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processors = os.cpu_count() or 1
    other = ". The machine did other work as well" if busy_before > processors / 2 else ""
    place = distribution()
    programs = [
        f"dnf {_first_line('dnf', '--version')}",
        f"rpm {_first_line('rpm', '--version').removeprefix('RPM version ')}",
        _first_line(str(place.httpd), "-v").removeprefix("Server version: "),
        f"Python {platform.python_version()}",
    ]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {place.name}, kernel {platform.release()}, "
        f"{processors} CPUs{_processor()}, {memory:.0f} GB of memory; {', '.join(programs)}. "
        f"Load average before it began {busy_before:.1f}, at its end {busy():.1f}{other}."
    )


def _first_line(*argv: str) -> str:
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
    )
    lines = done.stdout.splitlines()
    return lines[0].strip() if lines else "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return f" ({value.strip()})"
    return ""
