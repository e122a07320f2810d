"""One run on a whole machine: what is tried, in which order, and what was seen."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.machine.boot import Machine
from tests.machine.server import Wrong
from tests.machine.two import Two

WEB, WORKER, AGENT = "ea4-mpm-web.service", "ea4-mpm-worker.service", "ea4-mpm-agent.service"
REDIS = "ea4-mpm-redis.service"
SLOW = 8
"""Seconds that the scriptlets of a slow package take: time to do something meanwhile."""
LIMIT = 900.0
"""Seconds a point may take: what hangs is named, and the next one begins."""


@dataclass
class Trial:
    """One run: the machine, the built package, what was found and measured."""

    folder: Path
    package: Path
    cuts: int
    plugs: int
    chance: random.Random
    until: float
    """When no further power failure is begun, by the monotonic clock."""
    machine: Machine = field(init=False)
    two: Two | None = None
    wrong: list[str] = field(default_factory=list)
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    took: dict[str, float] = field(default_factory=dict)
    """Seconds of each point, by its name."""

    @property
    def both(self) -> Two:
        """The two machines. Raises Wrong where they could not be installed."""
        if self.two is None:
            raise Wrong("there are no two machines")
        return self.two

    def figure(self, what: str, value: str) -> None:
        self.figures.append((what, value))
        write_line(f"      {what}: {value}")


def write_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


Work = Callable[[Trial], None]


@dataclass(frozen=True, slots=True)
class Point:
    """``limit``: seconds; None where the work bounds each of its parts itself."""

    sentence: str
    name: str
    module: str
    work: Work
    limit: float | None


POINTS: list[Point] = []


def point(sentence: str, *, limit: float | None = LIMIT) -> Callable[[Work], Work]:
    """A point of the run; those of a module have the order in which they are written."""

    def register(work: Work) -> Work:
        name, module = getattr(work, "__name__", ""), work.__module__
        POINTS.append(Point(sentence, name, module, work, limit))
        return work

    return register


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """A block that is broken off after so many seconds. Raises Wrong. For the main thread, and not
    one block in another."""

    def broken_off(*_: object) -> None:
        raise Wrong(f"not over after {seconds:.0f} s")

    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, broken_off)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def until(machine: Machine, command: str, limit: float) -> None:
    """A command succeeds before so many seconds have passed. Raises Wrong."""
    end = time.monotonic() + limit
    while (done := machine.run(["sh", "-c", command], check=False)).returncode:
        if time.monotonic() > end:
            raise Wrong((done.stdout + done.stderr)[-1500:])
        time.sleep(1)
