"""Holds back a shutdown of this machine, by locks of systemd-logind.

Two locks of systemd-inhibit(1). ``block``: who asks for a shutdown with inhibitors checked (always
from systemd 257 on; before, everybody but root) is refused, and reads who holds it and why; ``-i``
overrides it. ``delay``: a shutdown that passes over the first one waits for as long as
InhibitDelayMaxSec of logind.conf(5) says, 5 s by default. What outlasts that is waited for by
systemd itself: see ``easyapache.agent.runner``.

The locks end with this process, however it ends, and after ``LONGEST`` in any case.
"""

from __future__ import annotations

from contextlib import ExitStack

from easyapache.agent.httpd.processes import systemd_is_init
from easyapache.agent.runner import Runner
from easyapache.agent.server import HostError, Log

WHO = "EA4 MPM panel"
LONGEST = 15 * 60
"""Seconds; systemd too waits no longer for the units of a change (TimeoutStopSec)."""
PATIENCE = 5.0
"""Seconds for logind's answer."""
_HELD = "held"
"""What cat repeats, which systemd-inhibit starts as soon as it has the locks."""


class Inhibitor:
    """The locks of one engine: none until they are taken."""

    def __init__(self, runner: Runner, log: Log) -> None:
        self._runner, self._log = runner, log
        self._stack = ExitStack()
        self._asked = False

    def take(self, why: str) -> bool:
        """Take both locks; the first call counts. Returns whether this process holds them: without
        logind the work goes on, and the log says so."""
        if self._asked or not systemd_is_init():
            return False
        self._asked = True
        argv = ["timeout", str(LONGEST), "cat"]
        for mode in ("delay", "block"):
            lock = ("systemd-inhibit", "--what=shutdown", f"--mode={mode}", f"--who={WHO}")
            argv = [*lock, f"--why={why}", *argv]
        try:
            said = self._stack.enter_context(self._runner.companion(argv, _HELD, PATIENCE))
        except HostError as error:
            said = error.message
        if said == _HELD:
            return True
        self.release()
        self._log(f"systemd-logind gives no lock: a shutdown isn't held back by it ({said})")
        return False

    def release(self) -> None:
        self._stack.close()
