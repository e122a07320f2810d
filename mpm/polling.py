"""Long polls: waiting for something to appear without holding a database connection meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

LONGEST = 30
PAUSE = 0.25
MOST_AT_ONCE = 8
"""Of one process. A poll that finds no place is answered at once, which every client of a long
poll must be able to take; the threads that are left go on serving pages."""

_places = threading.BoundedSemaphore(MOST_AT_ONCE)


def wait_for(look: Callable[[], T | None], seconds: float, pause: float = PAUSE) -> T | None:
    """Call ``look`` until it returns something, for at most ``seconds``; None when time is up.

    Between two looks the connection goes back: a hundred polls must not keep a hundred
    connections. Within a transaction it stays, because what was read belongs to it.
    """
    found = look()
    if found is not None or seconds <= 0 or not _places.acquire(blocking=False):
        return found
    try:
        deadline = time.monotonic() + min(seconds, LONGEST)
        while found is None and time.monotonic() < deadline:
            if not connection.in_atomic_block:
                connection.close()
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
            found = look()
    finally:
        _places.release()
    return found
