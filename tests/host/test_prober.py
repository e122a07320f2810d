"""What the prober says of a listener that does not behave as httpd does."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from easyapache.host import prober
from easyapache.host.prober import Probe, Tally


@contextmanager
def listener(treat: Callable[[socket.socket], None] | None) -> Iterator[int]:
    """The port of a listener that treats every connection so; None: that takes none."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    treat(connection) if treat else None

        if treat:
            threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def seen(tmp_path: Path, port: int, *, tls: bool = False, seconds: float = 0.3) -> Tally:
    probe = Probe([("127.0.0.1", port, tls)], 5.0, tmp_path / "seen.json", os.getppid())
    timer = threading.Timer(seconds, probe.end)
    timer.start()
    probe.run()
    timer.join()
    assert (tmp_path / "seen.json").exists()
    return probe.tally


def answer(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


def leave(connection: socket.socket) -> None:
    connection.close()


@pytest.mark.parametrize(
    ("treat", "tls", "result"),
    [
        (answer, False, "ok"),
        (lambda connection: connection.recv(4096), False, "reset"),
        (leave, False, "reset"),
        (lambda connection: connection.sendall(b"SSH-2.0-other\r\n"), False, "reset"),
        (answer, True, "reset"),
        (leave, True, "reset"),
    ],
    ids=[
        "an answer",
        "closed without one",
        "closed at once",
        "another protocol",
        "plain for TLS",
        "closed before the handshake",
    ],
)
def test_every_connection_is_told_as_what_became_of_it(
    treat: Callable[[socket.socket], None], tls: bool, result: str, tmp_path: Path
) -> None:
    with listener(treat) as port:
        tally = seen(tmp_path, port, tls=tls)
    assert len(tally.seen) > 20
    assert {what for _, _, what in tally.seen} == {result}
    assert not tally.waiting


def test_a_port_nobody_listens_on_refuses(tmp_path: Path) -> None:
    with listener(None) as port:
        pass
    tally = seen(tmp_path, port)
    assert tally.count("refused") == len(tally.seen) > 20


def test_what_is_never_answered_is_given_up_and_counts_as_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober, "LIMIT", 0.2)
    with listener(None) as port:
        tally = seen(tmp_path, port, seconds=0.6)
    assert {what for _, _, what in tally.seen} == {"slow"}
    assert not tally.waiting
    assert all(wait >= 200 for _, wait, _ in tally.seen)


def test_the_longest_wait_counts_what_is_still_waiting(tmp_path: Path) -> None:
    with listener(None) as port:
        tally = seen(tmp_path, port, seconds=0.3)
    assert not tally.seen
    assert tally.longest(5000.0) > 4000
