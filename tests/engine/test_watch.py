"""How soon an httpd that ended is started again, once the configuration on disk can start."""

from __future__ import annotations

from typing import Any

from easyapache.agent.httpd.processes import Identity
from easyapache.agent.httpd.watch import Watch
from easyapache.agent.server import HostError

SOONEST, LONGEST = 0.1, 0.5
"""Seconds between two starts. The longest leaves most of two seconds to the start itself, which
comes after a test of the configuration."""


class Httpd:
    """One that ends, and cannot be started before so many starts were tried."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.starts = refusals, 0

    def parent(self) -> None:
        return None

    def start(self, _: object) -> Identity:
        self.starts += 1
        if self.starts <= self.refusals:
            raise HostError("restart", "Apache didn't start.", "", "More than one MPM loaded.")
        return Identity(2**22, 1, "never")

    def entrust(self, *_: object) -> None:
        """No service."""


class Clock:
    """The pauses of a watch, which end at once; over after so many."""

    def __init__(self, most: int) -> None:
        self.pauses: list[float] = []
        self.most = most

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return len(self.pauses) > self.most


def looked(httpd: Httpd, most: int) -> tuple[list[float], list[str]]:
    log: list[str] = []
    window: Any = None
    server: Any = httpd
    watch: Any = Watch(server, window, log.append)
    watch._parent, watch._over = None, Clock(most)
    watch._look()
    return watch._over.pauses, log


def test_a_start_is_tried_again_within_half_a_second_however_often_it_failed() -> None:
    httpd = Httpd(refusals=30)
    pauses, log = looked(httpd, 30)
    assert httpd.starts == 30
    assert pauses[1] == SOONEST
    assert max(pauses) == LONGEST
    assert log == ["httpd ended and cannot be started yet: More than one MPM loaded."]


def test_an_httpd_that_ends_again_is_started_at_once() -> None:
    """Whatever was refused before it."""
    httpd = Httpd(refusals=10)
    pauses, log = looked(httpd, 13)
    assert httpd.starts == 13
    assert max(pauses[12:]) < SOONEST
    assert sum("started again" in line for line in log) == 3
