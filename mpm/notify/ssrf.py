"""Where a webhook may go: never into the panel's own network by accident or by trick.

The name is resolved once, every address it has is judged, and the connection is then made to an
address that was judged. A name that answers differently the second time gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from easyapache.ea4.sentences import Sentence

Resolve = Callable[[str, int], Sequence[str]]
Resolver = Callable[..., list[Any]]
RESOLVE_SECONDS = 4.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        *("2001::/23", "2001:db8::/32", "3fff::/20"),
    )
)
"""IANA's special-purpose networks. Python knows most of them, depending on its version; here they
are the same on every version."""
_GIVEN_OUT = ipaddress.ip_network("2000::/3")
"""The only part of IPv6 that is."""
_PORTS = {"http": 80, "https": 443}
_AS_WRITTEN = "!$%&'()*+,/:;=?@[]~"
"""Characters allowed in a path and query besides letters and digits; all others are escaped."""


class BadDestination(ValueError):
    """An endpoint URL that is not allowed; the message has the reason, without resolved
    addresses."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to connect, and what to call the receiver."""

    address: str
    port: int
    host: str
    scheme: str
    target: str

    @property
    def url(self) -> str:
        """The address to connect to, in the place of the name."""
        literal = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{literal}:{self.port}{self.target}"

    @property
    def host_header(self) -> str:
        literal = f"[{self.host}]" if ":" in self.host else self.host
        return literal if self.port == _PORTS[self.scheme] else f"{literal}:{self.port}"


def parse(url: str) -> SplitResult:
    """Raises BadDestination for any other than a plain http or https URL."""
    if len(url) > 500 or any(ord(character) <= 32 or ord(character) > 126 for character in url):
        raise BadDestination(Sentence("URL must be at most 500 characters without spaces."))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadDestination(Sentence("Invalid URL.")) from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise BadDestination(
            Sentence("URL must start with https:// (or http://) and include a host.")
        )
    if parts.username or parts.password:
        raise BadDestination(Sentence("URL must not include a username or password."))
    if parts.fragment or port == 0:
        raise BadDestination(Sentence("URL must not have a fragment or port 0."))
    return parts


def origin_of(url: str) -> str:
    """Scheme and host of an address, and nothing of what may be secret in the rest."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}"


def resolve(host: str, port: int, resolver: Resolver | None = None) -> list[str]:
    """Every address of a host. Raises BadDestination if it has none, or if the lookup takes too
    long.

    getaddrinfo has no timeout, so it runs in a thread of its own.
    """
    answers: SimpleQueue[list[Any] | Exception] = SimpleQueue()

    def wait() -> None:
        try:
            answers.put((resolver or socket.getaddrinfo)(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    Thread(target=wait, daemon=True).start()
    try:
        found = answers.get(timeout=RESOLVE_SECONDS)
    except Empty:
        raise BadDestination(
            Sentence("Timed out resolving the name {host!r}.", host=host)
        ) from None
    if isinstance(found, Exception):
        raise BadDestination(Sentence("The name {host!r} has no IP address.", host=host)) from found
    return list(dict.fromkeys(str(item[4][0]).split("%")[0] for item in found))


def allowed(address: str, networks: Iterable[str]) -> bool:
    """Whether webhooks may go to this address: a public one, or one in ``networks``."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    inner = _inner(ip)
    for candidate in (ip, inner):
        if any(candidate in ipaddress.ip_network(network) for network in networks):
            return True
    return all(_public(candidate) for candidate in (ip, inner))


def _public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if ip.version == 6 and ip not in _GIVEN_OUT:
        return False
    apart = any(ip in network for network in _NEVER)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not apart


def _inner(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address embedded in an IPv6 one, else itself, so that tunnels don't bypass the
    check."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    teredo = ip.teredo
    return ip.ipv4_mapped or ip.sixtofour or (teredo[1] if teredo else None) or ip


def destination(url: str, networks: Iterable[str], resolve: Resolve = resolve) -> Destination:
    """Resolve and judge an address. Raises BadDestination unless all its addresses may be used."""
    parts = parse(url)
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    networks = list(networks)
    addresses = resolve(host, port)
    if not addresses or not all(allowed(address, networks) for address in addresses):
        raise BadDestination(
            Sentence(
                "{host} is in a private or reserved network. An administrator of the panel can "
                "allow that network with WEBHOOK_ALLOWED_NETWORKS.",
                host=host,
            )
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(addresses[0], port, host, parts.scheme, quote(target, safe=_AS_WRITTEN))
