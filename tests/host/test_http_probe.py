"""One request: whatever a configuration calls its sites, asking ends with an answer."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest

from easyapache.agent.httpd.http_probe import fetch
from easyapache.agent.server import Stopped


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "name", ["b\ufffdcher.example", ".example", "x" * 70 + ".example", "a\r\nX-More: 1", "a b"]
)
def test_a_name_that_cannot_be_asked_for_is_an_answer_and_no_error(scheme: str, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        answer = fetch(f"{scheme}://127.0.0.1:{port}/", host=name, limit=0.2)
    assert answer.error


class Dripping:
    """A server that sends ``at_once`` and then a byte every ``pause`` seconds, for ever."""

    def __init__(self, at_once: bytes, pause: float = 0.05) -> None:
        self.at_once, self.pause = at_once, pause
        self.over = threading.Event()

    def __enter__(self) -> int:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return int(self.listener.getsockname()[1])

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            end, _ = self.listener.accept()
            with end:
                end.sendall(self.at_once)
                while not self.over.wait(self.pause):
                    end.sendall(b"x")


DRIPS = {
    "nothing but a greeting": b"",
    "the status line": b"HTTP/1.1 20",
    "a header": b"HTTP/1.1 200 OK\r\nX-A: ",
    "continue for ever": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n",
    "the body": b"HTTP/1.1 200 OK\r\n\r\n",
    "a body of a given length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
    "a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("drip", list(DRIPS))
def test_an_answer_that_drips_ends_with_its_time(drip: str, scheme: str) -> None:
    with Dripping(DRIPS[drip]) as port:
        answer = fetch(f"{scheme}://127.0.0.1:{port}/", limit=0.5)
    assert answer.error
    assert scheme == "https" or "no complete answer within" in answer.error


def test_an_answer_that_is_no_longer_wanted_is_given_up_at_once() -> None:
    wanted = threading.Event()
    threading.Timer(0.2, wanted.set).start()
    with Dripping(DRIPS["the body"]) as port, pytest.raises(Stopped):
        fetch(f"http://127.0.0.1:{port}/", limit=3600.0, stop=wanted.is_set)


def test_a_peer_that_takes_no_connection_is_given_up_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        place = full.getsockname()
        crowd = [socket.socket() for _ in range(4)]
        for item in crowd:
            item.setblocking(False)
            item.connect_ex(place)
        answer = fetch(f"http://127.0.0.1:{place[1]}/", limit=0.5)
        for item in crowd:
            item.close()
    assert "no complete answer within" in answer.error


def test_an_answer_over_several_packets_is_read_whole() -> None:
    with Dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc", pause=0.01) as port:
        assert fetch(f"http://127.0.0.1:{port}/").body == b"abcxxx"
