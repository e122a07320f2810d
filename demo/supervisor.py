"""Starts processes, starts them again when they end, and leaves none behind.

The supervisor makes itself the *subreaper* of everything it starts: a detached process (a running
engine, the lab's httpd, a gpg-agent) becomes its child instead of init's when its own parent ends.
So /proc lists every process started here, and at the end each is stopped by its process id, never
by its name.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from demo.account import Account, started_as
from easyapache.agent.httpd.processes import Identity, all_pids, command_of, identify, parent_of

Report = Callable[[str], None]

_PR_SET_CHILD_SUBREAPER = 36
_STEADY_SECONDS = 60.0
"""A process that ran this long has recovered; its next end is a first one again."""
_LONGEST_PAUSE = 30.0
_BIGGEST_LOG = 5_000_000


class NotReady(Exception):
    """A part did not start; the message ends with its last output."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process to keep running.

    ``ready`` is called with the output of this start until it returns True. ``patience``: seconds
    it may take to end after TERM. ``umask``: its umask, -1 for the current one.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    account: Account | None = None
    sockets: tuple[int, ...] = ()
    ready: Callable[[str], bool] = lambda _: True
    patience: float = 8.0
    umask: int = -1


class _Running:
    def __init__(self, part: Part, log: Path) -> None:
        self.part = part
        self.log = log
        self.ended = 0
        self.resume_at = 0.0
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> int:
        """Start it; returns the process id."""
        if self.log.exists() and self.log.stat().st_size > _BIGGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        handle: IO[bytes]
        with self.log.open("ab") as handle:
            self.offset = handle.tell()
            self.process = subprocess.Popen(
                [*started_as(self.part.account), *self.part.argv],
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                env=dict(self.part.environment),
                cwd="/",
                start_new_session=True,
                pass_fds=self.part.sockets,
                umask=self.part.umask,
            )
        self.started_at = time.monotonic()
        return self.process.pid

    def written(self) -> str:
        with self.log.open("rb") as handle:
            handle.seek(self.offset)
            return handle.read().decode(errors="replace")

    def tail(self, lines: int = 12) -> str:
        return "\n".join(f"    {line}" for line in self.written().splitlines()[-lines:])


class Supervisor:
    """``logs``: a folder for one log per part. ``report``: takes one line for the user."""

    def __init__(self, logs: Path, report: Report) -> None:
        self._logs = logs
        self._report = report
        self._running: dict[str, _Running] = {}
        become_subreaper()

    def start(self, part: Part) -> None:
        """Start one part; ``wait`` for it afterwards."""
        self._running[part.name] = _Running(part, self._logs / f"{part.name}.log")

    def wait(self, name: str, limit: float, stopped: threading.Event) -> None:
        """Until the part is ready. Raises NotReady when it ends or takes longer than ``limit``
        seconds; returns early when ``stopped`` is set."""
        running = self._running[name]
        end = time.monotonic() + limit
        while not stopped.is_set():
            assert running.process is not None
            status = running.process.poll()
            if status is not None:
                raise NotReady(f"{name} ended with {status}:\n{running.tail()}")
            if running.part.ready(running.written()):
                return
            if time.monotonic() > end:
                raise NotReady(f"{name} is not ready after {limit:.0f} s:\n{running.tail()}")
            self._reap_adopted()
            stopped.wait(0.05)

    def pids(self) -> dict[str, int]:
        """The process id of each part that runs now."""
        return {
            name: running.process.pid
            for name, running in self._running.items()
            if running.process is not None and running.process.poll() is None
        }

    def watch(self, stopped: threading.Event, changed: Callable[[], None]) -> None:
        """Until ``stopped`` is set: start again what ends, after 1, 2, 4 … 30 seconds.
        ``changed`` is called when a process id is another one than before."""
        while not stopped.wait(0.2):
            self._reap_adopted()
            started = [self._look_after(running) for running in self._running.values()]
            if any(started):
                changed()

    def _look_after(self, running: _Running) -> bool:
        """True when this part has just been started again."""
        name = running.part.name
        if running.process is None:
            if time.monotonic() < running.resume_at:
                return False
            self._report(f"{name}: started again (process {running.start()})")
            return True
        status = running.process.poll()
        if status is None:
            return False
        steady = time.monotonic() - running.started_at > _STEADY_SECONDS
        running.ended = 1 if steady else running.ended + 1
        pause = min(_LONGEST_PAUSE, 2.0 ** (running.ended - 1))
        self._report(
            f"{name}: ended with {_status_text(status)}; starting it again in {pause:.0f} s"
        )
        last = running.tail(3)
        if last:
            self._report(f"the end of {running.log}:\n{last}")
        # Its children (gunicorn's workers) share its session, and must not outlive it.
        _signal_group(running.process.pid, signal.SIGKILL)
        running.process = None
        running.resume_at = time.monotonic() + pause
        return False

    def stop(self, *names: str) -> None:
        """Send these parts TERM (all of them, last started first, if none is named); kill those
        that have not ended in time."""
        chosen = [self._running.pop(name) for name in names or reversed(list(self._running))]
        alive = [(running, running.process) for running in chosen if running.process]
        for _, process in alive:
            if process.poll() is None:
                process.terminate()
        for running, process in alive:
            try:
                process.wait(timeout=running.part.patience)
            except subprocess.TimeoutExpired:
                self._report(f"{running.part.name}: did not stop, killing it")
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()

    def sweep(self, patience: float = 5.0) -> None:
        """Stop every remaining process started here: TERM, then KILL."""
        for sig, limit in ((signal.SIGTERM, patience), (signal.SIGKILL, patience)):
            left = descendants(os.getpid())
            for identity in left:
                _signal(identity, sig)
            end = time.monotonic() + limit
            while left and time.monotonic() < end:
                self._reap_adopted()
                time.sleep(0.02)
                left = descendants(os.getpid())
            if not left:
                return

    def _reap_adopted(self) -> None:
        """Bury the detached processes that became our children and have ended. Our own are
        only looked at (WNOWAIT) and left to ``subprocess``."""
        own = {running.process.pid for running in self._running.values() if running.process}
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return  # there is no child at all
            if ended is None or ended.si_pid in own:
                return
            os.waitpid(ended.si_pid, 0)


def become_subreaper() -> None:
    """See prctl(2), PR_SET_CHILD_SUBREAPER. Linux 3.4 and later."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants(ancestor: int) -> list[Identity]:
    """Every living process below ``ancestor``, the youngest generation first."""
    children: dict[int, list[int]] = {}
    for pid in all_pids():
        children.setdefault(parent_of(pid), []).append(pid)
    found, generation = [], [ancestor]
    while generation:
        generation = [child for pid in generation for child in children.get(pid, ())]
        found += generation
    return [identity for pid in reversed(found) if (identity := identify(pid))]


def engines_at_work(parent: int) -> list[Identity]:
    """The engines (processes that carry out one change) among the descendants."""
    return [
        identity
        for identity in descendants(parent)
        if "easyapache.agent.change.engine" in command_of(identity.pid)
    ]


def _signal(identity: Identity, sig: signal.Signals) -> None:
    if identity.alive:
        try:
            os.kill(identity.pid, sig)
        except ProcessLookupError:
            return  # it ended between the look and the signal


def _signal_group(leader: int, sig: signal.Signals) -> None:
    try:
        os.killpg(leader, sig)
    except ProcessLookupError:
        return  # nothing of it is left


def _status_text(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
