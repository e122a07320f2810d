"""How a token comes in, at whichever door: checked, counted, and named for history."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from mpm.access.roles import agent_class
from mpm.access.services.actor import Actor
from mpm.access.throttle import Verdict, limiter, wrong_secrets
from mpm.access.tokens import Denied, check, key_id_of
from mpm.models import Token
from mpm.web.address import client_address
from mpm.web.background_parts import note_unknown_proxy


class Throttled(Exception):
    """Too many requests. ``verdict`` says when the next one is let through."""

    def __init__(self, detail: str, verdict: Verdict) -> None:
        super().__init__(detail)
        self.verdict = verdict


def admit(request: HttpRequest, text: str) -> Token:
    """The token that ``text`` is. Raises Denied, and Throttled for a token that asks too often
    or a wrong secret after too many others.

    A valid token is let in whatever else comes from its address, which a proxy or a whole company
    may share: its secret has 256 bits, so nothing is won by refusing those who know it.
    ``request.rate_limit`` is then what the answer has to tell.
    """
    note_unknown_proxy(request)
    address = client_address(request)
    try:
        token = check(text, address)
    except Denied as error:
        if error.token is None:
            verdict = wrong_secrets(key_id_of(text), address)
            if not verdict.allowed:
                raise Throttled(
                    "Too many wrong tokens from this address or for this key id.", verdict
                ) from error
        else:
            # An old secret that is still in use somewhere is held to its own limit: it must not
            # lock out everybody who comes from the same address.
            _count(request, error.token)
        raise
    _count(request, token)
    return token


def _count(request: HttpRequest, token: Token) -> None:
    limit = token.per_minute or settings.API_PER_MINUTE
    verdict = limiter().hit(f"token:{token.key_id}", limit)
    request.rate_limit = verdict  # type: ignore[attr-defined]
    if not verdict.allowed:
        raise Throttled(f"More than {limit} requests per minute. Try again later.", verdict)


def actor_of(request: HttpRequest, token: Token, origin: str) -> Actor:
    """The token as services and history want it. Only for operations that asked for a scope
    beyond reading: the role says that the token may change what the service changes."""
    return Actor(
        name=token.name,
        role="token",
        origin=origin,
        token_name=token.name,
        address=client_address(request),
        agent_class=agent_class(request.headers.get("User-Agent", "")),
        request_id=str(getattr(request, "id", "")),
    )
