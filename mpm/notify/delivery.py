"""One attempt to deliver: to a checked address, within a time limit.

A limit per read would let a slow receiver hold its sender indefinitely. Here every wait of an
attempt gets the rest of the total limit.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore
from django.conf import settings

from mpm.notify.ssrf import BadDestination, Destination, destination

CONNECT_SECONDS, ATTEMPT_SECONDS = 5.0, 10.0
"""To be connected, and for all of an attempt from there on."""
KEPT_ANSWER = 500
_PIECE = 4096


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: the receiver's response, or why there was none."""

    status: int | None
    error: str
    answer: str
    milliseconds: int

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def send(
    url: str, signature: dict[str, str], body: bytes, seconds: float = ATTEMPT_SECONDS
) -> Attempt:
    """Deliver once, within ``seconds`` of finding the address. Follows no redirect, reads little
    of the answer, and sends nothing that is not signed."""
    began = time.monotonic()

    def attempt(status: int | None, error: str, answer: str = "") -> Attempt:
        return Attempt(status, error, answer, int((time.monotonic() - began) * 1000))

    if not signature:
        return attempt(None, "The secret of this webhook can't be read. Rotate it.")
    try:
        to = destination(url, settings.WEBHOOK_ALLOWED_NETWORKS)
    except BadDestination as error:
        return attempt(None, str(error))
    try:
        status, answer = _post(to, signature, body, time.monotonic() + seconds)
    except httpcore.TimeoutException as error:
        kind = type(error).__name__
        return attempt(None, f"{kind}: no complete response within {seconds:g} seconds.")
    except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as error:
        return attempt(None, f"{type(error).__name__}: {error}"[:300])
    problem = "" if 200 <= status < 300 else f"The endpoint returned {status}."
    return attempt(status, problem, answer)


def _post(
    to: Destination, signature: dict[str, str], body: bytes, deadline: float
) -> tuple[int, str]:
    headers: list[tuple[bytes | str, bytes | str]] = [
        ("Host", to.host_header),
        ("Content-Type", "application/json"),
        ("User-Agent", "ea4-mpm-panel webhooks"),
        *signature.items(),
    ]
    with (
        httpcore.ConnectionPool(network_backend=_Backend(deadline)) as pool,
        pool.stream(
            "POST",
            to.url,
            headers=headers,
            content=body,
            extensions={"sni_hostname": to.host},
        ) as response,
    ):
        return response.status, _beginning(response.iter_stream())


def _beginning(pieces: Iterable[bytes]) -> str:
    """The start of the response body. The status is known already: a response that breaks off or
    takes too long still counts."""
    content = b""
    try:
        for piece in pieces:
            content += piece
            if len(content) >= KEPT_ANSWER:
                break
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        pass
    return content[:KEPT_ANSWER].decode("utf-8", "replace").replace("\x00", "")


class _Backend(httpcore.NetworkBackend):
    """Makes connections on which nothing waits beyond ``deadline``."""

    def __init__(self, deadline: float) -> None:
        self._plain, self._deadline = httpcore.SyncBackend(), deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  # the one that counts is the whole's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = min(CONNECT_SECONDS, _left(self._deadline, httpcore.ConnectTimeout))
        stream = self._plain.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _left(self._deadline, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        for start in range(0, len(buffer), _PIECE):
            left = _left(self._deadline, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _PIECE], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, over: type[Exception]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise over("the attempt timed out")
    return left
