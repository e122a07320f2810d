"""Measures the visitor impact: a connection and a request every few milliseconds.

A separate script (``python -I prober.py SETTINGS``), because a process busy with a transaction
would measure its own pauses. It connects only to the listeners in its settings, requests ``OPTIONS
*``, which httpd answers itself without involving any site, and writes its results to a file several
times a second, so that a kill loses nothing. It ends on TERM, and records that (``to_the_end``), or
when its parent has ended.

On plain sockets, because the machine is busy: asyncio's streams would take twice the CPU time.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from select import POLLIN, POLLOUT, poll
from typing import Any, TypeVar

STRIP = 600
"""Entries a strip may have."""
SLOW_MS = 1000.0
"""From here on an answer is called slow."""
LIMIT = 20.0
"""Seconds after which a request that has no answer is given up; it counts as slow."""
MOST = 64
"""The most unanswered requests per listener. The queue of an httpd that does not answer belongs to
visitors, and the waiting requests already measure how long."""
OPEN = 512
"""Connections at the same time, to all listeners: half of what a process usually may have."""
_REQUEST = (
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nUser-Agent: easyapache-mpm-prober\r\n"
    b"Connection: close\r\n\r\n"
)


class Tally:
    """All that was seen: (milliseconds after the beginning, wait in milliseconds, result).
    ``waiting``: when the requests still open were sent, in the same milliseconds."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float, str]] = []
        self.waiting: dict[int, float] = {}

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
    ordered = sorted(seen, key=lambda item: item[0])  # the first one is kept
    if len(ordered) <= limit:
        return ordered
    weight = {"refused": 3, "reset": 2, "slow": 1, "ok": 0}
    chosen = []
    for place in range(limit):
        part = ordered[place * len(ordered) // limit : (place + 1) * len(ordered) // limit]
        chosen.append(max(part, key=lambda item: (weight[item[2]], item[1])))
    return chosen


_OUR_OWN = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
"""Errors of this machine or process, which say nothing about a listener."""

Target = tuple[socket.AddressFamily, Any, bool]
"""How to reach a listener: address family, address, and whether it uses TLS."""

Answer = TypeVar("Answer")
Waiting = Generator[tuple[int, int], None, Answer]
"""Yields what it waits for, a file descriptor and POLLIN or POLLOUT; returns the result."""


def target(host: str, port: int, tls: bool) -> Target:
    """``host``: an address, or a name as ``Listen`` may have one. Raises OSError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except UnicodeError as error:  # a name that cannot be one
        raise OSError(str(error)) from error
    return family, address, tls


def visit(target: Target, context: ssl.SSLContext) -> Waiting[str]:
    """One connection and its request: ``ok``, ``refused`` or ``reset``; empty if the failure was on
    this side."""
    family, address, tls = target
    end = None
    try:
        end = socket.socket(family, socket.SOCK_STREAM)
        end.setblocking(False)
        failed = end.connect_ex(address)
        if failed == errno.EINPROGRESS:
            yield end.fileno(), POLLOUT
            failed = end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, os.strerror(failed))
        if tls:
            end = context.wrap_socket(end, do_handshake_on_connect=False)
            yield from _patiently(end, end.do_handshake)
        end.send(_REQUEST)
        connected = end
        first = yield from _patiently(end, lambda: connected.recv(4096))
        if isinstance(end, ssl.SSLSocket):
            with suppress(OSError):
                end.unwrap()  # sends the close alert without waiting for the answer
        return "ok" if first.startswith(b"HTTP/") else "reset"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return "" if error.errno in _OUR_OWN else "reset"
    finally:
        if end is not None:
            end.close()


def _patiently(end: socket.socket, act: Callable[[], Answer]) -> Waiting[Answer]:
    while True:
        try:
            return act()
        except (BlockingIOError, ssl.SSLWantReadError):
            yield end.fileno(), POLLIN
        except ssl.SSLWantWriteError:
            yield end.fileno(), POLLOUT


class Probe:
    def __init__(
        self, targets: Sequence[Target], interval_ms: float, output: Path, parent: int
    ) -> None:
        self.targets, self.interval_ms = targets, interval_ms
        self.output, self.parent = output, parent
        self.tally = Tally()
        self.stop = False
        self._visits: dict[int, Waiting[str]] = {}
        self._waits: dict[int, int] = {}  # by file descriptor: the number of the visit
        self._places: dict[int, int] = {}  # and the other way round
        self._owed = [0] * len(targets)
        self._most = max(1, min(MOST, OPEN // len(targets)))
        self._poll = poll()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._begun = time.monotonic()

    def _now(self) -> float:
        return (time.monotonic() - self._begun) * 1000

    def _start(self, number: int) -> None:
        which = number % len(self.targets)
        if self._owed[which] >= self._most:
            return
        self._owed[which] += 1
        self.tally.waiting[number] = self._now()
        self._visits[number] = visit(self.targets[which], self._context)
        self._go_on(number)

    def _go_on(self, number: int) -> None:
        """Run the visit until it has to wait."""
        try:
            descriptor, event = next(self._visits[number])
        except StopIteration as ended:
            self._note(number, ended.value)
        else:
            self._waits[descriptor], self._places[number] = number, descriptor
            self._poll.register(descriptor, event)

    def _awaited(self, descriptor: int) -> int:
        """What waits there waits no longer."""
        self._poll.unregister(descriptor)
        number = self._waits.pop(descriptor)
        del self._places[number]
        return number

    def _note(self, number: int, result: str) -> None:
        del self._visits[number]
        self._owed[number % len(self.targets)] -= 1
        begun = self.tally.waiting.pop(number)
        wait = self._now() - begun
        if result == "ok" and wait >= SLOW_MS:
            result = "slow"
        if result:
            self.tally.seen.append((int(begun), round(wait, 2), result))

    def _look(self, milliseconds: float) -> None:
        """Wait for events up to a limit; give up visits that have waited too long."""
        for descriptor, _ in self._poll.poll(max(0.0, milliseconds)):
            self._go_on(self._awaited(descriptor))
        while waiting := self.tally.waiting:
            number, begun = next(iter(waiting.items()))
            if self._now() - begun < LIMIT * 1000:
                break  # those behind it began later
            self._awaited(self._places[number])
            self._visits[number].close()
            self._note(number, "slow")

    def write(self) -> None:
        seen = {**self.tally.summary(self._now()), "to_the_end": self.stop}
        scratch = self.output.with_suffix(".new")
        with suppress(OSError):  # a full disk: the next write has everything
            scratch.write_text(json.dumps(seen))
            scratch.rename(self.output)

    def run(self) -> None:
        number, written = 0, 0.0
        self.write()
        while not self.stop and os.getppid() == self.parent:
            self._start(number)
            number += 1
            if self._now() - written > 200:
                self.write()
                written = self._now()
            # By the clock and not by waiting the interval: a late tick must not slow the rate.
            while (ahead := number * self.interval_ms - self._now()) > 0:
                self._look(ahead)
            self._look(0)
        # Wait for the requests sent before the end, within a limit.
        end = self._now() + 2000
        while self._visits and (left := end - self._now()) > 0:
            self._look(left)
        self.write()

    def end(self) -> None:
        self.stop = True


def main(settings: str) -> int:
    data = json.loads(settings)
    targets = []
    for host, port, tls in data["targets"]:
        try:
            targets.append(target(host, int(port), bool(tls)))
        except OSError as error:
            sys.stderr.write(f"{host}:{port} is not asked: {error}\n")
    if not targets:
        return 1
    probe = Probe(targets, float(data["interval_ms"]), Path(data["output"]), int(data["parent"]))
    signal.signal(signal.SIGTERM, lambda *_: probe.end())
    probe.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
