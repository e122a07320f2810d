"""Long polls: waiting for something to appear without holding a database connection meanwhile.

Each wait holds a thread of a web process, which has eight. Few of them may wait, so that pages,
sign-in and short requests always find a free one, however many clients poll. A poll without a place
is answered at once with its own time to retry, so that a thousand retries are spread evenly
(docs/decisions/0014-waiting-is-bounded.md has the figures).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

LONGEST = 30
PAUSE = 0.25
THREADS = 8
"""Of a web process: ``--threads`` of gunicorn."""
SOONEST, LATEST = 2, 120
"""Seconds after which a poll without a place retries."""
SHARE = 0.1
"""The share of a process for retried polls."""


class Places:
    """So many threads of this process may wait at once. A wait that finds no place ends at once,
    which every client of a long poll must be able to take."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        return self._taken

    def take(self) -> bool:
        with self._lock:
            free = self._taken < self.count
            self._taken += free
            return free

    def give_back(self) -> None:
        with self._lock:
            self._taken -= 1


class Turns:
    """Assigns times to retry, the next free one to each client, so that answering retries takes
    ``share`` of a process.

    The cost of an answer is measured: on a busy machine it is many times that of an idle one.
    ``clock`` counts seconds. If all times for ``latest`` seconds are taken, a client retries after
    that: such clients keep their rate.
    """

    def __init__(
        self,
        share: float = SHARE,
        *,
        soonest: float = SOONEST,
        latest: float = LATEST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._soonest, self._latest = share, soonest, latest
        self._clock = clock
        self._given = -math.inf
        self._answer = 0.005
        self._under_way = 0
        self._lock = threading.Lock()

    @contextmanager
    def answering(self) -> Iterator[Callable[[], int]]:
        """Wraps the answer to a request. It yields a function that returns, at the end of an answer
        that could not wait, the whole seconds until its retry."""
        with self._lock:
            self._under_way += 1
        began = self._clock()
        try:
            yield lambda: self._turn(self._clock() - began)
        finally:
            with self._lock:
                self._under_way -= 1

    def _turn(self, seconds: float) -> int:
        waiting = POLLS.taken + ANSWERS.taken
        with self._lock:
            # Concurrent answers share the time.
            took = seconds / max(1, self._under_way - waiting)
            self._answer += (took - self._answer) / 10
            now = self._clock()
            turn = max(now + self._soonest, self._given + self._answer / self._share)
            self._given = min(turn, now + self._latest)
            return math.ceil(self._given - now - 1e-6)


POLLS = Places(4)
"""For who only wants to know when something happens."""
ANSWERS = Places(2)
"""For what cannot be decided before a server has answered: no poll takes these away."""
TURNS = Turns()

_found_no_place: ContextVar[bool] = ContextVar("found_no_place", default=False)


def found_no_place() -> bool:
    """Whether a wait in this thread found no place since the last call."""
    found = _found_no_place.get()
    _found_no_place.set(False)
    return found


def wait_for(
    look: Callable[[], T | None], seconds: float, pause: float = PAUSE, *, places: Places = POLLS
) -> T | None:
    """Call ``look`` until it returns something, for at most ``seconds``; None when time is up.

    Between two calls the database connection is released: a hundred polls must not keep a hundred
    connections. Within a transaction it is kept.
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
