"""The client's address of a request, and the panel's own, each from one function.

Throttles, the networks of a token and the history all use the client's, so that a forged header is
never trusted in one place and not in another.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest

from easyapache.tickets import LOOPBACK, origin


def client_address(request: HttpRequest) -> str:
    """The address of the client, as text; "" for a UNIX socket without an address from a trusted
    proxy.

    With ``TRUSTED_PROXIES`` = n, the n-th entry of X-Forwarded-For from the right was written by
    the outermost proxy of our own; everything to the left of it can be forged. A header with fewer
    entries, or an invalid entry, did not pass our proxies: then the peer's address is used.
    """
    peer = str(request.META.get("REMOTE_ADDR") or "")
    trusted: int = settings.TRUSTED_PROXIES
    if trusted < 1:
        return peer
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if len(hops) < trusted:
        return peer
    try:
        return str(ipaddress.ip_address(hops[-trusted]))
    except ValueError:
        return peer


def passed_an_unknown_proxy(request: HttpRequest) -> bool:
    """Whether a proxy in front of the panel reports the client's address, but is not trusted.

    Then all clients have one address, and share limits and permissions by address.
    """
    return settings.TRUSTED_PROXIES < 1 and "HTTP_X_FORWARDED_FOR" in request.META


def knows_its_address() -> bool:
    """Whether the panel can check that a ticket from WHM was made for it: by PANEL_URL, or because
    only one name leads to it from elsewhere. A name that a client may choose proves nothing."""
    if settings.PANEL_URL:
        return _of_the_setting() != ""
    names = _names_from_elsewhere()
    return len(names) <= 1 and not any(name.startswith((".", "*")) for name in names)


def own_origin(request: HttpRequest) -> str:
    """Scheme, host and port of the panel, "" where they are not known (``knows_its_address``).

    Without PANEL_URL they are those of the request: by the single name, or, on the machine itself,
    by a name that every machine has.
    """
    if settings.PANEL_URL:
        return _of_the_setting()
    named = origin(f"{request.scheme}://{request.get_host()}")
    if urlsplit(named).hostname in {name.strip("[]") for name in LOOPBACK}:
        return named
    return named if knows_its_address() else ""


def _of_the_setting() -> str:
    """PANEL_URL may have a path; a ticket is for the host."""
    parts = urlsplit(settings.PANEL_URL)
    return origin(f"{parts.scheme}://{parts.netloc}")


def _names_from_elsewhere() -> list[str]:
    names: list[str] = settings.ALLOWED_HOSTS
    return [name for name in dict.fromkeys(names) if name not in LOOPBACK]
