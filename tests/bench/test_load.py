"""The visitors count what they meet, and come as often as they should."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.load import Load, LoadFailed, Tally, Visit, tally, visitors

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n<h1>A page</h1>\n"


@contextmanager
def server(answer: Callable[[int], bytes]) -> Iterator[int]:
    """Answers the n-th connection with ``answer(n)``; nothing means it is reset."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)

    def serve() -> None:
        number = 0
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return  # the listener was closed: the test is over
            with link:
                link.recv(1000)
                response = answer(number)
                number += 1
                if response:
                    link.sendall(response)
                else:
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def met(port: int, rate: float, seconds: float) -> Tally:
    with visitors(port, rate) as load:
        time.sleep(seconds)
    return load.tally


def test_visitors_come_at_the_rate_that_was_asked_for() -> None:
    with server(lambda _: WHOLE) as port:
        seen = met(port, 100, 2)
    assert seen.rate == pytest.approx(100, rel=0.05)
    assert seen.failed == 0
    assert seen.counts["ok"] == seen.total
    assert seen.longest_wait > 0


def test_each_way_to_fail_is_counted_as_what_it_is() -> None:
    answers = (WHOLE, b"", b"HTTP/1.1 503 No\r\n\r\n", WHOLE[:-8])
    with server(lambda number: answers[number % 4]) as port:
        seen = met(port, 40, 1)
    assert min(seen.counts[kind] for kind in ("ok", "reset", "bad")) > 0
    assert seen.counts["reset"] > seen.counts["bad"], "half an answer counts as cut off"
    assert seen.counts["refused"] == 0


def test_a_closed_port_refuses_everybody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port: int = closing.getsockname()[1]
    seen = met(port, 50, 1)
    assert seen.counts["refused"] == seen.total > 0
    assert seen.outage == pytest.approx(1, abs=0.5)
    assert seen.longest_wait == 0


def visit(began: float, outcome: str = "ok", took: float = 0.001) -> Visit:
    return Visit(began, began + took, outcome)


def test_an_outage_lasts_as_long_as_every_new_connection_fails() -> None:
    seen = tally(
        [
            *(visit(0.0), visit(0.1, "refused"), visit(0.2, "reset"), visit(0.4, "refused")),
            *(visit(0.5), visit(0.6, "reset"), visit(0.7, took=0.25)),
        ]
    )
    assert seen.outage == pytest.approx(0.3)
    assert seen.longest_wait == pytest.approx(0.25)
    assert (seen.total, seen.failed) == (7, 4)


def test_nobody_is_no_result() -> None:
    with pytest.raises(ValueError, match="nobody came"):
        tally([])


def test_there_is_no_tally_before_the_last_visitor_has_gone() -> None:
    with server(lambda _: WHOLE) as port, visitors(port, 20) as load:
        assert isinstance(load, Load)
        with pytest.raises(LoadFailed):
            _ = load.tally
