"""The window in which a stray reload kills httpd is watched.

From the moment the package transaction begins until the new httpd serves, the MPM on disk is
not the one that runs. A graceful reload by anything else (log rotation, AutoSSL, a new
account) then ends httpd: "The MPM cannot be changed during restart".
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from easyapache.agent.change.outage_window import Window
from easyapache.agent.httpd.httpd import SWITCHED_OFF, Httpd
from easyapache.agent.httpd.processes import Identity
from easyapache.agent.server import HostError, Interruption, Log

_PAUSE = 0.02
"""Seconds between two looks at httpd; a look costs about 20 microseconds."""
_AGAIN, _LATEST = 0.1, 0.5
"""Seconds until a failed start is retried: dnf is running and needs the machine. Doubled after each
failure, up to the second value."""


class Watch(AbstractContextManager["Watch"]):
    """Inside, an httpd that dies is started again at once, except while ``paused``, and the visitor
    impact is measured until it is read (``noticed``).

    A new httpd can only be started when the configuration on disk passes; in the middle of a
    transaction it may not, and then the start is retried. An httpd that is already down when the
    watch starts (it died together with an earlier engine) counts as having died. An httpd that an
    administrator has disabled stays down: the watch ends then.
    """

    def __init__(self, httpd: Httpd, window: Window, log: Log) -> None:
        self.window = window
        self._httpd, self._log = httpd, log
        self._over = threading.Event()
        self._busy = threading.Lock()
        self._measuring = ExitStack()

    def __enter__(self) -> Watch:
        self.window.open()
        self._parent = self._httpd.parent()
        self._thread = threading.Thread(target=self._look, name="httpd-watch", daemon=True)
        self._thread.start()
        # A prober takes a while to begin, and to end: httpd is watched meanwhile.
        self._measuring.enter_context(self.window.measuring())
        return self

    def __exit__(self, *error: object) -> None:
        self._measuring.close()
        self._over.set()
        self._thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Held during our own restart, in which an httpd is supposed to end."""
        with self._busy:
            try:
                yield
            finally:
                self._parent = self._httpd.parent()

    def noticed(self) -> Interruption:
        """End the measurement, not the watch, and return the visitor impact of this window."""
        self._measuring.close()
        return self.window.noticed()

    def _look(self) -> None:
        failed = ""
        pause, again = _PAUSE, _AGAIN
        while not self._over.wait(pause):
            with self._busy:
                pause = _PAUSE
                if self._parent is not None and self._parent.alive:
                    continue
                try:
                    self._parent = self._replaced() or self._started()
                    again = _AGAIN
                except (HostError, OSError) as error:
                    if isinstance(error, HostError) and error.code == SWITCHED_OFF:
                        self._log(f"httpd ended and is not started again. {error.message}")
                        return
                    reason = error.output if isinstance(error, HostError) else str(error)
                    if reason != failed:
                        self._log(f"httpd ended and cannot be started yet: {reason[:400]}")
                        failed = reason
                    pause, again = again, min(_LATEST, again * 2)

    def _replaced(self) -> Identity | None:
        """Something else may have replaced it in good order, as a hook does."""
        return self._httpd.parent()

    def _started(self) -> Identity:
        started = self._httpd.start(self._log)
        self._log(f"httpd had ended before its restart; started again as {started.pid}")
        self._httpd.entrust(started, self._log)
        return started
