"""Whether packages have changed outside this agent: a universal hook of the server touches a file.

The hook is written by ``ea4-mpm setup`` (``easyapache.installed.universal_hooks``). It runs in
other programs' transactions only: the agent's own run without the plugin.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

MARKER = "packages-moved"
"""The file in the spool."""
HOOK = "990-ea4-mpm"
"""The script among the universal hooks."""
LOOK = 0.4
"""Seconds between two checks of the file."""
GAP = 1.0
"""Seconds between two messages about it: a transaction of many packages is reported once."""


class Moved:
    """Reports each touch once. A touch before the start counts as known: the panel requests a scan
    from a newly started agent anyway."""

    def __init__(self, spool: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = spool / MARKER, clock
        self._known = self._touched()
        self._reported: float | None = None

    def news(self) -> bool:
        """Whether it was touched since the last report."""
        touched = self._touched()
        if touched == self._known or touched is None:
            return False
        if self._reported is not None and self._clock() - self._reported < GAP:
            return False  # not yet: it is still news at the next look
        self._known, self._reported = touched, self._clock()
        return True

    def _touched(self) -> int | None:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return None
