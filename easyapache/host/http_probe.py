"""One HTTP request, exactly as asked: to a given address, with a given Host, no redirects.

The server under change is asked about by its own sites' names while the connection goes to
one of its listeners, which no DNS name may stand in the way of.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

BODY_LIMIT = 1 << 20
"""Bytes of an answer that are read; what is beyond only counts as *at least so long*."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``error`` is set, and nothing else is, when no HTTP answer came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""


class _Connection(http.client.HTTPConnection):
    """Connects to ``peer`` whatever the host of the URL is; TLS names the host (SNI)."""

    def __init__(self, host: str, peer: tuple[str, int], tls: bool, limit: float) -> None:
        super().__init__(host, peer[1], timeout=limit)
        self._peer, self._tls, self._name = peer, tls, host

    def connect(self) -> None:
        plain = socket.create_connection(self._peer, timeout=self.timeout)
        self.sock = (
            _tls_context().wrap_socket(plain, server_hostname=self._name) if self._tls else plain
        )


def _tls_context() -> ssl.SSLContext:
    """Certificates are not checked: the question is whether this server answers as before,
    and on loopback its certificates name other hosts or are its own."""
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
) -> Answer:
    """Request ``url``; ``host`` is the Host header (and SNI), ``peer`` where to connect
    instead of the URL's own host. ``limit`` in seconds bounds each wait."""
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
    try:
        connection = _Connection(name, target, tls, limit)
    except http.client.InvalidURL as error:
        return Answer(error=f"{type(error).__name__}: {error}")
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read(BODY_LIMIT)
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # ValueError: a name that cannot stand in a Host header or in TLS, as one that was
        # written into a configuration in another encoding.
        return Answer(error=f"{type(error).__name__}: {error}")
    finally:
        connection.close()
