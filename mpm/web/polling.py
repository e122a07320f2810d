"""Long polls: waiting for something to appear without holding a database connection meanwhile.

Each wait holds a thread of a web process, which has eight. Few of them may wait, so that pages,
sign-in and short requests always find a free one, however many clients poll. Who finds no place is
answered at once with a turn of its own to ask again, so that a thousand clients who ask again are a
steady trickle and not a wave (docs/decisions/0014-waiting-is-bounded.md has the figures).
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
"""Seconds after which a poll that found no place is to ask again."""
SHARE = 0.1
"""Of what a process can answer, for polls that ask again."""


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
    """Gives out moments to ask again, the next free one to each, so that answering those who ask
    again takes ``share`` of a process.

    What one answer takes is measured: of a process on a machine that has much else to do it is
    many times what it is on an idle one. ``clock`` counts seconds. The turn of whoever finds all of
    them taken for ``latest`` seconds is then: such clients keep the pace at which they arrived.
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
        """Around the answer to a request. What it yields gives, at the end of an answer that could
        not wait, the whole seconds until its turn."""
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
            # Each of those that are answered at the same moment takes its share of the time.
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
