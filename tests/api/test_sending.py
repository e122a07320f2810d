"""One attempt to deliver ends in time, whatever the receiver does with it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from mpm.models import Delivery
from mpm.notify import webhooks
from mpm.notify.delivery import Attempt, send
from mpm.notify.ssrf import RESOLVE_SECONDS, BadDestination, resolve
from tests.api.conftest import ADMIN
from tests.api.receiver import listening
from tests.api.test_webhooks import LOOPBACK, hook

SIGNED = {"webhook-id": "1", "webhook-timestamp": "2", "webhook-signature": "v1,x"}
SECONDS = 1.0
Conduct = Callable[[socket.socket, threading.Event], None]


@contextmanager
def behaving(conduct: Conduct) -> Iterator[int]:
    """The port of a server that does with its first visitor what ``conduct`` says."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                visitor, _ = listener.accept()
            except OSError:
                return
            # The visitor leaves before the end, as it should.
            with visitor, suppress(OSError):
                conduct(visitor, over)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join(10)


def drips(answer: bytes, without_end: bytes) -> Conduct:
    """Answers, and goes on with a byte now and then for ever."""

    def conduct(visitor: socket.socket, over: threading.Event) -> None:
        visitor.recv(65536)
        visitor.sendall(answer)
        while not over.wait(0.1):
            visitor.sendall(without_end)

    return conduct


def never_answers(_visitor: socket.socket, over: threading.Event) -> None:
    over.wait(30)


def timed(url: str, body: bytes = b"{}") -> tuple[Attempt, float]:
    began = time.monotonic()
    return send(url, SIGNED, body, SECONDS), time.monotonic() - began


@LOOPBACK
@pytest.mark.parametrize(
    ("scheme", "conduct", "body"),
    [
        ("http", drips(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"), b"{}"),
        ("http", drips(b"HTTP/1.1 103 Early\r\n\r\n", b"HTTP/1.1 103 Early\r\n\r\n"), b"{}"),
        ("http", never_answers, b"{}"),
        ("http", never_answers, b"x" * 20_000_000),
        ("https", never_answers, b"{}"),
    ],
    ids=["drips its head", "never comes to the point", "is silent", "reads nothing", "no TLS"],
)
def test_a_receiver_cannot_hold_its_sender(scheme: str, conduct: Conduct, body: bytes) -> None:
    with behaving(conduct) as port:
        attempt, took = timed(f"{scheme}://127.0.0.1:{port}/", body)
    assert not attempt.delivered
    assert attempt.status is None
    assert "within 1 seconds" in attempt.error
    assert SECONDS <= took < SECONDS + 1


@LOOPBACK
def test_an_answer_that_does_not_end_was_given_all_the_same() -> None:
    endless = drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"y")
    with behaving(endless) as port:
        attempt, took = timed(f"http://127.0.0.1:{port}/")
    assert (attempt.delivered, attempt.status) == (True, 200)
    assert attempt.answer.startswith("yyy")
    assert took < SECONDS + 1


@LOOPBACK
def test_a_receiver_whose_certificate_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt")),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    received: list[bytes] = []

    def conduct(visitor: socket.socket, _over: threading.Event) -> None:
        with context.wrap_socket(visitor, server_side=True) as inside:
            received.append(inside.recv(65536))

    with behaving(conduct) as port:
        attempt, _ = timed(f"https://127.0.0.1:{port}/")
    assert not attempt.delivered
    assert "certificate" in attempt.error.lower()
    assert received == []


def test_a_name_that_nobody_resolves_is_given_up() -> None:
    over = threading.Event()

    def lookup(*_arguments: Any, **_options: Any) -> list[Any]:
        over.wait(60)
        return []

    began = time.monotonic()
    with pytest.raises(BadDestination, match="Timed out"):
        resolve("slow.example", 443, lookup)
    over.set()
    assert time.monotonic() - began < RESOLVE_SECONDS + 1


@LOOPBACK
@pytest.mark.django_db(transaction=True)
def test_slow_receivers_hold_one_round_and_never_a_second() -> None:
    """The worker starts a round every two seconds, in threads that its servers need as well."""
    asked, answers = threading.Event(), threading.Event()

    def conduct(visitor: socket.socket, _over: threading.Event) -> None:
        visitor.recv(65536)
        asked.set()
        answers.wait(10)
        visitor.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    made: list[int] = []

    def first() -> None:
        made.append(webhooks.run())
        connection.close()

    with behaving(conduct) as port, listening() as receiver:
        slow = webhooks.send_test(hook(f"http://127.0.0.1:{port}/", kinds=["change.silent"]), ADMIN)
        thread = threading.Thread(target=first)
        thread.start()
        assert asked.wait(10)
        later = webhooks.send_test(hook(receiver.url, kinds=["change.silent"]), ADMIN)
        began = time.monotonic()
        assert webhooks.run() == 0
        assert time.monotonic() - began < 1
        answers.set()
        thread.join()
    # The round that was under way has also sent what came meanwhile.
    assert made == [2]
    for delivery in (slow, later):
        delivery.refresh_from_db()
        assert delivery.state == Delivery.State.DELIVERED
    assert later.created_at < timezone.now()
