"""What is kept about one thing that is known to go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Failure:
    """``patterns``: regular expressions over output, any of which recognises it;
    ``beside``: more of them that count only where a package is installed, by its name.
    ``repair``: the safe repair that cures it, where there is one; ``last_resort``: only said
    when nothing more telling was recognised. ``under_load``: an httpd that serves writes it
    into its error log."""

    code: str
    title: str
    cause: str
    fix: str
    patterns: tuple[str, ...] = ()
    repair: str = ""
    last_resort: bool = False
    under_load: bool = False
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SETTLE, START, RESTART = "settle-mpm", "start-httpd", "restart-httpd"
REINSTALL, ACCEPT, TAKE_BACK = "reinstall-files", "accept-packages", "take-back"
