"""Who asks: a token in ``Authorization: Bearer``, and whether it has the scope for it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from easyapache.address import client_address
from easyapache.models import Server
from mpm.api.problems import Problem
from mpm.api.throttle import Verdict, failures, limiter
from mpm.grants import Scope, scopes_of
from mpm.models import Token
from mpm.roles import agent_class
from mpm.services.actor import Actor, NotFound
from mpm.tokens import Denied, check, may_reach


class Bearer:
    """Authentication of one operation: a valid token with ``scope``, within its rate limit."""

    openapi_security_schema = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token, as an administrator makes it under “API tokens”.",
    }

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def __call__(self, request: HttpRequest) -> Token:
        """Raises Problem 401, 403 or 429."""
        address = client_address(request)
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise unauthorized("Send Authorization: Bearer and a token.")
        token = checked(text.strip(), address)
        verdict = counted(request, token)
        if not verdict.allowed:
            raise throttled(verdict)
        if self.scope not in scopes_of(token.scopes):
            raise Problem(
                403,
                "not_allowed",
                f"This needs the scope {self.scope.value}; the token has "
                f"{', '.join(token.scopes)}.",
            )
        return token


def checked(text: str, address: str) -> Token:
    """The token, or Problem 401; 429 for an address that has been wrong too often."""
    verdict = failures(address, failed=False)
    if not verdict.allowed:
        raise throttled(verdict, "Too many wrong credentials came from this address.")
    try:
        return check(text, address)
    except Denied as error:
        failures(address, failed=True)
        raise unauthorized(str(error), 'error="invalid_token"') from error


def counted(request: HttpRequest, token: Token) -> Verdict:
    """Count this request of the token; the answer will carry what is left."""
    limit = token.per_minute or settings.API_PER_MINUTE
    verdict = limiter().hit(f"token:{token.key_id}", limit)
    request.rate_limit = verdict  # type: ignore[attr-defined]
    return verdict


def unauthorized(detail: str, more: str = "") -> Problem:
    challenge = 'Bearer realm="ea4-mpm-panel"' + (f", {more}" if more else "")
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def throttled(verdict: Verdict, detail: str = "") -> Problem:
    return Problem(
        429,
        "throttled",
        detail or f"More than {verdict.limit} requests a minute. Try again after a pause.",
        headers=verdict.headers,
    )


def token_of(request: HttpRequest) -> Token:
    token: Any = request.auth  # type: ignore[attr-defined]
    if not isinstance(token, Token):
        raise TypeError("Only an operation behind Bearer has a token.")
    return token


def actor_of(request: HttpRequest, token: Token, origin: str = "rest") -> Actor:
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


def reachable(token: Token, name: str) -> Server:
    """The server, if the token may know of it. Raises NotFound, the same for both reasons."""
    server = (
        Server.objects.filter(name=name).first() if len(name) < 64 and "\0" not in name else None
    )
    if server is None or not may_reach(token, server):
        raise NotFound(
            f"There is no server called {name[:80]!r} that this token can reach.",
            code="unknown_server",
        )
    return server


def reachable_names(token: Token) -> list[str] | None:
    """The names of the servers the token may know of; None for all there are or ever were."""
    if not token.sandbox:
        return list(token.servers) or None
    simulated = Server.objects.filter(kind=Server.Kind.SIMULATED)
    if token.servers:
        simulated = simulated.filter(name__in=token.servers)
    return list(simulated.values_list("name", flat=True))
