"""What a token may do: scopes, servers, networks. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

from easyapache.ea4.sentences import Sentence


class Scope(StrEnum):
    """``admin`` manages tokens and webhooks and may do all the rest."""

    READ = "read"
    PLAN = "plan"
    CHANGE = "change"
    ROLLBACK = "rollback"
    ADMIN = "admin"


_IMPLIED = {
    Scope.READ: {Scope.READ},
    Scope.PLAN: {Scope.READ, Scope.PLAN},
    Scope.CHANGE: {Scope.READ, Scope.PLAN, Scope.CHANGE},
    Scope.ROLLBACK: {Scope.READ, Scope.ROLLBACK},
    Scope.ADMIN: set(Scope),
}


class BadGrant(ValueError):
    """A scope, network or server name that does not exist. The message lists those that do."""


def scopes_of(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes that ``names`` amount to: who may change may also look."""
    return _amount_to(tuple(names))


@lru_cache(maxsize=256)
def _amount_to(names: tuple[str, ...]) -> frozenset[Scope]:
    found: set[Scope] = set()
    for name in names:
        if name in set(Scope):
            found |= _IMPLIED[Scope(name)]
    return frozenset(found)


def checked_scopes(names: Iterable[str]) -> list[str]:
    """In the order of Scope, without repetition. Raises BadGrant."""
    wanted = set(names)
    unknown = sorted(wanted - set(Scope))
    if unknown:
        raise BadGrant(
            Sentence(
                "Unknown scope {unknown!r}. Use {scopes}.",
                unknown=unknown[0][:40],
                scopes=", ".join(Scope),
            )
        )
    if not wanted:
        raise BadGrant(Sentence("A token needs at least one scope."))
    return [scope.value for scope in Scope if scope in wanted]


def checked_networks(texts: Iterable[str]) -> list[str]:
    """Networks in CIDR notation, a single address as its own network. Raises BadGrant."""
    found = []
    for text in texts:
        try:
            found.append(str(ipaddress.ip_network(text.strip(), strict=False)))
        except ValueError as error:
            raise BadGrant(
                Sentence(
                    "{text!r} is not a network. Use a format such as 192.0.2.7 or 198.51.100.0/24.",
                    text=text[:50],
                )
            ) from error
    return list(dict.fromkeys(found))


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address lies in one of the networks; with no networks, always.

    An IPv4 address that arrived as IPv6 (``::ffff:192.0.2.7``) is the IPv4 address.
    """
    networks = list(networks)
    if not networks:
        return True
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    meant = {ip}
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        meant.add(ip.ipv4_mapped)
    return any(one in ipaddress.ip_network(network) for network in networks for one in meant)


def no_wider(networks: Iterable[str], than: Iterable[str]) -> bool:
    """Whether every address in ``networks`` is also in ``than``; both as stored, where an empty
    list means any address."""
    outer = [ipaddress.ip_network(text) for text in than]
    inner = [ipaddress.ip_network(text) for text in networks]
    if not outer:
        return True
    return bool(inner) and all(any(_inside(net, other) for other in outer) for net in inner)


def _inside(
    net: ipaddress.IPv4Network | ipaddress.IPv6Network,
    other: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> bool:
    if isinstance(net, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and net.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and net.subnet_of(other)
