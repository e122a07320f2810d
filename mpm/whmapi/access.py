"""Authentication and server selection, as in WHM.

``Authorization: whm user:TOKEN`` in any case, and Basic with a token or the password of an account
of this panel. The name beside a token is ignored: the token identifies the caller. A browser
session is not accepted, because functions that change something can be called by GET.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.http import HttpRequest

from mpm.access.roles import ADMINISTRATOR, SUPPORT, agent_class, role_of
from mpm.access.scopes import Scope, scopes_of
from mpm.access.services.actor import Actor
from mpm.access.throttle import guesses
from mpm.access.token_auth import Throttled, actor_of, admit
from mpm.access.tokens import PREFIX, Denied, may_reach
from mpm.models import Token
from mpm.servers.models import Server
from mpm.web.address import client_address
from mpm.whmapi.envelope import Failed
from mpm.whmapi.parameters import Parameters


class AccessDenied(Exception):
    """The credentials are invalid. No details are given."""


class TooMany(Exception):
    """Too many requests, or too many wrong credentials. ``headers`` have the time to retry."""

    def __init__(self, detail: str, headers: dict[str, str]) -> None:
        super().__init__(detail)
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a token, or a person by password (``token`` is None)."""

    actor: Actor
    scopes: frozenset[Scope]
    token: Token | None = None

    def must_have(self, scope: Scope, function: str) -> None:
        if scope not in self.scopes:
            raise Failed(
                f"You do not have permission to call “{function}”: it needs the permission"
                f" “{scope}”."
            )

    def must_reach_everything(self, function: str) -> None:
        """For data of no server: a token limited to some servers, or to simulated ones, must not
        change data shared by all."""
        if self.token is not None and (self.token.sandbox or self.token.servers):
            raise Failed(
                f"You do not have permission to call “{function}”: it changes what all "
                f"servers share, and this token is limited to some of them."
            )

    def reaches(self, server: Server) -> bool:
        return self.token is None or may_reach(self.token, server)


def caller_of(request: HttpRequest) -> Caller:
    """Raises AccessDenied or TooMany."""
    scheme, _, rest = request.headers.get("Authorization", "").strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "whm":
        _, colon, secret = rest.partition(":")
        if not colon:
            raise AccessDenied
        return _by_token(request, secret.strip())
    if scheme.lower() == "basic":
        name, secret = _basic(rest)
        if secret.startswith(PREFIX):
            return _by_token(request, secret)
        return _by_password(request, name, secret)
    raise AccessDenied


def _basic(text: str) -> tuple[str, str]:
    try:
        name, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise AccessDenied from error
    if not colon:
        raise AccessDenied
    return name, secret


def _by_token(request: HttpRequest, text: str) -> Caller:
    try:
        token = admit(request, text)
    except Denied as error:
        raise AccessDenied from error
    except Throttled as error:
        raise TooMany(str(error), error.verdict.headers) from error
    return Caller(actor_of(request, token, "whmapi"), scopes_of(token.scopes), token)


def _by_password(request: HttpRequest, name: str, password: str) -> Caller:
    """A password can be guessed, so wrong ones are counted by address and by account."""
    address = client_address(request)
    verdict = guesses(name, address, failed=False)
    if not verdict.allowed:
        raise TooMany("Too many wrong credentials.", verdict.headers)
    user = authenticate(request, username=name, password=password) if "\0" not in name else None
    if not isinstance(user, User) or role_of(user) not in (ADMINISTRATOR, SUPPORT):
        guesses(name, address, failed=True)
        raise AccessDenied
    role = role_of(user)
    actor = Actor(
        name=user.get_username(),
        role=role,
        user_id=user.pk,
        origin="whmapi",
        address=address,
        agent_class=agent_class(request.headers.get("User-Agent", "")),
        request_id=str(getattr(request, "id", "")),
    )
    return Caller(actor, frozenset(Scope) if role == ADMINISTRATOR else frozenset({Scope.READ}))


def server_meant(request: HttpRequest, parameters: Parameters, caller: Caller) -> Server:
    """From ``server=``, else the requested host name, else WHM_SERVER, else the only server.

    Raises Failed if none of them applies, or if the server is out of the caller's reach.
    """
    named = parameters.text("server") or _by_host(request) or settings.WHM_SERVER
    servers = Server.objects.filter(active=True).order_by("name")
    if named and "\0" not in named:
        found = next((item for item in servers.filter(name=named) if caller.reaches(item)), None)
        if found is None:
            raise Failed(f"There is no server “{named[:63]}” here.")
        return found
    reached = [item for item in servers if caller.reaches(item)]
    if len(reached) != 1:
        names = ", ".join(item.name for item in reached[:20]) or "none"
        raise Failed(f"Name the server with the “server” argument. Servers: {names}.")
    return reached[0]


def _by_host(request: HttpRequest) -> str:
    host = request.get_host().rsplit(":", 1)[0].lower()
    found = Server.objects.filter(active=True, hostname__iexact=host).values_list("name", flat=True)
    return found.first() or ""
