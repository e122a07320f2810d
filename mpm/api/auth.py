"""Authentication: a token in ``Authorization: Bearer`` with the required scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

from mpm.access import token_auth
from mpm.access.scopes import Scope, scopes_of
from mpm.access.services.actor import Actor, NotFound
from mpm.access.token_auth import Throttled, admit
from mpm.access.tokens import Denied, may_reach
from mpm.api.parameters import check_headers, check_query, refused_type
from mpm.api.problems import Problem, invalid
from mpm.changes.services.lookup import check_server
from mpm.models import Token
from mpm.servers.models import Server

Admit = Callable[[HttpRequest, str], Token]
"""Raises Denied and Throttled."""


class Bearer:
    """Authentication of one operation: a valid token with ``scope``, within its rate limit.

    ``admitted`` takes the place of ``token_auth.admit``, which it calls, where more is read with
    the token."""

    openapi_security_schema = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token. An administrator creates it under **API tokens**, or on the "
        "panel's machine with `manage.py mpm token create NAME --scope read`.",
    }

    def __init__(self, scope: Scope, admitted: Admit = admit) -> None:
        self.scope = scope
        self._admitted = admitted

    def __call__(self, request: HttpRequest) -> Token:
        """Raises Problem 401, 403 or 429; 415 for a body that is not JSON; and 422 for a query
        parameter that does not exist, or an empty header that must not be."""
        if (operator := operator_of(request)) is not None:
            return _everything(operator)
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise unauthorized("Send Authorization: Bearer with a token.")
        try:
            token = self._admitted(request, text.strip())
        except Denied as error:
            raise unauthorized(str(error), 'error="invalid_token"') from error
        except Throttled as error:
            raise Problem(429, "throttled", str(error), headers=error.verdict.headers) from error
        if self.scope not in scopes_of(token.scopes):
            raise Problem(
                403,
                "not_allowed",
                f"This needs the permission {self.scope.value}; the token has "
                f"{', '.join(token.scopes)}.",
            )
        check_query(request)
        check_headers(request)
        if refused := refused_type(request):
            raise refused
        return token


def by_operator(request: HttpRequest, actor: Actor) -> None:
    """Mark a request made by a command in this process: it belongs to ``actor`` and has no token. A
    request from the network can't have this mark."""
    request.operator = actor  # type: ignore[attr-defined]


def operator_of(request: HttpRequest) -> Actor | None:
    """The actor of a request in this process; None for one from the network."""
    operator: Actor | None = getattr(request, "operator", None)
    return operator


def _everything(operator: Actor) -> Token:
    """What an operator may do, as a token that exists nowhere."""
    scopes = [scope.value for scope in Scope]
    return Token(name=operator.name, created_by_name=operator.name, scopes=scopes)


def unauthorized(detail: str, more: str = "") -> Problem:
    challenge = 'Bearer realm="ea4-mpm-panel"' + (f", {more}" if more else "")
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def token_of(request: HttpRequest) -> Token:
    token: Any = request.auth  # type: ignore[attr-defined]
    if not isinstance(token, Token):
        raise TypeError("Only an operation behind Bearer has a token.")
    return token


def actor_of(request: HttpRequest, token: Token) -> Actor:
    return operator_of(request) or token_auth.actor_of(request, token, "rest")


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


def checked_name(token: Token, name: str) -> str:
    """``name``, if it is "" or a current or former server within the token's reach. Raises Problem
    422, the same for an unknown server and one out of reach."""
    if not name:
        return name
    names = reachable_names(token)
    try:
        check_server(name)
    except NotFound:
        names = []
    if names is not None and name not in names:
        raise invalid(
            f"There is no server called {name[:63]!r} that this token can reach.",
            "unknown_server",
            parameter="server",
        )
    return name


def reachable_names(token: Token) -> list[str] | None:
    """The names of the servers the token may know of; None for all there are or ever were."""
    if not token.sandbox:
        return list(token.servers) or None
    simulated = Server.objects.filter(kind=Server.Kind.SIMULATED)
    if token.servers:
        simulated = simulated.filter(name__in=token.servers)
    return list(simulated.values_list("name", flat=True))
