"""Lines that httpd itself has written into its error log since it was started.

The log also has output of scripts and errors of requests; only httpd's own lines, without a client,
are used.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from easyapache.agent.httpd.processes import Identity

TAIL = 256 * 1024
"""Bytes at the end that are looked through: httpd that runs well writes less in months."""

_OWN = re.compile(r"\[[^\]]*\] \[[\w:-]+\] \[pid \d+|AH\d{5}: ")
"""Lines with httpd's prefix, and those it writes before its log is set up."""
_REQUEST = re.compile(r"\[(client|remote) ")
_OVER = re.compile(r"resuming normal operations|caught SIG(TERM|WINCH), shutting down")


def lines_of_httpd(path: Path, parent: Identity | None) -> str:
    """The lines of the httpd with the parent process ``parent``; if none runs, those since one last
    started or was stopped: they show why it ended or did not start."""
    try:
        with path.open("rb") as handle:
            handle.seek(0, 2)
            handle.seek(max(0, handle.tell() - TAIL))
            text = handle.read(TAIL).decode(errors="replace")
    except OSError:
        return ""
    lines = text.splitlines()
    if parent is not None:
        mark = f"[pid {parent.pid}"
        first = next((n for n, line in enumerate(lines) if _is_of(line, mark)), 0)
    else:
        ends = [n for n, line in enumerate(lines) if _OVER.search(line)]
        first = ends[-1] + 1 if ends else 0
    return "\n".join(
        line for line in lines[first:] if _OWN.match(line) and not _REQUEST.search(line)
    )


_RELOADED = re.compile(r"AH00493|AH00171|AH00094")
"""The signal for a graceful restart, in the words of event and worker, and of prefork."""
_TIME = re.compile(r"\[\w{3} (\w{3} +\d+ [\d:]+)\.\d+ (\d{4})\]")


def reloads_a_day(lines: str) -> int:
    """How often httpd was reloaded on an average day; 0 if the lines span less than a day."""
    times: list[datetime] = []
    reloads = 0
    for line in lines.splitlines():
        if found := _TIME.match(line):
            try:
                text = f"{found[1]} {found[2]} +0000"  # of differences the zone is no matter
                times.append(datetime.strptime(text, "%b %d %H:%M:%S %Y %z"))
            except ValueError:
                continue
            reloads += bool(_RELOADED.search(line))
    days = (times[-1] - times[0]).total_seconds() / 86400 if times else 0.0
    return round(reloads / days) if days >= 1 else 0


def _is_of(line: str, mark: str) -> bool:
    """Whether a line was written by the process of that number, and not by one whose number
    begins like it."""
    place = line.find(mark)
    return place >= 0 and line[place + len(mark) : place + len(mark) + 1] in ("]", ":")
