"""gunicorn's worker for the panel: a thread is taken when a request has arrived, not before.

gunicorn's own thread worker gives a connection a thread as soon as its first byte is there, and the
thread then waits for the rest. As many connections as there are threads, each with half a request,
keep the panel from everyone else. Here one loop receives TLS handshakes, headers and bodies of all
connections without waiting for any, and each connection has a limited time for them. See
docs/decisions/0019-a-thread-for-whole-requests.md.
"""

from __future__ import annotations

import errno
import re
import resource
import selectors
import socket
import ssl
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
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
"""Bytes of all requests that arrive or wait for a thread. Beyond, the oldest one that arrives and
is larger than a head can be is given up."""
SEND_BUFFER = 256 * 1024
"""Bytes that the kernel takes of an answer while the client reads: every page fits in."""
_PIECE = 64 * 1024
_PIECES = 8
"""Reads of one connection before the others have their turn."""

_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)
_EXPECT = re.compile(rb"^expect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE | re.MULTILINE)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_END = re.compile(rb"\n\r?\n")
"""The empty line after the headers. gunicorn refuses a line that ends without CR, and says so."""


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

    def sendall(self, *args: Any) -> None:
        """Raises BrokenPipeError if the client does not read: no reason for a traceback."""
        try:
            super().sendall(*args)  # type: ignore[misc]
        except TimeoutError as error:
            raise BrokenPipeError(errno.EPIPE, "The client takes no more") from error


class PatientSocket(_Patient, socket.socket):
    pass


class PatientSslSocket(_Patient, ssl.SSLSocket):
    pass


@dataclass(eq=False, slots=True)
class Arrival:
    """A connection that no thread has: the next request on it has not arrived as a whole.

    ``deadline`` is of time.monotonic(); it is renewed at the first byte where the connection is
    ``idle``, which is one that was kept after a request. ``head`` is the length of the head, and
    ``whole`` that of head and body, once known. ``with_body`` is false where the panel answers
    without the body.
    """

    conn: TConn
    deadline: float
    secure: bool
    idle: bool = False
    data: bytearray = field(default_factory=bytearray)
    searched: int = 0
    head: int = 0
    whole: int = 0
    with_body: bool = True

    def complete(self) -> bool:
        """Whether what has arrived is a request. Raises HeadTooLarge."""
        if not self.whole:
            end = _END.search(self.data, max(0, self.searched - 2))
            self.searched = len(self.data)
            if not end:
                if len(self.data) > LARGEST_HEAD:
                    raise HeadTooLarge
                return False
            self.head = self.whole = end.end()
            length = _LENGTH.search(self.data, 0, self.head)
            # As many zeros as gunicorn takes, and no number that is too long for int().
            body = int(length[1].lstrip(b"0")[:16] or b"0") if length else 0
            if body > LARGEST_BODY or _CHUNKED.search(self.data, 0, self.head):
                self.with_body = False
            else:
                self.whole += body
        return len(self.data) >= self.whole

    def answer_expectation(self) -> int:
        """Bytes taken out of the head because the client waits for a word before it sends the body:
        the header that says so, else none. HTTP/1.0 has no such word."""
        head = bytes(self.data[: self.head])
        if head.lstrip().partition(b"\r\n")[0].endswith(b"HTTP/1.0"):
            return 0
        without = _EXPECT.sub(b"", head)
        self.data[: self.head] = without
        removed = len(head) - len(without)
        self.head -= removed
        self.whole -= removed
        return removed


class WholeRequests(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """The thread worker, with threads for whole requests only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Half of the file descriptors remain for what the threads open to answer.
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors != resource.RLIM_INFINITY:
            self.worker_connections = min(self.cfg.worker_connections, descriptors // 2)
        self.arrivals: dict[Arrival, None] = {}
        self.lingering: dict[TConn, float] = {}
        self.received = 0
        self._swept = 0.0
        self._context: ssl.SSLContext | None = None
        self._certificate: list[tuple[int, int]] = []

    # -- connections -----------------------------------------------------------------------

    def accept(self, listener: Any) -> None:
        """Take a new connection into the loop. An older one gives way if there are as many as
        ``worker_connections``."""
        try:
            accepted, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # no file descriptor is left
            self.log.error("Cannot accept a connection: %s", error)
            if not self._make_room():
                time.sleep(0.1)  # the next attempt fails as well until a thread closes something
            return
        if self.nr_conns >= self.worker_connections - 1:
            self._make_room()
        client: socket.socket = PatientSocket(
            accepted.family, accepted.type, accepted.proto, accepted.detach()
        )
        try:
            context = self._tls()
        except OSError as error:
            self.log.error("Cannot offer TLS: %s", error)
            client.close()
            return
        try:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            if context:
                client = context.wrap_socket(
                    client, server_side=True, do_handshake_on_connect=False
                )
        except OSError as error:  # the client has gone already
            self.log.debug("Cannot take a connection: %s", error)
            client.close()
            return
        conn = TConn(self.cfg, client, address, listener.getsockname())
        conn.initialized = conn.data_ready = True
        conn.parser = http.get_parser(self.cfg, client, address)
        self.nr_conns += 1
        self._await(Arrival(conn, time.monotonic() + ARRIVAL, secure=not self.cfg.is_ssl))

    def _make_room(self) -> bool:
        """Close the oldest connection that has its answer, else the oldest that waits for a
        request. False if threads have all of them."""
        if self.lingering:
            self._close_lingering(next(iter(self.lingering)))
        elif self.arrivals:
            self._drop(next(iter(self.arrivals)))
        else:
            return False
        return True

    def _tls(self) -> ssl.SSLContext | None:
        """The certificate is read when its files have changed, which takes longer than a handshake.
        Raises OSError if it cannot be read, or is not that of the key."""
        if not self.cfg.is_ssl:
            return None
        files = [Path(name).stat() for name in (self.cfg.certfile, self.cfg.keyfile) if name]
        certificate = [(one.st_ino, one.st_mtime_ns) for one in files]
        if self._context is None or certificate != self._certificate:
            context: ssl.SSLContext = sock.ssl_context(self.cfg)
            context.sslsocket_class = PatientSslSocket
            self._context, self._certificate = context, certificate
        return self._context

    def _await(self, arrival: Arrival) -> None:
        self.poller.register(
            arrival.conn.sock, selectors.EVENT_READ, partial(self._receive, arrival)
        )
        self.arrivals[arrival] = None

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

    def _receive(self, arrival: Arrival, _socket: Any, begun: bytes = b"") -> None:
        """Take what has arrived; give the connection to a thread once that is a whole request.
        ``begun`` came with the request before."""
        if arrival not in self.arrivals:
            return  # it gave way to a newer one since the poller saw it
        client = arrival.conn.sock
        try:
            if begun and not self._take(arrival, begun):
                return
            if not arrival.secure:
                client.do_handshake()
                arrival.secure = True
                self._listen(arrival, selectors.EVENT_READ)
            for _ in range(_PIECES):
                piece = client.recv(_PIECE)
                if not piece:
                    self._drop(arrival)
                    return
                if not self._take(arrival, piece):
                    return
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

    def _take(self, arrival: Arrival, piece: bytes) -> bool:
        """Whether the connection is still in the loop, because more has to arrive.
        Raises HeadTooLarge and OSError."""
        if arrival.idle:
            arrival.idle = False
            arrival.deadline = time.monotonic() + (ARRIVAL if self.alive else LINGER)
        arrival.data += piece
        self.received += len(piece)
        while self.received > LARGEST_TOTAL:
            large = next((one for one in self.arrivals if len(one.data) > LARGEST_HEAD), None)
            if large is None:
                break  # threads will soon have answered the others
            self._drop(large, _TOO_SLOW)
            if large is arrival:
                return False
        headless = not arrival.head
        if arrival.complete():
            self._dispatch(arrival)
            return False
        if headless and arrival.head and (removed := arrival.answer_expectation()):
            self.received -= removed
            arrival.conn.sock.send(_CONTINUE)
        return True

    def _dispatch(self, arrival: Arrival) -> None:
        """Give a connection to a thread, which reads what has arrived and nothing else."""
        self._forget(arrival)
        arrival.conn.held = len(arrival.data)
        self.received += arrival.conn.held
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
        self.received -= conn.held
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
            self._receive(arrival, conn.sock, begun)

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
        """Give up what took too long: once a second, or at each turn while the worker ends. It is
        gunicorn that calls it, and named it."""
        now = time.monotonic()
        if self.alive and now - self._swept < 1.0:
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
