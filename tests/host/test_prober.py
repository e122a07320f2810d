"""What the prober says of listeners, of those too that do not behave as httpd does."""

from __future__ import annotations

import errno
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from easyapache.agent.httpd import prober
from easyapache.agent.httpd.prober import Probe, Tally, target, visit
from lab.apache import make_certificate
from tests.host.managed import Managed

Treat = Callable[[socket.socket], None]


@contextmanager
def listener(treat: Treat | None, host: str = "127.0.0.1") -> Iterator[int]:
    """The port of a listener that treats every connection so; None: that takes none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=200) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as httpd does
                with connection:
                    if treat is not None:
                        treat(connection)

        thread = threading.Thread(target=serve, daemon=True)
        if treat is not None:
            thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        if treat is not None:
            thread.join(5)


def seen(
    tmp_path: Path,
    port: int,
    *,
    host: str = "127.0.0.1",
    tls: bool = False,
    seconds: float = 0.3,
    interval_ms: float = 5.0,
) -> Tally:
    output = tmp_path / "seen.json"
    probe = Probe([target(host, port, tls)], interval_ms, output, os.getppid())
    timer = threading.Timer(seconds, probe.end)
    timer.start()
    probe.run()
    timer.join()
    assert output.exists()
    return probe.tally


def results(tally: Tally) -> set[str]:
    return {what for _, _, what in tally.seen}


def answer(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


def never_answer(connection: socket.socket) -> None:
    connection.recv(4096)


def leave(connection: socket.socket) -> None:
    connection.close()


def answer_otherwise(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-other\r\n")


@pytest.mark.parametrize(
    ("treat", "tls", "result"),
    [
        (answer, False, "ok"),
        (never_answer, False, "reset"),
        (leave, False, "reset"),
        (answer_otherwise, False, "reset"),
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
    treat: Treat, tls: bool, result: str, tmp_path: Path
) -> None:
    with listener(treat) as port:
        tally = seen(tmp_path, port, tls=tls)
    assert len(tally.seen) > 20
    assert results(tally) == {result}
    assert not tally.waiting


def addresses_of_this_machine() -> list[str]:
    found = ["127.0.0.1", "localhost"]
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return [*found, "::1"]
    except OSError:
        return found


@pytest.mark.parametrize("host", addresses_of_this_machine())
def test_a_listener_is_asked_by_whatever_listen_may_name_it(host: str, tmp_path: Path) -> None:
    there = target(host, 0, False)[1][0]
    with listener(answer, there) as port:
        assert results(seen(tmp_path, port, host=host)) == {"ok"}


def test_httpd_answers_with_tls_and_without(managed: Managed, tmp_path: Path) -> None:
    assert managed.lab is not None
    ports = managed.lab.setup.ports
    assert results(seen(tmp_path, ports.https, tls=True)) == {"ok"}
    assert results(seen(tmp_path, ports.http)) == {"ok"}


def test_tls_is_ended_with_a_good_bye(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = tmp_path / "var/cpanel/ssl"
    context.load_cert_chain(folder / "lab.crt", folder / "lab.key")
    ends: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(
            connection, server_side=True, suppress_ragged_eofs=False
        ) as secured:
            answer(secured)
            ends.append(secured.recv(1))  # an SSLEOFError where the end is just cut off

    with listener(serve) as port:
        tally = seen(tmp_path, port, tls=True)
    assert results(tally) == {"ok"}
    assert len(ends) > 20
    assert set(ends) == {b""}


def test_a_port_nobody_listens_on_refuses(tmp_path: Path) -> None:
    with listener(None) as port:
        pass
    tally = seen(tmp_path, port)
    assert tally.count("refused") == len(tally.seen) > 20


def test_an_answer_that_takes_long_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober, "SLOW_MS", 50.0)

    def late(connection: socket.socket) -> None:
        time.sleep(0.06)
        answer(connection)

    with listener(late) as port:
        tally = seen(tmp_path, port, interval_ms=100.0)
    assert results(tally) == {"slow"}


def test_what_is_never_answered_is_given_up_and_counts_as_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober, "LIMIT", 0.2)
    with listener(None) as port:
        tally = seen(tmp_path, port, seconds=0.6)
    assert results(tally) == {"slow"}
    assert not tally.waiting
    assert all(wait >= 200 for _, wait, _ in tally.seen)


def test_a_listener_that_stands_still_is_not_buried_under_questions(tmp_path: Path) -> None:
    with listener(None) as port:
        tally = seen(tmp_path, port, seconds=0.3, interval_ms=1.0)
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            pass  # a visitor still gets in
    assert not tally.seen
    assert len(tally.waiting) == prober.MOST
    assert tally.longest(5000.0) > 4000


def test_many_listeners_share_what_a_process_may_have_open(tmp_path: Path) -> None:
    with listener(None) as port:
        targets = [target("127.0.0.1", port, False)] * (prober.OPEN // 2)
        probe = Probe(targets, 0.05, tmp_path / "seen.json", os.getppid())
        timer = threading.Timer(0.5, probe.end)
        timer.start()
        probe.run()
    assert prober.MOST < len(probe.tally.waiting) <= prober.OPEN


def test_what_our_own_side_lacks_is_not_told_of_the_listener(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    there = target("127.0.0.1", 80, False)
    monkeypatch.setattr(socket, "socket", none_left)
    with pytest.raises(StopIteration) as ended:
        next(visit(there, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))
    assert ended.value.value == ""


def started(output: Path, targets: list[tuple[str, int, bool]], parent: int) -> tuple[int, str]:
    settings = {"targets": targets, "interval_ms": 5, "output": str(output), "parent": parent}
    done = subprocess.run(
        [sys.executable, "-I", prober.__file__, json.dumps(settings)],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_prober_whose_parent_is_gone_ends(tmp_path: Path) -> None:
    with listener(answer) as port:
        status, _ = started(tmp_path / "seen.json", [("127.0.0.1", port, False)], parent=1)
    assert status == 0
    assert json.loads((tmp_path / "seen.json").read_text())["to_the_end"] is False


def test_a_name_nobody_knows_is_left_out_and_said(tmp_path: Path) -> None:
    unknown = ("no-such-host.invalid", 80, False)
    status, said = started(tmp_path / "seen.json", [unknown, ("x" * 70, 80, False)], os.getpid())
    assert status == 1
    assert said.count("is not asked") == 2
    assert not (tmp_path / "seen.json").exists()
