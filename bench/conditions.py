"""What a figure depends on: the machine, its programs, and what else it was doing."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from easyapache.lab.system import distribution


def conditions() -> str:
    """One paragraph."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    place = distribution()
    programs = [
        f"dnf {_first_line('dnf', '--version')}",
        f"rpm {_first_line('rpm', '--version').removeprefix('RPM version ')}",
        _first_line(str(place.httpd), "-v").removeprefix("Server version: "),
        f"Python {platform.python_version()}",
    ]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {place.name}, kernel {platform.release()}, "
        f"{os.cpu_count()} CPUs{_processor()}, {memory:.0f} GB of memory; {', '.join(programs)}. "
        f"Load averages at the end (1, 5, 15 minutes): {load}."
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
