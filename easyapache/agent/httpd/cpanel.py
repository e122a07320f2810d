"""cPanel's own actions on httpd: chkservd's checks, and restarts waiting in its task queue.

Without cPanel, nothing here has an effect.

* chkservd checks services every five minutes and restarts an httpd that is down. While
  ``/var/run/chkservd.suspend`` exists, it checks nothing; cPanel's own upgrade of the operating
  system uses it (cpanel/elevate, lib/Elevate/Components/cPanelPrep.pm). The file is shared and has
  no owner: the agent marks its own, and removes only that.
* A new account, a certificate or a setting makes cPanel restart httpd a little later. The task is
  queued in ``/var/cpanel/taskqueue/servers_queue.json`` or ``servers_sched.json``, the third member
  of which has the queues (Cpanel::TaskQueue::Reader). A graceful restart in the middle of a change
  ends an httpd if the MPM on disk has changed.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from easyapache.agent.server import Log, Stop, Stopped, never

RESTARTING = frozenset(
    {
        "apache_restart",
        "build_apache_conf",
        "update_users_vhosts",
        "update_or_create_users_vhosts",
    }
)
"""The tasks that rewrite httpd's configuration or restart it (Cpanel::TaskProcessors::
ApacheTasks)."""
WAIT_LIMIT = 60.0
"""Seconds that a change waits for them. Then it continues: httpd is watched, and started again if
such a restart ends it."""
_PAUSE = 0.5
_LARGEST = 4 << 20
"""Bytes of a queue that are read; a longer one is not looked at."""
_DEEPEST = 8
_OURS = re.compile(rb"suspended by ea4-mpm at ([0-9]{1,12})\n")


class Cpanel:
    """cPanel of the server whose ``/`` is ``root``."""

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.root, self.clock = root, clock
        # /var/run leads to /run on every system that cPanel supports.
        self.suspend = root / "run/chkservd.suspend"
        self.queues = tuple(
            root / "var/cpanel/taskqueue" / name
            for name in ("servers_queue.json", "servers_sched.json")
        )

    @property
    def is_here(self) -> bool:
        return (self.root / "usr/local/cpanel").is_dir()

    # -- chkservd --------------------------------------------------------------------------

    @contextmanager
    def unchecked(self, log: Log) -> Iterator[None]:
        """Inside, chkservd checks nothing. A suspension by others is kept."""
        ours = self.is_here and self._suspend(log)
        try:
            yield
        finally:
            if ours:
                self.give_back(log)

    def give_back(self, log: Log) -> bool:
        """Resume chkservd if this agent suspended it, even in a process that was killed. Returns
        whether it did."""
        self._scratch.unlink(missing_ok=True)
        if not self._is_ours():
            return False
        self.suspend.unlink(missing_ok=True)
        log("chkservd checks services again")
        return True

    @property
    def _scratch(self) -> Path:
        return self.suspend.with_name(f".{self.suspend.name}.ea4-mpm")

    def _suspend(self, log: Log) -> bool:
        """Whether chkservd is suspended by us, now or since before."""
        if self._is_ours():
            log("chkservd is still suspended from before an interruption")
            return True
        at = int(time.time())
        try:
            self._scratch.unlink(missing_ok=True)
            self._scratch.write_bytes(b"suspended by ea4-mpm at %d\n" % at)
            os.utime(self._scratch, (at, at))
            # Complete or not at all, and never replacing another's file.
            os.link(self._scratch, self.suspend)
        except FileExistsError:
            log("chkservd is suspended by something else already")
            return False
        except OSError as error:
            log(f"chkservd cannot be suspended: {self.suspend}: {error.strerror}")
            return False
        finally:
            self._scratch.unlink(missing_ok=True)
        log("chkservd is suspended while httpd restarts")
        return True

    def _is_ours(self) -> bool:
        """Whether it has our mark and was not touched since: touching it means to keep it."""
        try:
            # Not waiting: to open a pipe would, until something writes to it.
            handle = os.open(self.suspend, os.O_RDONLY | os.O_NONBLOCK)
            with os.fdopen(handle, "rb", buffering=0) as file:
                marker = _OURS.fullmatch(file.read(100) or b"")
                touched = os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return False
        return marker is not None and touched == int(marker[1]) * 10**9

    # -- restarts that wait ----------------------------------------------------------------

    def restarts_due(self) -> list[str]:
        """The tasks in cPanel's queues that restart httpd, each name once."""
        if not self.is_here:
            return []
        found = {name for path in self.queues for name in _commands(_read(path))}
        return sorted(found & RESTARTING)

    def wait_for_restarts(
        self,
        log: Log,
        stop: Stop = never,
        *,
        pause: Callable[[float], None] = time.sleep,
        limit: float = WAIT_LIMIT,
    ) -> bool:
        """Until none is due, at most ``limit`` seconds; whether none is. Raises Stopped."""
        due = self.restarts_due()
        if not due:
            return True
        log(f"cPanel is about to restart httpd ({', '.join(due)}): waiting, at most {limit:.0f} s")
        end = self.clock() + limit
        while due and self.clock() < end:
            if stop():
                raise Stopped
            pause(_PAUSE)
            due = self.restarts_due()
        if due:
            log(f"cPanel has not restarted httpd within {limit:.0f} s ({', '.join(due)}): going on")
        else:
            log("cPanel has restarted httpd")
        return not due


def _read(path: Path) -> Any:
    """What a queue holds; nothing where it cannot be read. cPanel writes it in place, so a look may
    see half of it: the next one sees the rest."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        return json.loads(raw) if len(raw) <= _LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None


def _commands(value: Any, depth: int = 0) -> Iterator[str]:
    """The names of all tasks in a queue: waiting, deferred, processed, or in the schedule."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        name = value.get("_command")
        if isinstance(name, str):
            yield name
        for inside in value.values():
            yield from _commands(inside, depth + 1)
    elif isinstance(value, list):
        for inside in value:
            yield from _commands(inside, depth + 1)
