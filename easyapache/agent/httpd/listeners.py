"""How each listener of a server is reached: at which local address, and with TLS or not."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence

from easyapache.agent.httpd.addresses import everywhere, reachable_at
from easyapache.agent.httpd.apache_config import ApacheConfig
from easyapache.agent.httpd.sockets import is_address

_LIMIT, _ALL = 2.0, 5.0
"""Seconds for one listener, and for all of them, to show their protocol."""
_PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")
"""OpenSSL's reasons for a server that answers in plain HTTP."""


def ways_in(conf: ApacheConfig, places: Sequence[tuple[str, int]]) -> list[tuple[str, int, bool]]:
    """(address, port, TLS) of the listeners at ``places``, which are (address, port) of open
    sockets. A wildcard socket does not show its address family; the configuration does if it names
    the port. The configuration has TLS by port, but only one address of a port may use it: the
    running listener is probed, and the configuration counts if it does not answer in time."""
    tls, end = conf.tls_ports(), time.monotonic() + _ALL
    return [
        (host, port, port in tls and not (time.monotonic() < end and _is_plain_http(host, port)))
        for host, port in (
            (reachable_at(address), port) for address, port in _addresses_of(conf, places)
        )
    ]


def _addresses_of(conf: ApacheConfig, places: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    ports = {port for _, port in places}
    named = [
        (address, port)
        for address, port in conf.listeners()
        if port in ports and (everywhere(address) or is_address(address))
    ]
    configured = {port for _, port in named}
    return [*named, *((address, port) for address, port in places if port not in configured)]


def _is_plain_http(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=_LIMIT) as connection:
            context.wrap_socket(connection).close()
    except ssl.SSLError as error:
        return error.reason in _PLAIN
    except (OSError, UnicodeError):
        return False  # no listener there, or a name that does not resolve
    return False
