"""Addresses as httpd's configuration writes them, compared as what they are.

One address has many spellings: ``::``, ``0:0:0:0:0:0:0:0`` and ``0::0`` are all of this machine's
IPv6 addresses, ``2001:DB8::1`` is the kernel's ``2001:db8::1``.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import IPv6Address, ip_address

ANY_4, ANY_6 = "", "::"
"""How all addresses of this machine are written here: of the one kind or both, and IPv6 alone."""
_ANYWHERE = ("", "*", "_default_")


def canonical(written: str) -> str:
    """An address as the kernel writes it, wildcards as ``ANY_4`` or ``ANY_6``; a name is kept."""
    address = written.strip("[]").lower() if ":" in written else written
    if address.lower() in _ANYWHERE:
        return ANY_4
    address = _plain(address)
    return ANY_4 if address == "0.0.0.0" else address


def _plain(address: str) -> str:
    """``127.0.0.01`` and ``::ffff:127.0.0.1`` are ``127.0.0.1``. So is ``localhost``; any other
    name is kept."""
    if address.lower() == "localhost":
        return "127.0.0.1"
    try:
        if ":" not in address:
            # As httpd's own resolver: parts may be octal or left out.
            return socket.inet_ntoa(socket.inet_aton(address)) if address[:1].isdigit() else address
        six = IPv6Address(address.partition("%")[0])
    except (OSError, ValueError):
        return address
    return str(six.ipv4_mapped or six)


def everywhere(written: str) -> bool:
    """Whether this spells all addresses, of IPv4, IPv6 or both."""
    return canonical(written) in (ANY_4, ANY_6)


def reachable_at(address: str) -> str:
    """Where a listener of this machine is reached from this machine."""
    return {ANY_4: "127.0.0.1", ANY_6: "::1"}.get(canonical(address), address)


def own_addresses(listeners: list[str]) -> list[str]:
    """The machine's own addresses among the listeners, without those every loopback device has.
    Names are resolved; those that don't resolve are left out."""
    found: set[str] = set()
    for address in listeners:
        if everywhere(address):
            continue
        with suppress(OSError, UnicodeError):
            for *_, target in socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM):
                host = canonical(str(target[0]).partition("%")[0])
                own = ip_address(host or "0.0.0.0")
                if not (own.is_loopback or own.is_unspecified):
                    found.add(host)
    return sorted(found)
