"""Where a request comes from: the one function that says so.

Throttles, the networks of a token and the history all ask here, so that no header that a
client can forge decides in one place and not in another.
"""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address of the client, as text; "" when the server was reached by a UNIX socket
    and no trusted proxy names anybody.

    With ``TRUSTED_PROXIES`` = n, the n-th entry of X-Forwarded-For from the right was written
    by the outermost proxy of our own; everything to the left of it is hearsay. A header with
    fewer entries, or an entry that is no address, did not pass our proxies: then the
    peer itself is meant.
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
    """Whether something in front of the panel says who the client is, and nobody believes it.

    Then all clients have one address, and share what is counted and allowed by address.
    """
    return settings.TRUSTED_PROXIES < 1 and "HTTP_X_FORWARDED_FOR" in request.META
