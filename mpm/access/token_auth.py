"""Authenticates a token for any interface: checked, counted, and named for history."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from mpm.access.roles import agent_class
from mpm.access.services.actor import Actor
from mpm.access.throttle import Verdict, limiter, wrong_secrets
from mpm.access.tokens import Beside, Denied, check_and_read, key_id_of
from mpm.models import Token
from mpm.web.address import client_address
from mpm.web.background_parts import note_unknown_proxy


class Throttled(Exception):
    """Too many requests. ``verdict`` has the time of the next accepted one."""

    def __init__(self, detail: str, verdict: Verdict) -> None:
        super().__init__(detail)
        self.verdict = verdict


def admit(request: HttpRequest, text: str) -> Token:
    """The token with the text ``text``. Raises Denied, and Throttled for too many requests or too
    many wrong secrets.

    A valid token is accepted whatever else its address sends, which a proxy or a whole company may
    share: its secret has 256 bits, so refusing it would protect nothing. ``request.rate_limit``
    then has the limits for the response.
    """
    return admit_and_read(request, text, None)[0]


def admit_and_read(
    request: HttpRequest, text: str, beside: Beside | None
) -> tuple[Token, tuple[Any, ...]]:
    """``admit``, and the row of ``beside`` from the same query."""
    note_unknown_proxy(request)
    address = client_address(request)
    try:
        token, row = check_and_read(text, address, beside)
    except Denied as error:
        if error.token is None:
            verdict = wrong_secrets(key_id_of(text), address)
            if not verdict.allowed:
                raise Throttled(
                    "Too many wrong tokens from this address or for this key id.", verdict
                ) from error
        else:
            # An old secret that is still in use somewhere is held to its own limit: it must not
            # lock out every client with the same address.
            _count(request, error.token)
        raise
    _count(request, token)
    return token, row


def _count(request: HttpRequest, token: Token) -> None:
    limit = token.per_minute or settings.API_PER_MINUTE
    verdict = limiter().hit(f"token:{token.key_id}", limit)
    request.rate_limit = verdict  # type: ignore[attr-defined]
    if not verdict.allowed:
        raise Throttled(f"More than {limit} requests per minute. Try again later.", verdict)


def actor_of(request: HttpRequest, token: Token, origin: str) -> Actor:
    """The token as the actor of services and history. Only for operations with a scope beyond
    reading: the role means that the token may make this change."""
    return Actor(
        name=token.name,
        role="token",
        origin=origin,
        token_name=token.name,
        address=client_address(request),
        agent_class=agent_class(request.headers.get("User-Agent", "")),
        request_id=str(getattr(request, "id", "")),
    )
