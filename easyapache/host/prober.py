"""What a visitor would notice: a connection and a request every few milliseconds.

A script of its own (``python -I prober.py SETTINGS``), because a process busy with a
transaction would measure its own pauses. It connects only to the listeners it is told, asks
``OPTIONS *``, which httpd answers itself without touching any site, and writes what it saw to
a file several times a second, so that nothing measured is lost when somebody is killed. It
ends when it is told to (TERM), and then says so (``to_the_end``), or when its parent is gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

STRIP = 600
"""Entries a strip may have."""
SLOW_MS = 1000.0
"""From here on an answer is called slow."""
LIMIT = 20.0
"""Seconds after which a request that has no answer is given up; it counts as slow."""
_REQUEST = (
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nUser-Agent: easyapache-mpm-prober\r\n"
    b"Connection: close\r\n\r\n"
)


@dataclass
class Tally:
    """All that was seen: (milliseconds after the beginning, wait in milliseconds, result).
    ``waiting``: when the requests still open were sent, in the same milliseconds."""

    seen: list[tuple[int, float, str]] = field(default_factory=list)
    waiting: dict[int, float] = field(default_factory=dict)

    def count(self, result: str) -> int:
        return sum(1 for _, _, what in self.seen if what == result)

    def longest(self, now: float) -> float:
        waits = [wait for _, wait, what in self.seen if what in ("ok", "slow")]
        waits += [now - begun for begun in self.waiting.values()]
        return round(max(waits, default=0.0), 2)

    def summary(self, now: float) -> dict[str, object]:
        return {
            "probes": len(self.seen),
            "refused": self.count("refused"),
            "reset": self.count("reset"),
            "longest_wait_ms": self.longest(now),
            "strip": strip(self.seen),
        }


def strip(
    seen: Sequence[tuple[int, float, str]], limit: int = STRIP
) -> list[tuple[int, float, str]]:
    """At most ``limit`` entries in order of time: of each stretch the worst one (a failure
    before the longest wait), so that nothing bad can fall between two entries."""
    ordered = sorted(seen, key=lambda item: item[0])  # what came first stays first
    if len(ordered) <= limit:
        return ordered
    weight = {"refused": 3, "reset": 2, "slow": 1, "ok": 0}
    chosen = []
    for place in range(limit):
        part = ordered[place * len(ordered) // limit : (place + 1) * len(ordered) // limit]
        chosen.append(max(part, key=lambda item: (weight[item[2]], item[1])))
    return chosen


@dataclass
class Probe:
    targets: list[tuple[str, int, bool]]
    interval_ms: float
    output: Path
    parent: int
    tally: Tally = field(default_factory=Tally)
    stop: bool = False

    def __post_init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._begun = time.monotonic()

    def _now(self) -> float:
        return (time.monotonic() - self._begun) * 1000

    async def one(self, number: int) -> None:
        host, port, tls = self.targets[number % len(self.targets)]
        begun = self._now()
        self.tally.waiting[number] = begun
        try:
            async with asyncio.timeout(LIMIT):
                result = await self._ask(host, port, tls)
        except TimeoutError:
            result = "slow"
        wait = self._now() - begun
        if result == "ok" and wait >= SLOW_MS:
            result = "slow"
        del self.tally.waiting[number]
        self.tally.seen.append((int(begun), round(wait, 2), result))

    async def _ask(self, host: str, port: int, tls: bool) -> str:
        writer = None
        try:
            context = self._context if tls else None
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.write(_REQUEST)
            first = await reader.read(4096)
            return "ok" if first.startswith(b"HTTP/") else "reset"
        except ConnectionRefusedError:
            return "refused"
        except (OSError, ssl.SSLError):
            return "reset"
        finally:
            if writer is not None:
                writer.close()

    def write(self) -> None:
        seen = {**self.tally.summary(self._now()), "to_the_end": self.stop}
        scratch = self.output.with_suffix(".new")
        with suppress(OSError):  # a full disk: what is written next time has it all
            scratch.write_text(json.dumps(seen))
            scratch.rename(self.output)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        tasks: set[asyncio.Task[None]] = set()
        number, written = 0, 0.0
        self.write()
        while not self.stop and os.getppid() == self.parent:
            task = asyncio.create_task(self.one(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            if self._now() - written > 200:
                self.write()
                written = self._now()
            # By the clock and not by sleeping the interval: a late tick must not slow the rate.
            ahead = number * self.interval_ms - self._now()
            await asyncio.sleep(max(0.0, ahead / 1000))
        if tasks:
            # What was asked before the end is waited for, within reason.
            await asyncio.wait(tasks, timeout=2.0)
        self.write()

    def _end(self) -> None:
        self.stop = True


def main(settings: str) -> int:
    data = json.loads(settings)
    targets = [(host, int(port), bool(tls)) for host, port, tls in data["targets"]]
    probe = Probe(targets, float(data["interval_ms"]), Path(data["output"]), int(data["parent"]))
    asyncio.run(probe.run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
