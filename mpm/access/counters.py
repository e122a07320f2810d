"""Counts of requests in two windows: of this process here, of all of them in ``shared_counter``."""

from __future__ import annotations

import threading
from typing import Protocol

WINDOW = 60
"""Seconds."""
MOST_KEYS = 20_000


class CounterAway(Exception):
    """A counter did not answer; the message has the error."""


class Counter(Protocol):
    def hit(self, key: str, window: int, amount: int) -> tuple[int, int]:
        """Add ``amount`` to a key's window; the counts of (previous, this) window. Raises
        CounterAway."""


class Memory:
    """Counts of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, int], int] = {}

    def hit(self, key: str, window: int, amount: int) -> tuple[int, int]:
        with self._lock:
            if len(self._counts) > MOST_KEYS:
                self._counts = {
                    name: count for name, count in self._counts.items() if name[1] >= window - 1
                }
            current = self._counts.get((key, window), 0) + amount
            if amount:
                self._counts[key, window] = current
            return self._counts.get((key, window - 1), 0), current
