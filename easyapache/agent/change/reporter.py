"""Sends journal lines, log and results of repairs from the spool to the panel, when they are
written and again on request.

A message handed to the broker counts as delivered. If the broker loses it, the panel reports the
last one it has (``host.sync``), and everything later is sent again. A message that cannot be sent
stays on disk.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from easyapache.agent.change.engines import Engines
from easyapache.agent.change.folder import ChangeFolder, now
from easyapache.agent.change.progress import progress_of
from easyapache.agent.change.spool import Spool
from easyapache.agent.repair.folder import RepairFolder
from easyapache.ea4.protocol import Report

log = logging.getLogger(__name__)

Send = Callable[[str, Mapping[str, Any]], bool]
"""Hands one message to the broker. False when it cannot; it never raises and never waits long."""

FLUSH = 0.1
"""Seconds between two looks at the journals: with the panel's own half second of polling, a
line is on the screen well within one second."""
WATCH = 0.5
IDLE = 2.0
REPORTS_AT_ONCE, LOG_AT_ONCE = 50, 64 * 1024
REPORTS_BYTES = 500_000
"""A message of more than two megabytes would be dropped."""
CHUNKS_PER_LOOK = 16
"""A chatty change sends at most a megabyte per look, so that it cannot starve another one."""
PRUNE = 600.0


def _fitting(reports: Sequence[Report]) -> Sequence[Report]:
    """As many of the first as fit into one message, and one in any case."""
    size = 0
    for count, report in enumerate(reports):
        size += len(json.dumps(report.as_json()))
        if count and size > REPORTS_BYTES:
            return reports[:count]
    return reports


class Reporter:
    """One thread that follows every change and repair with something to report, and watches the
    engines."""

    def __init__(self, server: str, spool: Spool, engines: Engines, send: Send) -> None:
        self.server, self.spool, self.engines, self.send = server, spool, engines, send
        self._following: dict[str, ChangeFolder] = {}
        self._position: dict[str, tuple[int, int]] = {}
        self._repairs: dict[str, RepairFolder] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._next_watch = self._next_prune = 0.0

    def begin(self) -> None:
        """Take up every change and repair that is unfinished or not reported to its end. A change
        that has altered the server is continued first, before this returns."""
        half = [one for one in self.spool.unfinished() if progress_of(one.reports()).touched]
        for folder in half:
            self.follow(folder)
            self.engines.ensure(folder)
        for folder in self.spool.folders():
            outcome = folder.outcome
            if outcome is None or folder.delivered()[0] < outcome.seq:
                self.follow(folder)
        for repair in self.spool.repairs():
            if not repair.reported:
                self.follow_repair(repair)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._wake.set()
        self._thread.join(timeout=10)

    def follow(self, folder: ChangeFolder) -> None:
        with self._lock:
            self._following.setdefault(folder.change, folder)
            self._position.setdefault(folder.change, folder.delivered())
        self._wake.set()

    def follow_repair(self, folder: RepairFolder) -> None:
        """Wait for the result of a repair and report it; again, where it was reported before."""
        with self._lock:
            self._repairs[folder.request] = folder
        self._wake.set()

    def rewind(self, folder: ChangeFolder, report: int, byte: int) -> None:
        """Report everything after ``report`` and ``byte`` again."""
        with self._lock:
            self._following.setdefault(folder.change, folder)
            self._position[folder.change] = (max(0, report), max(0, byte))
        self._wake.set()

    @property
    def active(self) -> list[str]:
        with self._lock:
            return sorted(self._following)

    # -- the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over.is_set():
            with self._lock:
                folders = list(self._following.values())
                repairs = list(self._repairs.values())
            # First: a broker that is away may make every message wait.
            watch = partial(self._watch, folders)
            _guarded("engines", watch)
            sent = _guarded("repairs", partial(self._see_through, repairs))
            for folder in folders:
                sent = _guarded(f"change {folder.change}", partial(self._send, folder)) and sent
                _guarded("engines", watch)
            # Without a broker there is no hurry; on disk everything is safe.
            self._wake.wait((FLUSH if folders or repairs else IDLE) if sent else IDLE)
            self._wake.clear()

    def _watch(self, folders: list[ChangeFolder]) -> bool:
        moment = time.monotonic()
        if moment < self._next_watch:
            return True
        self._next_watch = moment + WATCH
        for folder in folders:
            if folder.outcome is None:
                self.engines.ensure(folder)
        if moment >= self._next_prune:
            self._next_prune = moment + PRUNE
            self.spool.prune(now())
        return True

    def _see_through(self, repairs: Sequence[RepairFolder]) -> bool:
        """Send results in the order of their requests. Returns False when the broker doesn't accept
        one."""
        for folder in repairs:
            result = folder.result
            if result is None:
                self.engines.ensure(folder)
                return True
            number = {"server": self.server, "request": folder.request, "action": folder.action}
            if not self.send("control.repaired", {**number, **result}):
                return False
            folder.set_reported()
            with self._lock:
                del self._repairs[folder.request]
        return True

    def _send(self, folder: ChangeFolder) -> bool:
        """Send what is new. Returns False when the broker doesn't accept it."""
        with self._lock:
            start = self._position[folder.change]
        reports = folder.reports()
        # The journal is read first and the log sent first: when the outcome arrives, the
        # panel has the whole log.
        seq, byte = start
        if folder.log_size > byte:
            folder.keep_log()
        for _ in range(CHUNKS_PER_LOOK):
            chunk = folder.log_from(byte, LOG_AT_ONCE)
            if not chunk:
                break
            message = {
                "server": self.server,
                "change": folder.change,
                "offset": byte,
                "text": base64.b64encode(chunk).decode("ascii"),
            }
            if not self.send("control.log", message):
                return self._advance(folder, start, (seq, byte), sent=False)
            byte += len(chunk)
        else:
            return self._advance(folder, start, (seq, byte), sent=True)
        while seq < len(reports):
            batch = _fitting(reports[seq : seq + REPORTS_AT_ONCE])
            message = {
                "server": self.server,
                "change": folder.change,
                "reports": [report.as_json() for report in batch],
            }
            if not self.send("control.reports", message):
                return self._advance(folder, start, (seq, byte), sent=False)
            seq += len(batch)
        self._advance(folder, start, (seq, byte), sent=True)
        if reports and reports[-1].kind == "outcome" and seq == len(reports):
            with self._lock:
                if self._position[folder.change] == (seq, byte):
                    del self._following[folder.change]
        return True

    def _advance(
        self, folder: ChangeFolder, start: tuple[int, int], end: tuple[int, int], *, sent: bool
    ) -> bool:
        if end != start:
            with self._lock:
                if self._position[folder.change] == start:  # nobody rewound it meanwhile
                    self._position[folder.change] = end
            folder.set_delivered(*end)
        return sent


def _guarded(what: str, work: Callable[[], bool]) -> bool:
    """Whether it worked: the reporter's thread is the only voice of every change, and no single
    one of them may end it."""
    try:
        return work()
    except Exception:
        log.exception("cannot follow %s", what)
        return False
