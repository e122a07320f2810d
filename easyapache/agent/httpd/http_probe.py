"""One HTTP request to a given address with a given Host, without redirects.

Requests name the server's own sites, while the connection is made to one of its listeners, whatever
DNS resolves the name to.
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import select
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from easyapache.agent.server import Stop, Stopped, never

BODY_LIMIT = 1 << 20
"""Bytes of a response that are read; a longer one counts as *at least this long*."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Only ``error`` is set when there was no HTTP response."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""


_SLICE = 0.2
"""Seconds between two looks whether the request is still wanted."""


class _Patience:
    """How long one request may take as a whole, from the first packet to the last."""

    def __init__(self, limit: float, stop: Stop) -> None:
        self.limit, self.stop = limit, stop
        self._end = time.monotonic() + limit

    def next_wait(self) -> float:
        """Seconds to wait now. Raises TimeoutError when the time is over, Stopped on request."""
        if self.stop():
            raise Stopped
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no complete answer within {self.limit:.0f} s")
        return min(left, _SLICE)

    def until(self, end: socket.socket, writable: bool) -> None:
        """Wait until the socket can be written to, or read."""
        poll = select.poll()
        poll.register(end, select.POLLOUT if writable else select.POLLIN)
        while not poll.poll(self.next_wait() * 1000):
            pass


class _Stream(io.RawIOBase):
    """What a socket without blocking brings, read within a patience."""

    def __init__(self, end: socket.socket, patience: _Patience) -> None:
        self._end, self._patience = end, patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            # Also between two bytes that are there at once: an endless answer ends as well.
            self._patience.next_wait()
            try:
                return self._end.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._patience.until(self._end, writable=False)
            except ssl.SSLWantWriteError:
                self._patience.until(self._end, writable=True)


class _Socket:
    """The part of a socket that http.client needs. The real one is closed by its opener."""

    def __init__(self, end: socket.socket, patience: _Patience) -> None:
        self._end, self._patience = end, patience

    def makefile(self, mode: str) -> io.BufferedReader:
        if mode != "rb":
            raise ValueError(mode)
        return io.BufferedReader(_Stream(self._end, self._patience))

    def sendall(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self._end.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._patience.until(self._end, writable=True)
            except ssl.SSLWantReadError:
                self._patience.until(self._end, writable=False)

    def close(self) -> None:
        """http.client closes as soon as it has the headers, and reads on."""


def _opened(peer: tuple[str, int], patience: _Patience) -> socket.socket:
    """A connection to the first of the peer's addresses that takes one. Raises OSError."""
    failed: OSError = OSError(f"{peer[0]} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(*peer, type=socket.SOCK_STREAM):
        end = socket.socket(family, kind, protocol)
        try:
            end.setblocking(False)
            number = end.connect_ex(address)
            if number == errno.EINPROGRESS:
                patience.until(end, writable=True)
                number = end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not number:
                return end
            failed = OSError(number, os.strerror(number))
        except BaseException:
            end.close()
            raise
        end.close()
    raise failed


def _with_tls(plain: socket.socket, name: str, patience: _Patience) -> ssl.SSLSocket:
    """The same connection after the handshake; ``plain`` is detached even if that fails."""
    try:
        end = _tls_context().wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
    except BaseException:
        plain.close()
        raise
    try:
        while True:
            try:
                end.do_handshake()
                return end
            except ssl.SSLWantReadError:
                patience.until(end, writable=False)
            except ssl.SSLWantWriteError:
                patience.until(end, writable=True)
    except BaseException:
        end.close()
        raise


def _tls_context() -> ssl.SSLContext:
    """Certificates are not checked: only whether this server answers as before matters, and on
    loopback its certificates are for other hosts or self-signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fetch(
    url: str,
    *,
    host: str = "",
    peer: tuple[str, int] | None = None,
    method: str = "GET",
    limit: float = 10.0,
    stop: Stop = never,
) -> Answer:
    """Request ``url``; ``host`` is the Host header (and SNI), ``peer`` where to connect instead of
    the URL's own host. ``limit`` bounds the whole in seconds: connection, headers and body, however
    slowly they arrive. Raises Stopped shortly after ``stop()`` becomes true."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    target = peer or (parts.hostname or "127.0.0.1", port)
    path = parts.path or "/"
    if parts.query:
        path += f"?{parts.query}"
    headers = {
        "Host": host or parts.netloc,
        "User-Agent": "easyapache-mpm-check",
        "Connection": "close",
        "Accept": "*/*",
    }
    name = host.split(":")[0] or parts.hostname or "localhost"
    patience = _Patience(limit, stop)
    end: socket.socket | None = None
    try:
        connection = http.client.HTTPConnection(name, target[1])
        end = _opened(target, patience)
        if tls:
            end = _with_tls(end, name, patience)
        connection.sock = cast("socket.socket", _Socket(end, patience))
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read(BODY_LIMIT)
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # ValueError: a name that is invalid in a Host header or in TLS, as one that was written
        # into a configuration in another encoding.
        return Answer(error=f"{type(error).__name__}: {error}")
    finally:
        if end is not None:
            end.close()
