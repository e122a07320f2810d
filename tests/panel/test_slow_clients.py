"""Clients that are slow, silent or gone keep nobody else from the panel: gunicorn itself, as the
package runs it."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from easyapache import web_worker
from easyapache.web_worker import Arrival, HeadTooLarge
from tests.panel_fixtures import PROJECT, wait_until

CLIENTS = 40
"""Five times as many as there are threads."""

APPLICATION = """
import time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/late":
        time.sleep(0.5)
    if path == "/slow":
        time.sleep(5)
    if path in ("/unread", "/large"):
        body = b"x" * (4_000_000 if path == "/large" else 0)
    elif path == "/page":
        body = b"x" * 150_000
    else:
        body = environ["wsgi.input"].read()
    status = "413 Content Too Large" if path == "/unread" else "200 OK"
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]
"""


@dataclass
class Server:
    port: int
    tls: bool
    log: Path

    @property
    def address(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def plain(self) -> socket.socket:
        """A TCP connection, without TLS."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def connect(self) -> socket.socket:
        client = self.plain()
        return _context().wrap_socket(client, server_hostname="localhost") if self.tls else client

    def answers(self) -> bool:
        try:
            answer = httpx.post(f"{self.address}/", content=b"hello", verify=_context(), timeout=15)
        except httpx.TransportError:
            return False
        return answer.content == b"hello"


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def certify(folder: Path) -> None:
    """A new key and its certificate."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-keyout", str(folder / "key")),
            *("-out", str(folder / "crt")),
        ],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module", params=["plain", "tls"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("slow"), request.param == "tls") as found:
        yield found


@contextmanager
def running(folder: Path, tls: bool, descriptors: int | None = None) -> Iterator[Server]:
    """gunicorn, which may open as many files as ``descriptors`` says."""
    (folder / "echo.py").write_text(APPLICATION)
    limit = () if descriptors is None else ("prlimit", f"--nofile={descriptors}")
    certificate = {}
    if tls:
        certify(folder)
        certificate = {
            "EA4_CERTIFICATE": str(folder / "crt"),
            "EA4_CERTIFICATE_KEY": str(folder / "key"),
        }
    with socket.create_server(("127.0.0.1", 0)) as listener, (folder / "log").open("wb") as log:
        os.set_inheritable(listener.fileno(), True)
        web = subprocess.Popen(
            [
                *limit,
                *(sys.executable, "-m", "gunicorn"),
                *("--config", str(PROJECT / "packaging/share/gunicorn.py"), "echo:application"),
            ],
            cwd=folder,
            env={
                **{key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ},
                "PYTHONPATH": f"{PROJECT}:{folder}",
                "EA4_LISTEN": f"fd://{listener.fileno()}",
                **certificate,
            },
            pass_fds=(listener.fileno(),),
            stdout=log,
            stderr=log,
        )
        found = Server(listener.getsockname()[1], tls, folder / "log")
        try:
            wait_until(found.answers, 60, "gunicorn did not answer")
            yield found
        finally:
            web.terminate()
            web.wait(30)


def silent(server: Server) -> socket.socket:
    return server.plain()


def half_a_handshake(server: Server) -> socket.socket:
    client = server.plain()
    client.sendall(b"\x16\x03\x01\x02\x00\x01" if server.tls else b"G")
    return client


def half_a_head(server: Server) -> socket.socket:
    client = server.connect()
    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    return client


def half_a_body(server: Server) -> socket.socket:
    client = server.connect()
    client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
    return client


def half_a_body_in_chunks(server: Server) -> socket.socket:
    client = server.connect()
    client.sendall(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"
    )
    return client


def half_of_a_second_request(server: Server) -> socket.socket:
    client = server.connect()
    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost:")
    return client


def never_closed(server: Server) -> socket.socket:
    client = server.connect()
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return client


def reads_nothing(server: Server) -> socket.socket:
    """Asks for as much as the largest page and lets none of it in."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.settimeout(30)
    client.connect(("127.0.0.1", server.port))
    if server.tls:
        client = _context().wrap_socket(client, server_hostname="localhost")
    client.sendall(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client


@pytest.mark.parametrize(
    "slow",
    [
        *(silent, half_a_handshake, half_a_head, half_a_body, half_a_body_in_chunks),
        *(half_of_a_second_request, never_closed, reads_nothing),
    ],
)
def test_clients_that_go_no_further_keep_nobody_out(
    server: Server, slow: Callable[[Server], socket.socket]
) -> None:
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(slow(server))
        for _ in range(5):
            assert server.answers(), slow.__name__
    assert "Traceback" not in server.log.read_text()


def received(client: socket.socket) -> bytes:
    found = b""
    with suppress(ConnectionResetError, ssl.SSLError):
        while piece := client.recv(65536):
            found += piece
    return found


def test_a_request_that_arrives_byte_by_byte_is_answered(server: Server) -> None:
    with server.connect() as client:
        for (
            byte
        ) in b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc":
            client.sendall(bytes([byte]))
            time.sleep(0.001)
        assert received(client).endswith(b"\r\n\r\nabc")


def test_requests_in_one_piece_are_answered_in_their_order(server: Server) -> None:
    bodies = [b"one", b"three", b"fifteen"]
    requests = [
        b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
        % (b"/late" if index == 0 else b"/", len(body), body)
        for index, body in enumerate(bodies)
    ]
    end = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with server.connect() as client:
        client.sendall(b"".join(requests) + end)
        answers = received(client).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [one.partition(b"\r\n\r\n")[2] for one in answers] == [*bodies, b""]


@pytest.mark.parametrize("size", [0, 1, 16_384, 70_000, 2 * 1024 * 1024])
def test_a_body_arrives_as_it_was_sent_on_a_kept_connection(server: Server, size: int) -> None:
    body = os.urandom(size)
    with httpx.Client(verify=_context(), timeout=60) as client:
        for _ in range(2):
            assert client.post(f"{server.address}/", content=body).content == body


def test_a_client_that_waits_for_a_word_gets_it_before_it_sends_its_body(server: Server) -> None:
    with server.connect() as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        answer = received(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize(
    "header", [b"Content-Length: 3000000", b"Transfer-Encoding: chunked"], ids=["large", "chunked"]
)
def test_a_body_that_is_not_read_is_answered_by_its_headers_and_the_connection_ends(
    server: Server, header: bytes
) -> None:
    with server.connect() as client:
        client.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
        answer = received(client)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in answer


def test_headers_without_an_end_are_refused(server: Server) -> None:
    with server.connect() as client:
        with suppress(ConnectionError, ssl.SSLError):
            client.sendall(b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"x" * 100_000)
        assert received(client).startswith(b"HTTP/1.1 431 ")


def test_a_large_answer_arrives_whole_although_its_reader_is_slow(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(1)
        assert len(received(client).partition(b"\r\n\r\n")[2]) == 4_000_000


def test_what_is_no_request_ends_its_connection_and_nothing_else(server: Server) -> None:
    for noise in (b"\r\n\r\n", b"\0" * 200 + b"\r\n\r\n", b"GET\r\n\r\n", os.urandom(5000)):
        with server.plain() as client:
            client.sendall(noise)
            client.shutdown(socket.SHUT_WR)
            received(client)
    assert server.answers()


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_only_a_client_that_knows_the_word_gets_it(server: Server, version: bytes) -> None:
    head = b"POST / HTTP/%s\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with server.connect() as client:
        client.sendall(head % version)
        time.sleep(0.3)
        client.sendall(b"hello")
        begin = client.recv(100)
    assert begin.startswith(b"HTTP/1.1 100 " if version == b"1.1" else b"HTTP/1.0 200 ")


def test_a_client_whose_second_request_waits_for_a_word_gets_it_too(server: Server) -> None:
    with server.connect() as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst"
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\n\r\n"
        )
        found = b""
        while b"HTTP/1.1 100 Continue\r\n\r\n" not in found:
            piece = client.recv(1000)
            assert piece, found
            found += piece
        client.sendall(b"second")
        assert received(client).endswith(b"\r\n\r\nsecond")


def test_a_length_with_many_zeros_does_not_make_a_request_of_its_body(server: Server) -> None:
    """Another server in front of the panel would read it as a body, so it must be one here."""
    body = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.connect() as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Length: %016d\r\n\r\n" % len(body)
        )
        time.sleep(0.3)
        client.sendall(body)
        assert received(client).endswith(b"\r\n\r\n" + body)


def test_lines_that_end_without_a_carriage_return_are_refused_at_once(server: Server) -> None:
    started = time.monotonic()
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\nHost: x\n\n")
        assert received(client).startswith(b"HTTP/1.1 400 ")
    assert time.monotonic() - started < 10


def test_a_client_that_has_sent_all_it_will_send_gets_its_answer(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
        socket.socket.shutdown(client, socket.SHUT_WR)
        assert received(client).startswith(b"HTTP/1.1 200 ")


def test_clients_that_are_gone_at_any_point_leave_no_error(server: Server) -> None:
    for data in (b"", b"\x16\x03\x01", b"GET /", b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n"):
        for connect in (server.plain, server.connect):
            with connect() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.sendall(data)
    assert server.answers()
    assert "[ERROR]" not in server.log.read_text()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_server_with_few_file_descriptors_keeps_some_for_its_answers(
    tmp_path: Path, tls: bool
) -> None:
    with running(tmp_path, tls, descriptors=64) as server:
        for slow in (silent, never_closed):
            with ExitStack() as stack:
                for _ in range(150):
                    stack.enter_context(slow(server))
                assert server.answers(), slow.__name__
        assert "[ERROR]" not in server.log.read_text()


def test_large_requests_that_wait_for_a_thread_have_a_limit_together(tmp_path: Path) -> None:
    head = b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    with running(tmp_path, tls=False) as server, ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(server.connect()).sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        clients = [stack.enter_context(server.connect()) for _ in range(40)]
        for client in clients:
            with suppress(ConnectionError):
                client.sendall(head + b"x" * 2_000_000)
        assert server.answers()
        answers = [received(client)[:12] for client in clients]
    assert answers.count(b"HTTP/1.1 413") == web_worker.LARGEST_TOTAL // 2_000_100
    assert set(answers) <= {b"HTTP/1.1 413", b"HTTP/1.1 408", b""}


def test_a_renewed_certificate_is_offered_to_the_next_client(tmp_path: Path) -> None:
    with running(tmp_path, tls=True) as server:
        offered = []
        for _ in range(2):
            with server.connect() as client:
                assert isinstance(client, ssl.SSLSocket)
                offered.append(client.getpeercert(binary_form=True))
            certify(tmp_path)
    assert offered[0] != offered[1]


# -- without a server ------------------------------------------------------------------------


def arrival(data: bytes) -> Arrival:
    return Arrival(None, 0.0, secure=True, data=bytearray(data))


@pytest.mark.parametrize("name", [b"Content-Length", b"content-length", b"CONTENT-LENGTH"])
def test_a_request_is_whole_with_its_last_byte(name: bytes) -> None:
    data = b"PUT / HTTP/1.1\r\n" + name + b": \t5 \r\nHost: x\r\n\r\nhello"
    one = arrival(b"")
    for byte in data[:-1]:
        one.data.append(byte)
        assert not one.complete()
    one.data += data[-1:]
    assert one.complete()


def test_a_header_within_a_body_counts_for_nothing() -> None:
    body = b"Transfer-Encoding: chunked\r\nContent-Length: 9999\r\n\r\n"
    one = arrival(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert one.complete()
    assert one.with_body


def test_the_largest_body_is_the_one_that_the_panel_reads(settings: object) -> None:
    assert getattr(settings, "LARGEST_BODY") == web_worker.LARGEST_BODY  # noqa: B009
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
    assert not arrival(head % web_worker.LARGEST_BODY).complete()
    larger = arrival(head % (web_worker.LARGEST_BODY + 1))
    assert larger.complete()
    assert not larger.with_body


def test_the_length_of_a_body_may_have_more_digits_than_a_number_can() -> None:
    one = arrival(b"POST / HTTP/1.1\r\nContent-Length: %s\r\n\r\n" % (b"9" * 5000))
    assert one.complete()
    assert not one.with_body


def test_a_head_without_an_end_has_a_limit() -> None:
    with pytest.raises(HeadTooLarge):
        arrival(b"x" * (web_worker.LARGEST_HEAD + 1)).complete()
