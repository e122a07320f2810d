"""Whether packages have moved without us: a universal hook of the server touches a file.

The hook is written by ``ea4-mpm setup`` (``easyapache.installed.universal_hooks``). It runs in
transactions of others only: ours are made without the plugin that runs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

TOLD = "packages-moved"
"""The file in the spool."""
HOOK = "990-ea4-mpm"
"""The script among the universal hooks."""
LOOK = 0.4
"""Seconds between two looks at the file."""
GAP = 1.0
"""Seconds between two messages about it: a transaction of many packages is told once."""


class Moved:
    """Says once of each touch that there was one. What was touched before this began counts as
    known: an agent that has just started is asked for a look anyway."""

    def __init__(self, spool: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = spool / TOLD, clock
        self._known = self._touched()
        self._told: float | None = None

    def news(self) -> bool:
        """Whether it was touched since the last time that this said so."""
        touched = self._touched()
        if touched == self._known or touched is None:
            return False
        if self._told is not None and self._clock() - self._told < GAP:
            return False  # not yet: it is still news at the next look
        self._known, self._told = touched, self._clock()
        return True

    def _touched(self) -> int | None:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return None
