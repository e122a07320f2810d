"""The client's address of a request, from one function.

Throttles, the networks of a token and the history all use it, so that a forged header is never
trusted in one place and not in another.
"""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


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
