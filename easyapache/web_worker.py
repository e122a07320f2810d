"""gunicorn's worker for the panel: a thread is taken when a request has arrived, not before.

gunicorn's own thread worker gives a connection a thread as soon as its first byte is there, and the
thread then waits for the rest. As many connections as there are threads, each with half a request,
keep the panel from everyone else. Here one loop receives TLS handshakes, headers and bodies of all
connections without waiting for any, and each connection has a limited time for them. See
docs/decisions/0019-a-thread-for-whole-requests.md.
"""

from __future__ import annotations

import re
import selectors
import socket
import ssl
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gunicorn import http, sock
from gunicorn.http.unreader import IterUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

ARRIVAL = 20.0
"""Seconds from the first byte of a request, or of a new connection, to the end of the request."""
PATIENCE = 20.0
"""Seconds in which a client must take what a view writes at once."""
LINGER = 2.0
"""Seconds in which a client may read an answer to its end before its connection is closed."""
LARGEST_HEAD = 64 * 1024
"""Bytes of a request line and headers. A larger one is refused with 431."""
LARGEST_BODY = 2 * 1024 * 1024
"""Bytes of a body that is waited for; the panel refuses larger ones by their headers alone."""
LARGEST_TOTAL = 32 * 1024 * 1024
"""Bytes of all requests that are still arriving. Beyond, the oldest one is given up."""
SEND_BUFFER = 256 * 1024
"""Bytes that the kernel takes of an answer while the client reads: every page fits in."""
_PIECE = 64 * 1024
_PIECES = 8
"""Reads of one connection before the others have their turn."""

_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,15})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)
_EXPECT = re.compile(rb"^expect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE | re.MULTILINE)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_END = b"\r\n\r\n"


def _refusal(status: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(status) + 1}\r\n\r\n{status}\n"
    ).encode("ascii")


_TOO_SLOW = _refusal("408 Request Timeout")
_HEAD_TOO_LARGE = _refusal("431 Request Header Fields Too Large")


class HeadTooLarge(Exception):
    """``LARGEST_HEAD`` bytes arrived, and no end of the headers."""


class _Patient:
    """A socket on which a thread waits for ``PATIENCE`` at most, where it would wait forever."""

    def setblocking(self, flag: bool) -> None:
        self.settimeout(PATIENCE if flag else 0.0)  # type: ignore[attr-defined]


class PatientSocket(_Patient, socket.socket):
    pass


class PatientSslSocket(_Patient, ssl.SSLSocket):
    pass


@dataclass(eq=False, slots=True)
class Arrival:
    """A connection that no thread has: the next request on it has not arrived as a whole.

    ``deadline`` is of time.monotonic(); it is renewed at the first byte where the connection is
    ``idle``, which is one that was kept after a request. ``whole`` is the length of head and body,
    once known. ``with_body`` is false where the panel answers without the body.
    """

    conn: TConn
    deadline: float
    secure: bool
    idle: bool = False
    data: bytearray = field(default_factory=bytearray)
    searched: int = 0
    whole: int = 0
    with_body: bool = True

    def complete(self) -> bool:
        """Whether what has arrived is a request. Raises HeadTooLarge."""
        if not self.whole:
            end = self.data.find(_END, max(0, self.searched - len(_END)))
            self.searched = len(self.data)
            if end < 0:
                if len(self.data) > LARGEST_HEAD:
                    raise HeadTooLarge
                return False
            self.whole = end + len(_END)
            head = bytes(self.data[: self.whole])
            length = _LENGTH.search(head)
            body = int(length[1]) if length else 0
            if _CHUNKED.search(head) or body > LARGEST_BODY:
                self.with_body = False
            else:
                self.whole += body
        return len(self.data) >= self.whole

    def answer_expectation(self) -> int:
        """Bytes taken out of the head because the client waits for a word before it sends the body:
        the header that says so, else none."""
        end = self.data.find(_END) + len(_END)
        head = bytes(self.data[:end])
        without = _EXPECT.sub(b"", head)
        self.data[:end] = without
        removed = len(head) - len(without)
        self.whole -= removed
        return removed


class WholeRequests(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """The thread worker, with threads for whole requests only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.arrivals: dict[Arrival, None] = {}
        self.lingering: dict[TConn, float] = {}
        self.received = 0
        self._swept = 0.0

    # -- connections -----------------------------------------------------------------------

    def accept(self, listener: Any) -> None:
        """Take a new connection into the loop. The oldest one that waits gives way if there are as
        many as ``worker_connections``."""
        if self.nr_conns >= self.worker_connections - 1 and self.arrivals:
            self._drop(next(iter(self.arrivals)))
        try:
            accepted, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # no file descriptor is left
            self.log.error("Cannot accept a connection: %s", error)
            if self.arrivals:
                self._drop(next(iter(self.arrivals)))
            return
        client: socket.socket = PatientSocket(fileno=accepted.detach())
        try:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            if self.cfg.is_ssl:
                client = self._with_tls(client)
        except OSError as error:
            self.log.error("Cannot take a connection: %s", error)
            client.close()
            return
        conn = TConn(self.cfg, client, address, listener.getsockname())
        conn.initialized = conn.data_ready = True
        conn.parser = http.get_parser(self.cfg, client, address)
        self.nr_conns += 1
        self._await(Arrival(conn, time.monotonic() + ARRIVAL, secure=not self.cfg.is_ssl))

    def _with_tls(self, client: socket.socket) -> socket.socket:
        context = sock.ssl_context(self.cfg)
        context.sslsocket_class = PatientSslSocket
        secured: ssl.SSLSocket = context.wrap_socket(
            client, server_side=True, do_handshake_on_connect=False
        )
        return secured

    def _await(self, arrival: Arrival) -> None:
        self.arrivals[arrival] = None
        self.received += len(arrival.data)
        self.poller.register(
            arrival.conn.sock, selectors.EVENT_READ, partial(self._receive, arrival)
        )

    def _forget(self, arrival: Arrival) -> None:
        del self.arrivals[arrival]
        self.received -= len(arrival.data)
        self.poller.unregister(arrival.conn.sock)

    def _drop(self, arrival: Arrival, word: bytes = b"") -> None:
        """Give a connection up, with a last word if it had begun a request."""
        self._forget(arrival)
        try:
            if not (word and arrival.data):
                raise OSError
            arrival.conn.sock.send(word)
        except OSError:
            self._close(arrival.conn)
        else:
            self._linger(arrival.conn)

    def _close(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()

    # -- what arrives ----------------------------------------------------------------------

    def _receive(self, arrival: Arrival, _socket: Any) -> None:
        """Take what has arrived; give the connection to a thread once that is a whole request."""
        if arrival not in self.arrivals:
            return  # it gave way to a newer one since the poller saw it
        client = arrival.conn.sock
        try:
            if not arrival.secure:
                client.do_handshake()
                arrival.secure = True
                self._listen(arrival, selectors.EVENT_READ)
            for _ in range(_PIECES):
                piece = client.recv(_PIECE)
                if not piece:
                    self._drop(arrival)
                    return
                self._add(arrival, piece)
                if arrival.complete():
                    self._dispatch(arrival)
                    return
                if arrival.whole and (removed := arrival.answer_expectation()):
                    self.received -= removed
                    client.send(_CONTINUE)
            if isinstance(client, ssl.SSLSocket) and client.pending():
                # Decrypted already, so the poller won't report it.
                self.method_queue.defer(self._receive, arrival, client)
        except (ssl.SSLWantReadError, BlockingIOError):
            self._listen(arrival, selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._listen(arrival, selectors.EVENT_WRITE)
        except HeadTooLarge:
            self._drop(arrival, _HEAD_TOO_LARGE)
        except OSError:
            self._drop(arrival)

    def _listen(self, arrival: Arrival, event: int) -> None:
        known = self.poller.get_key(arrival.conn.sock)
        if known.events != event:
            self.poller.modify(arrival.conn.sock, event, known.data)

    def _add(self, arrival: Arrival, piece: bytes) -> None:
        if arrival.idle:
            arrival.idle, arrival.deadline = False, time.monotonic() + ARRIVAL
        arrival.data += piece
        self.received += len(piece)
        while self.received > LARGEST_TOTAL:
            self._drop(
                next(one for one in self.arrivals if one.data and one is not arrival), _TOO_SLOW
            )

    def _dispatch(self, arrival: Arrival) -> None:
        """Give a connection to a thread, which reads what has arrived and nothing else."""
        self._forget(arrival)
        arrival.conn.parser.unreader = IterUnreader(iter([bytes(arrival.data)]))
        arrival.conn.with_body = arrival.with_body
        self.enqueue_req(arrival.conn)

    # -- in a thread -----------------------------------------------------------------------

    def handle_request(self, req: Any, conn: TConn) -> bool:
        if not conn.with_body:
            req.force_close()
        return bool(super().handle_request(req, conn))

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Without waiting for a body that the panel did not read."""
        return conn.with_body and bool(super()._keepalive_after(conn, keepalive))

    # -- afterwards ------------------------------------------------------------------------

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Wait for the next request on this connection, or close it."""
        kept = not fs.cancelled() and not fs.exception() and bool(fs.result())
        if not kept:
            self._linger(conn)
            return
        wait = float(self.cfg.keepalive) if self.alive else LINGER
        arrival = Arrival(conn, time.monotonic() + wait, secure=True, idle=True)
        try:
            conn.sock.setblocking(False)
            self._await(arrival)
        except (OSError, ValueError):  # a thread has closed it
            self._close(conn)
            return
        begun = conn.parser.unreader.take_buffered()
        if begun:
            self._add(arrival, begun)
            try:
                if arrival.complete():
                    self._dispatch(arrival)
            except HeadTooLarge:
                self._drop(arrival, _HEAD_TOO_LARGE)

    def _linger(self, conn: TConn) -> None:
        """Close a connection without losing the end of its answer, as RFC 9112 section 9.6 says,
        and without waiting for the client."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError):  # it is closed already
            self._close(conn)
        else:
            self.lingering[conn] = time.monotonic() + LINGER

    def _drain(self, conn: TConn, _socket: Any) -> None:
        try:
            if conn.sock.recv(_PIECE):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._close_lingering(conn)

    def _close_lingering(self, conn: TConn) -> None:
        if self.lingering.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)
            self._close(conn)

    # -- time ------------------------------------------------------------------------------

    def murder_pending(self) -> None:
        """Give up what took too long: once a second, and named by gunicorn, which calls it."""
        now = time.monotonic()
        if now - self._swept < 1.0:
            return
        self._swept = now
        for arrival in [one for one in self.arrivals if one.deadline <= now]:
            self._drop(arrival, _TOO_SLOW)
        for conn in [one for one, end in self.lingering.items() if end <= now]:
            self._close_lingering(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """Idle connections are ``arrivals`` as well. ``force``: the worker ends."""
        if force:
            for arrival in list(self.arrivals):
                self._drop(arrival)

    def _cap_keepalive(self, deadline: float) -> None:
        for arrival in self.arrivals:
            arrival.deadline = min(arrival.deadline, deadline)
