"""Long polls: waiting for something to appear without holding a database connection meanwhile.

Each wait holds a thread of a web process, which has eight. Few of them may wait, so that pages,
sign-in and short requests always find a free one, however many clients poll.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

LONGEST = 30
PAUSE = 0.25
THREADS = 8
"""Of a web process: ``--threads`` of gunicorn."""
RETRY_AFTER = 2
"""Seconds after which a poll that found no place is to ask again."""


class Places:
    """So many threads of this process may wait at once. A wait that finds no place ends at once,
    which every client of a long poll must be able to take."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.BoundedSemaphore(count)

    def take(self) -> bool:
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        self._free.release()


POLLS = Places(4)
"""For who only wants to know when something happens."""
ANSWERS = Places(2)
"""For what cannot be decided before a server has answered: no poll takes these away."""

_found_no_place: ContextVar[bool] = ContextVar("found_no_place", default=False)


def found_no_place() -> bool:
    """Whether a wait ended at once since this was last asked, in this thread of a process."""
    found = _found_no_place.get()
    _found_no_place.set(False)
    return found


def wait_for(
    look: Callable[[], T | None], seconds: float, pause: float = PAUSE, *, places: Places = POLLS
) -> T | None:
    """Call ``look`` until it returns something, for at most ``seconds``; None when time is up.

    Between two looks the connection goes back: a hundred polls must not keep a hundred
    connections. Within a transaction it stays, because what was read belongs to it.
    """
    found = look()
    if found is not None or seconds <= 0:
        return found
    if not places.take():
        _found_no_place.set(True)
        return None
    try:
        deadline = time.monotonic() + min(seconds, LONGEST)
        while found is None and time.monotonic() < deadline:
            if not connection.in_atomic_block:
                connection.close()
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
            found = look()
    finally:
        places.give_back()
    return found
