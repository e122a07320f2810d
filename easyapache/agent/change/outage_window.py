"""The visitor impact from the first changed package until the new httpd serves.

That time is a *window*. A separate process probes httpd during all of it. Its results are kept in
the folder of the window, which belongs to one change and so outlives its engines:

* ``opened.json``: when the window opened;
* ``probe-N.json``: what the N-th prober measured: one for each engine that ran in the window;
* ``method.json``: how httpd is being replaced, written just before.

None of it may block a change: if it cannot be written, nothing is measured.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from easyapache.agent.change.durable import write_plainly
from easyapache.agent.httpd import prober
from easyapache.agent.httpd.httpd import Httpd
from easyapache.agent.httpd.listeners import ways_in
from easyapache.agent.httpd.processes import boot_id
from easyapache.agent.runner import Runner
from easyapache.agent.server import HostError, Interruption
from easyapache.ea4.schema import BadMessage, Count, Schema, Translatable, loads
from easyapache.ea4.sentences import Sentence

T = TypeVar("T")

_FIRST_LOOK = 3.0
"""Seconds until the first probe; normally 0.1."""


@dataclass(frozen=True, slots=True)
class Opened(Schema):
    """When a window opened: ``at`` since the ``boot`` with that id, ``wall`` since 1970."""

    boot: str
    at: float
    wall: float


@dataclass(frozen=True, slots=True)
class Manner(Translatable):
    SENTENCES: ClassVar = ("reason",)
    method: str
    reason: str


@dataclass(frozen=True, slots=True)
class Probed(Schema):
    """What one prober saw. ``to_the_end``: it was not cut off."""

    probes: Count
    refused: Count
    reset: Count
    longest_wait_ms: float
    strip: tuple[tuple[int, float, str], ...]
    to_the_end: bool = False


class Window:
    def __init__(
        self, folder: Path, runner: Runner, httpd: Httpd, interval_ms: float = 5.0
    ) -> None:
        self._folder = folder
        self._runner, self._httpd, self._interval = runner, httpd, interval_ms

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def open(self) -> None:
        """From here on it counts; only the first call does."""
        if self._read(Opened, "opened.json") is None:
            self._write("opened.json", Opened(boot_id(), _clock(), time.time()))

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Inside, a prober sends a probe every few milliseconds."""
        with ExitStack() as stack:
            with suppress(OSError, HostError):
                stack.enter_context(self._prober())
            yield

    @contextmanager
    def _prober(self) -> Iterator[None]:
        targets = self._targets()
        if not targets:
            yield
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        output = self._folder / f"probe-{self._probers() + 1}.json"
        settings = {
            "targets": targets,
            "interval_ms": self._interval,
            "output": str(output),
            "parent": os.getpid(),
        }
        script = str(Path(prober.__file__).resolve())
        argv = [sys.executable, "-I", script, json.dumps(settings)]
        with self._runner.background(argv, stderr=output.with_suffix(".err")):
            end = time.monotonic() + _FIRST_LOOK
            while not output.exists() and time.monotonic() < end:
                time.sleep(0.005)
            yield

    def _targets(self) -> list[tuple[str, int, bool]]:
        """(address, port, TLS) of every listener of the configuration."""
        return ways_in(self._httpd.read(), self._httpd.listeners())

    def note(self, method: str, reason: str) -> None:
        """How httpd is about to be replaced, for the report."""
        self._write("method.json", Manner(method, reason))

    def noticed(self) -> Interruption:
        """The visitor impact since the window opened, from all probers.

        ``partial`` if a prober was interrupted: nothing was measured until the next one started.
        """
        how = self._read(Manner, "method.json") or Manner(
            "start", Sentence("Apache had stopped and was started again")
        )
        reason = how.reason
        read = (self._read(Probed, name) for name in self._names())
        parts = [part for part in read if part is not None]
        if not parts:
            reason = Sentence("{reason} (not measured: the prober did not run)", reason=reason)
        return Interruption(
            method=how.method,
            reason=reason,
            probes=sum(part.probes for part in parts),
            refused=sum(part.refused for part in parts),
            reset=sum(part.reset for part in parts),
            longest_wait_ms=max((part.longest_wait_ms for part in parts), default=0.0),
            window_ms=round(self._milliseconds(), 1),
            partial=bool(parts) and not (self._probers() == 1 and parts[0].to_the_end),
            strip=tuple(_one_strip(parts)),
        )

    def _names(self) -> list[str]:
        return [f"probe-{number}.json" for number in range(1, self._probers() + 1)]

    def _probers(self) -> int:
        """How many there have been; each is given its file for errors before it begins."""
        return len(list(self._folder.glob("probe-*.err")))

    def _milliseconds(self) -> float:
        opened = self._read(Opened, "opened.json")
        if opened is None:
            return 0.0
        # Only the wall clock continues across a reboot.
        same = opened.boot == boot_id()
        now, then = (_clock(), opened.at) if same else (time.time(), opened.wall)
        return max(0.0, now - then) * 1000

    def _read(self, kind: type[T], name: str) -> T | None:
        try:
            return loads(kind, (self._folder / name).read_bytes())
        except (OSError, BadMessage):
            return None

    def _write(self, name: str, value: Schema) -> None:
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_plainly(self._folder / name, json.dumps(value.as_json()).encode())


def _one_strip(parts: list[Probed]) -> list[tuple[int, float, str]]:
    """Consecutive measurements merged into one."""
    joined: list[tuple[int, float, str]] = []
    for part in parts:
        offset = joined[-1][0] if joined else 0
        joined += [(at + offset, wait, what) for at, wait, what in part.strip]
    return prober.strip(joined)


def _clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
