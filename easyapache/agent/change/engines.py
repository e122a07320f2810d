"""Starts the engine of a change or a repair, detached, and starts it again when it died.

An engine is alive while it holds its lock, which the kernel releases when the engine ends. So a
free lock and no result on disk mean: start one.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import easyapache
from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.progress import progress_of
from easyapache.agent.change.spool import Spool
from easyapache.agent.config import HostConfig
from easyapache.agent.drivers import CONFIG_VARIABLE
from easyapache.agent.runner import Detached, Runner
from easyapache.agent.server import HostError

log = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
"""Seconds between the death of an engine and the next start; doubled while it gets nowhere.
The engine itself counts how often it died in one step, and turns round."""


PATIENCE = 60.0
"""Seconds a change waits for the engine of another one to end. Then, or when it is canceled, its
own engine starts beside that one to report the outcome."""
_LOOK = 0.5
"""Seconds for which a look at all unfinished changes is good."""


class Work(Protocol):
    """A folder of the spool that an engine works on: ``program`` is its module, ``key`` a name
    no other work has, ``progress`` a number that grows as long as it gets anywhere."""

    path: Path
    program: str

    @property
    def key(self) -> str: ...

    @property
    def engine_at_work(self) -> bool: ...

    @property
    def over(self) -> bool: ...

    @property
    def progress(self) -> int: ...


@dataclass
class _Watched:
    started: int = 0
    pause: float = FIRST_PAUSE
    not_before: float = 0.0
    progress: int = -1
    process: Detached | None = None
    waits_since: float | None = None


class Engines:
    """All engines of one spool."""

    def __init__(self, config: HostConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.config, self.clock = config, clock
        self._watched: dict[str, _Watched] = {}
        self._unfinished: tuple[float, list[ChangeFolder]] = (-_LOOK, [])
        self._lock = threading.Lock()
        project = str(Path(easyapache.__file__).resolve().parent.parent)
        # Behind it, where an installed version has its packages. Not by the link to the current
        # version, which may be another one before the change has ended.
        given = os.environ.get("PYTHONPATH", "").split(":")
        others = [str(Path(path).resolve()) for path in given if path]
        environment = {"PYTHONPATH": ":".join(dict.fromkeys([project, *others]))}
        for name in (CONFIG_VARIABLE, "PATH", "HOME"):
            if os.environ.get(name):
                environment[name] = os.environ[name]
        self._runner = Runner(environment)

    def ensure(self, work: Work) -> bool:
        """See to it that an engine is at unfinished work. Returns whether one was
        started now. Cheap enough to be called several times a second."""
        with self._lock:
            return self._ensure(work)

    def _ensure(self, work: Work) -> bool:
        watched = self._watched.setdefault(work.key, _Watched())
        if watched.process is not None and watched.process.running:
            return False
        if self.clock() < watched.not_before or work.engine_at_work:
            return False
        if work.over:
            self._watched.pop(work.key, None)
            return False
        if isinstance(work, ChangeFolder) and not self._has_its_turn(work, watched):
            return False
        progress = work.progress
        if progress != watched.progress:
            watched.pause = FIRST_PAUSE
        watched.progress = progress
        watched.not_before = self.clock() + watched.pause
        watched.pause = min(LONGEST_PAUSE, watched.pause * 2)
        return self._start(work, watched)

    def _has_its_turn(self, change: ChangeFolder, watched: _Watched) -> bool:
        """A server has one change at a time, an incomplete one first: however many are requested,
        at most two engines run."""
        if self.clock() - self._unfinished[0] >= _LOOK:
            self._unfinished = self.clock(), Spool(self.config.spool).unfinished()
        others = [one for one in self._unfinished[1] if one.key != change.key]
        at_work = sum(one.engine_at_work or self._runs(one) for one in others)
        half_done = any(_touched(one) for one in others) and not _touched(change)
        if not at_work and not half_done:
            return True
        if watched.waits_since is None:
            watched.waits_since = self.clock()
        due = self.clock() - watched.waits_since >= PATIENCE or change.cancel_requested
        return due and at_work <= 1

    def _runs(self, change: ChangeFolder) -> bool:
        """Whether an engine was started for it that may not have taken its lock yet."""
        other = self._watched.get(change.key)
        return other is not None and other.process is not None and other.process.running

    def _start(self, work: Work, watched: _Watched) -> bool:
        where = work.path / "engines"
        died = watched.process.last_line() if watched.process is not None else ""
        while Detached(where, f"engine-{watched.started + 1}").started:
            watched.started += 1
        watched.started += 1
        name = f"engine-{watched.started}"
        argv = [sys.executable, "-m", work.program, str(work.path)]
        unit = f"ea4-mpm-{work.key}-{watched.started}"
        what = "repair" if work.key.startswith("repair-") else "change"
        try:
            self._runner.start_detached(argv, where, name, unit, f"EA4 MPM: {what} of this server")
        except HostError as error:
            log.error("the engine of %s did not start: %s %s", work.key, error, error.output)
            return False
        watched.process, watched.waits_since = Detached(where, name), None
        if watched.started > 1:
            known = f" ({died})" if died else ""
            log.warning(
                "the engine of %s died%s; started number %d", work.key, known, watched.started
            )
        return True


def _touched(change: ChangeFolder) -> bool:
    return progress_of(change.reports()).touched
