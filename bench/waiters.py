"""A crowd of clients that wait: long polls of events and of a change, and followed logs.

A separate process. One JSON line in: ``{"socket", "paths", "tokens"}``, one waiter for each entry
of ``paths`` in turn with each of ``tokens``; it then prints one line when each has been answered or
waits for at least ``SETTLED`` seconds. Any further line ends it, and the results are printed as one
JSON line (see Tally). A waiter repeats its request at once after a wait, and otherwise after
``Retry-After``, as the panel's own client does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

SETTLED = 5.0
PATIENCE = 60.0


@dataclass
class Tally:
    """``answers``: by status; ``held``: of them, those that waited; ``turned``: with Retry-After.
    ``learned``: seconds from the end of the change until a waiter received it."""

    answers: Counter[str] = field(default_factory=Counter)
    held: int = 0
    turned: int = 0
    broken: int = 0
    learned: list[float] = field(default_factory=list)


class Crowd:
    def __init__(self, socket: str, paths: list[str], tokens: list[str]) -> None:
        self.socket, self.paths, self.tokens = socket, paths, tokens
        self.tally = Tally()
        self.answered: set[int] = set()
        self.ended_at: float | None = None

    async def waiter(self, number: int) -> None:
        path = self.paths[number % len(self.paths)]
        token = self.tokens[number % len(self.tokens)]
        request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
            "Connection: close\r\n\r\n"
        ).encode()
        while True:
            began = time.monotonic()
            try:
                status, headers, body = await asyncio.wait_for(self._request(request), PATIENCE)
            except (OSError, TimeoutError, ValueError, IndexError):
                self.tally.broken += 1
                await asyncio.sleep(1)
                continue
            took = time.monotonic() - began
            self.answered.add(number)
            self.tally.answers[status] += 1
            later = headers.get("retry-after")
            if later is not None:
                self.tally.turned += 1
            elif took > 1:
                self.tally.held += 1
            if self.ended_at is not None and self._ended(path, headers, body):
                self.tally.learned.append(time.monotonic() - self.ended_at)
                return
            if later is not None:
                await asyncio.sleep(float(later))
            elif took < 1:
                await asyncio.sleep(1)

    async def _request(self, request: bytes) -> tuple[str, dict[str, str], bytes]:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            writer.write(request)
            await writer.drain()
            answer = await reader.read()
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return first.split()[1], {one.lower(): two.strip() for one, _, two in pairs}, body

    @staticmethod
    def _ended(path: str, headers: dict[str, str], body: bytes) -> bool:
        if "/log" in path:
            return headers.get("x-log-ended") == "true"
        if "/events" in path:
            return b'"change.canceled"' in body
        return b'"finished": true' in body or b'"finished":true' in body

    async def run(self, count: int) -> None:
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        began = time.monotonic()
        crowd = [asyncio.create_task(self.waiter(number)) for number in range(count)]
        seen, changed = 0, began
        while time.monotonic() - changed < SETTLED and time.monotonic() - began < PATIENCE:
            await asyncio.sleep(0.05)
            if len(self.answered) != seen:
                seen, changed = len(self.answered), time.monotonic()
        _report({"seconds": changed - began, "answered": seen})
        while line := await lines.readline():
            if crowd and line.strip() == b"ended":
                self.ended_at = time.monotonic()
                await asyncio.wait(crowd, timeout=PATIENCE)
            break
        for one in crowd:
            one.cancel()
        _report(vars(self.tally))


def _report(what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def main() -> None:
    wish = json.loads(sys.stdin.readline())
    crowd = Crowd(wish["socket"], wish["paths"], wish["tokens"])
    asyncio.run(crowd.run(wish["count"]))


if __name__ == "__main__":
    main()
