"""Starts the engine of a change, detached, and starts it again when it died.

An engine is alive as long as it holds its lock; the kernel lets go of that lock whichever
way it ends. So a free lock and a journal without an outcome mean: start one.
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

import easyapache
from easyapache.host.config import HostConfig
from easyapache.host.drivers import CONFIG_VARIABLE
from easyapache.host.folder import ChangeFolder
from easyapache.host.runner import Detached, Runner
from easyapache.host.server import HostError

log = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
"""Seconds between the death of an engine and the next start; doubled while it gets nowhere.
The engine itself counts how often it died in one step, and turns round."""


@dataclass
class _Watched:
    started: int = 0
    pause: float = FIRST_PAUSE
    not_before: float = 0.0
    last_seq: int = -1
    process: Detached | None = None


class Engines:
    """All engines of one spool."""

    def __init__(self, config: HostConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.config, self.clock = config, clock
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()
        project = str(Path(easyapache.__file__).resolve().parent.parent)
        environment = {"PYTHONPATH": project}
        for name in (CONFIG_VARIABLE, "PATH", "HOME"):
            if os.environ.get(name):
                environment[name] = os.environ[name]
        self._runner = Runner(environment)

    def ensure(self, folder: ChangeFolder) -> bool:
        """See to it that an engine works on an unfinished change. Returns whether one was
        started now. Cheap enough to be called several times a second."""
        with self._lock:
            return self._ensure(folder)

    def _ensure(self, folder: ChangeFolder) -> bool:
        watched = self._watched.setdefault(folder.change, _Watched())
        if watched.process is not None and watched.process.running:
            return False
        if self.clock() < watched.not_before or folder.engine_at_work:
            return False
        reports = folder.reports()
        if reports and reports[-1].kind == "outcome":
            self._watched.pop(folder.change, None)
            return False
        if len(reports) != watched.last_seq:
            watched.pause = FIRST_PAUSE
        watched.last_seq = len(reports)
        watched.not_before = self.clock() + watched.pause
        watched.pause = min(LONGEST_PAUSE, watched.pause * 2)
        return self._start(folder, watched)

    def _start(self, folder: ChangeFolder, watched: _Watched) -> bool:
        where = folder.path / "engines"
        while Detached(where, f"engine-{watched.started + 1}").started:
            watched.started += 1
        watched.started += 1
        name = f"engine-{watched.started}"
        argv = [sys.executable, "-m", "easyapache.host.engine", str(folder.path)]
        unit = f"ea4-mpm-{folder.change}-{watched.started}"
        try:
            self._runner.start_detached(argv, where, name, unit)
        except HostError as error:
            log.error("the engine of %s did not start: %s %s", folder.change, error, error.output)
            return False
        watched.process = Detached(where, name)
        if watched.started > 1:
            log.warning("the engine of %s had died; number %d", folder.change, watched.started)
        return True
