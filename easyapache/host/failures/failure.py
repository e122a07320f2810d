"""What is kept about one thing that is known to go wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """``patterns``: regular expressions over output, any of which recognises it. ``repair``:
    the safe repair that cures it, where there is one; ``last_resort``: only said when nothing
    more telling was recognised."""

    code: str
    title: str
    cause: str
    fix: str
    patterns: tuple[str, ...] = ()
    repair: str = ""
    last_resort: bool = False


SETTLE, START, RESTART = "settle-mpm", "start-httpd", "restart-httpd"
REINSTALL, ACCEPT = "reinstall-files", "accept-packages"
