"""Visitors: new connections at a fixed rate, from a separate process, each one counted.

    with visitors(port, rate=1000) as load: ... # the possible disturbance load.tally # the results

Open loop: the n-th connection starts n/rate seconds after the first, whether or not earlier ones
have finished, so a stalled server gets the same load as any other. Each is a TCP connection, one
GET with ``Connection: close``, and the whole response.
"""

from __future__ import annotations

import errno
import gc
import json
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

OUTCOMES = ("ok", "refused", "reset", "late", "bad")
"""Answered whole with 200; refused; cut off; no answer within PATIENCE; any other answer."""

PATIENCE = 15.0
REQUEST = b"GET / HTTP/1.1\r\nHost: static.lab.test\r\nConnection: close\r\n\r\n"
_BEGINS, _ENDS = b"HTTP/1.1 200 ", b"</h1>\n"
_ADDRESSES = tuple(f"127.0.0.{last}" for last in range(2, 252))
"""Visitors use many addresses: a single one would run out of ports within 30 seconds."""
_IP_BIND_ADDRESS_NO_PORT = 24


class LoadFailed(Exception):
    """The process of the visitors failed; the measurements are invalid."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection: when it began and ended (seconds of one clock), and its outcome."""

    began: float
    ended: float
    outcome: str


@dataclass(frozen=True, slots=True)
class Tally:
    """``rate`` is the achieved rate per second; ``longest_wait`` that of an answered visit, from
    its first packet to the last byte; ``outage`` the longest time in which every new connection
    failed. Both in seconds."""

    counts: dict[str, int]
    rate: float
    longest_wait: float
    outage: float

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        return self.total - self.counts["ok"]


def tally(visits: Sequence[Visit]) -> Tally:
    """Sum up. Raises ValueError without a single visit."""
    ordered = sorted(visits, key=lambda visit: visit.began)
    if not ordered:
        raise ValueError("nobody came")
    counts = Counter(visit.outcome for visit in ordered)
    span = ordered[-1].began - ordered[0].began
    outage, since = 0.0, None
    for visit in ordered:
        if visit.outcome == "ok":
            since = None
        else:
            since = visit.began if since is None else since
            outage = max(outage, visit.began - since)
    waits = [visit.ended - visit.began for visit in ordered if visit.outcome == "ok"]
    return Tally(
        counts={name: counts[name] for name in OUTCOMES},
        rate=(len(ordered) - 1) / span if span else 0.0,
        longest_wait=max(waits, default=0.0),
        outage=outage,
    )


class Load:
    """The visitors of one ``visitors`` block. ``tally`` is there after it."""

    def __init__(self, client: subprocess.Popen[bytes]) -> None:
        self._client = client
        self._tally: Tally | None = None

    @property
    def tally(self) -> Tally:
        if self._tally is None:
            raise LoadFailed("the visitors are still coming")
        return self._tally

    def finish(self) -> None:
        output, _ = self._client.communicate()
        if self._client.returncode:
            raise LoadFailed(f"the visitors' process ended with {self._client.returncode}")
        self._tally = Tally(**json.loads(output))


@contextmanager
def visitors(port: int, rate: float = 1000.0) -> Iterator[Load]:
    """Visitors of 127.0.0.1:``port`` all the time of the block, ``rate`` a second."""
    client = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), str(port), str(rate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    load = Load(client)
    try:
        _first_line(client.stdout)
        yield load
    except BaseException:
        client.kill()
        client.wait()
        raise
    load.finish()


def _first_line(output: IO[bytes] | None) -> None:
    assert output is not None
    if output.readline() != b"ready\n":
        raise LoadFailed("the visitors' process did not start")


# -- in the process of the visitors ------------------------------------------------------------


class _Crowd:
    """All visitors in one thread: at this rate threads would measure each other."""

    def __init__(self, port: int, rate: float) -> None:
        self.port = port
        self.rate = rate
        self.poll = select.epoll()
        self.open: dict[int, tuple[socket.socket, float, bytearray]] = {}
        self._sent: set[int] = set()
        self.visits: list[Visit] = []

    def run(self, over: int) -> None:
        """Run until the descriptor ``over`` is closed; then open visits may finish."""
        self.poll.register(over, select.EPOLLIN | select.EPOLLHUP)
        start, number, arriving, looked = time.monotonic(), 0, True, 0.0
        while arriving or self.open:
            now = time.monotonic()
            while arriving and start + number / self.rate <= now:
                self._connect(number)
                number += 1
            pause = max(0.0, start + number / self.rate - time.monotonic()) if arriving else 0.05
            for descriptor, _ in self.poll.poll(pause):
                if descriptor == over:
                    arriving = False
                    self.poll.unregister(over)
                else:
                    self._receive(descriptor)
            if now - looked > 0.5:
                looked = now
                self._send_home(now - PATIENCE)

    def _connect(self, number: int) -> None:
        visitor = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        visitor.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        visitor.bind((_ADDRESSES[number % len(_ADDRESSES)], 0))
        began = time.monotonic()
        self.open[visitor.fileno()] = (visitor, began, bytearray())
        status = visitor.connect_ex(("127.0.0.1", self.port))
        if status not in (0, errno.EINPROGRESS):
            self._finish(visitor.fileno(), _outcome_of(status))
            return
        self.poll.register(visitor.fileno(), select.EPOLLOUT)

    def _receive(self, descriptor: int) -> None:
        visitor, _, answer = self.open[descriptor]
        try:
            if not answer and self._send(visitor):
                return
            while piece := visitor.recv(65536):
                answer += piece
        except BlockingIOError:
            return
        except OSError as error:
            self._finish(descriptor, _outcome_of(error.errno))
            return
        whole = answer.startswith(_BEGINS) and answer.endswith(_ENDS)
        cut = not answer or (answer.startswith(_BEGINS) and not whole)
        self._finish(descriptor, "ok" if whole else "reset" if cut else "bad")

    def _send(self, visitor: socket.socket) -> bool:
        """True if the request was sent now; False if it was sent before."""
        status = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            raise OSError(status, "connect")
        if visitor.fileno() in self._sent:
            return False
        visitor.send(REQUEST)
        self._sent.add(visitor.fileno())
        self.poll.modify(visitor.fileno(), select.EPOLLIN)
        return True

    def _finish(self, descriptor: int, outcome: str) -> None:
        visitor, began, _ = self.open.pop(descriptor)
        self._sent.discard(descriptor)
        visitor.close()
        self.visits.append(Visit(began, time.monotonic(), outcome))

    def _send_home(self, before: float) -> None:
        for descriptor in [key for key, (_, began, _) in self.open.items() if began < before]:
            self._finish(descriptor, "late")


def _outcome_of(status: int | None) -> str:
    return "refused" if status == errno.ECONNREFUSED else "reset"


def _main(port: int, rate: float) -> None:
    gc.disable()  # a collection is a pause of some milliseconds, which would look like the server's
    crowd = _Crowd(port, rate)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    crowd.run(sys.stdin.fileno())
    json.dump(asdict(tally(crowd.visits)), sys.stdout)


if __name__ == "__main__":
    _main(int(sys.argv[1]), float(sys.argv[2]))
