"""The window in which a stray reload kills httpd: measured, and watched.

From the moment the package transaction begins until the new httpd serves, the MPM on disk is
not the one that runs. A graceful reload by anything else (log rotation, AutoSSL, a new
account) then ends httpd: "The MPM cannot be changed during restart".
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from easyapache.host import prober
from easyapache.host.httpd import Httpd
from easyapache.host.processes import boot_id
from easyapache.host.runner import Runner
from easyapache.host.server import HostError, Interruption, Log

_PAUSE = 0.02
"""Seconds between two looks at httpd; a look costs about 20 microseconds."""
_AGAIN = 0.1
"""Seconds until a start that failed is tried again: dnf is at work and needs the machine."""


class Prober:
    """The measuring process, as long as the ``with`` block of ``measure`` lasts."""

    def __init__(
        self, runner: Runner, httpd: Httpd, folder: Path, interval_ms: float = 5.0
    ) -> None:
        self._runner, self._httpd, self._interval = runner, httpd, interval_ms
        self._output = folder / "probe.json"

    @contextmanager
    def measure(self) -> Iterator[None]:
        targets = self.targets()
        self._output.unlink(missing_ok=True)
        if not targets:
            yield
            return
        self._output.parent.mkdir(parents=True, exist_ok=True)
        settings = {
            "targets": targets,
            "interval_ms": self._interval,
            "output": str(self._output),
            "parent": os.getpid(),
        }
        script = str(Path(prober.__file__).resolve())
        argv = [sys.executable, "-I", script, json.dumps(settings)]
        errors = self._output.with_suffix(".err")
        with self._runner.background(argv, stderr=errors):
            end = time.monotonic() + 3.0
            while not self._output.exists() and time.monotonic() < end:
                time.sleep(0.005)
            yield

    def targets(self) -> list[tuple[str, int, bool]]:
        """(address, port, TLS) of every listener of the configuration that is listened on."""
        conf = self._httpd.read()
        tls = conf.tls_ports()
        return [(host or "127.0.0.1", port, port in tls) for host, port in conf.listeners()]

    def result(self, method: str, reason: str, window_ms: float) -> Interruption:
        """What was seen so far, or up to the end of the block when that is over."""
        try:
            seen = json.loads(self._output.read_text())
        except (FileNotFoundError, ValueError):
            return Interruption(method, f"{reason} (not measured: the prober did not run)")
        return Interruption(
            method=method,
            reason=reason,
            probes=seen["probes"],
            refused=seen["refused"],
            reset=seen["reset"],
            longest_wait_ms=seen["longest_wait_ms"],
            window_ms=round(window_ms, 1),
            strip=tuple((at, wait, what) for at, wait, what in seen["strip"]),
        )


class Window:
    """When the window opened; it survives this process, so that a change resumed after a
    crash still knows how long it was open."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "window.json"

    def open(self) -> None:
        """Only the first call counts until the window is closed."""
        if self._opened() is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps({"boot": boot_id(), "at": _clock()}))

    def _opened(self) -> float | None:
        try:
            data = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return float(data["at"]) if data["boot"] == boot_id() else None

    def close(self) -> float:
        """Milliseconds it was open; 0 when it never was."""
        opened = self._opened()
        self._path.unlink(missing_ok=True)
        return 0.0 if opened is None else (_clock() - opened) * 1000


class Watch(AbstractContextManager[None]):
    """While inside, an httpd that dies is started again at once, except while ``paused``.

    A new httpd can only be started when the configuration on disk passes; in the middle of a
    transaction it may not, and then it is tried again and again. One that is already down when
    the watch begins (it died along with the engine that watched before) counts as having died.
    """

    def __init__(self, httpd: Httpd, window: Window, measuring: Prober, log: Log) -> None:
        self._httpd, self._window, self._prober, self._log = httpd, window, measuring, log
        self._over = threading.Event()
        self._busy = threading.Lock()
        self._stack = ExitStack()
        self.revived = 0

    def __enter__(self) -> None:
        self._window.open()
        self._known = self._httpd.parent()
        self._stack.enter_context(self._prober.measure())
        self._thread = threading.Thread(target=self._look, name="httpd-watch", daemon=True)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._stack.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Held during our own restart, in which an httpd is supposed to end."""
        with self._busy:
            yield
            self._known = self._httpd.parent()

    def finish_measuring(self) -> None:
        self._stack.close()

    def _look(self) -> None:
        failed = ""
        pause = _PAUSE
        while not self._over.wait(pause):
            with self._busy:
                pause = _PAUSE
                if self._known is not None and self._known.alive:
                    continue
                # Something else may have replaced it in good order, as a hook does.
                replaced = self._httpd.parent()
                if replaced is not None:
                    self._known = replaced
                    continue
                try:
                    self._known = self._httpd.start(self._log)
                except HostError as error:
                    if error.output != failed:
                        self._log(f"httpd ended and cannot be started yet: {error.output[:400]}")
                        failed = error.output
                    pause = _AGAIN
                    continue
                self.revived += 1
                self._log(f"httpd had ended before its restart; started again as {self._known.pid}")


def _clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def merged(first: Interruption, second: Interruption) -> Interruption:
    """Two measurements one after the other, told as one."""
    offset = first.strip[-1][0] if first.strip else 0
    strip = [*first.strip, *((at + offset, wait, what) for at, wait, what in second.strip)]
    return replace(
        second,
        probes=first.probes + second.probes,
        refused=first.refused + second.refused,
        reset=first.reset + second.reset,
        longest_wait_ms=max(first.longest_wait_ms, second.longest_wait_ms),
        window_ms=first.window_ms + second.window_ms,
        strip=tuple(prober.strip(strip)),
    )
