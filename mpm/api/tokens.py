"""``/tokens``: made, listed, updated, rotated and revoked; and what the token itself may do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field, StrictInt

from mpm.access import tokens
from mpm.access.scopes import BadGrant, Scope, checked_networks, no_wider, scopes_of
from mpm.access.services.actor import NotAllowed, NotFound
from mpm.api.auth import Bearer, actor_of, checked_name, reachable_names, token_of
from mpm.api.paging import Cursor, Limit, cut, link_next
from mpm.api.problems import invalid
from mpm.api.shapes import Flag, Line, Moment, Names, ServerName, Wish, unset
from mpm.api.statuses import DESCRIBED, problems
from mpm.models import Token
from mpm.schemas.token import IMPLIED_REMOVALS, NewToken
from mpm.schemas.token import Token as TokenSchema

router = Router(tags=["tokens"], by_alias=True)
Permission = Literal["read", "plan", "change", "rollback", "admin"]
States = Annotated[
    list[Literal["active", "expired", "revoked"]] | None,
    Query(None, max_length=10, description="Repeat it, or separate several with commas."),
]


class TokenIn(Wish):
    """A token to create. It can never do more than the token that creates it."""

    name: Annotated[Line, Field(min_length=1)]
    purpose: Annotated[str, Field(max_length=300)] = ""
    scopes: Annotated[list[Permission], Field(min_length=1)]
    servers: Names = Field(default_factory=list, description="Empty: the same as this token.")
    networks: Names = Field(default_factory=list, description="Empty: the same as this token.")
    sandbox: Flag = Field(False, description="Reaches simulated servers only.")
    implied_removals: Flag = Field(False, description=IMPLIED_REMOVALS)
    expires_at: Moment | None = None
    per_minute: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = None


class TokenUpdate(Wish):
    """What to change. Fields that are left out stay as they are."""

    name: Annotated[Line, Field(min_length=1)] = unset()
    purpose: Annotated[str, Field(max_length=300)] = unset()
    implied_removals: Flag = unset(IMPLIED_REMOVALS)


class RotateIn(Wish):
    """When the old token expires."""

    overlap_hours: Annotated[
        StrictInt, Field(ge=0, le=720, description="How long the old token still works.")
    ] = 24


class TokenList(Schema):
    """Tokens, newest first."""

    items: list[TokenSchema]
    next: str | None = Field(description="`cursor` of the next page.")


@router.get(
    "token",
    auth=Bearer(Scope.READ),
    response={200: TokenSchema, problems(Scope.READ, named=False): DESCRIBED},
    operation_id="getOwnToken",
    summary="Get this token",
)
def own_token(request: HttpRequest) -> TokenSchema:
    """The token that makes this request."""
    return TokenSchema.of(token_of(request), timezone.now())


@router.get(
    "tokens",
    auth=Bearer(Scope.ADMIN),
    response={200: TokenList, problems(Scope.ADMIN, named=False): DESCRIBED},
    operation_id="listTokens",
    summary="List tokens",
)
def list_tokens(
    request: HttpRequest,
    response: HttpResponse,
    *,
    state: States,
    scope: Annotated[
        Permission | None,
        Query(description="Tokens with this permission, including through another one."),
    ] = None,
    server: ServerName = "",
    cursor: Cursor,
    limit: Limit,
) -> dict[str, Any]:
    """Tokens that can do no more than this one, newest first."""
    own, now = token_of(request), timezone.now()
    server = checked_name(own, server)
    rows = [
        row
        for row in Token.objects.select_related("replaces").order_by("-pk")
        if _covers(own, row)
        and (not state or row.state(now) in state)
        and (scope is None or Scope(scope) in scopes_of(row.scopes))
        and (not server or not row.servers or server in row.servers)
    ]
    found, more = cut(rows, cursor, limit, lambda row: row.pk)
    return {
        "items": [TokenSchema.of(row, now) for row in found],
        "next": link_next(request, response, more),
    }


@router.post(
    "tokens",
    auth=Bearer(Scope.ADMIN),
    response={201: NewToken, problems(Scope.ADMIN, named=False, body=True): DESCRIBED},
    operation_id="createToken",
    summary="Create a token",
)
def create_token(request: HttpRequest, body: TokenIn, response: HttpResponse) -> Any:
    """It can never do more than this token: not on other servers, not from other networks, not
    longer, and not outside the sandbox. The first token is created by an administrator under
    **API tokens**, or on the panel's machine: `manage.py mpm token create NAME --scope admin`."""
    own = token_of(request)
    issued = tokens.issue(
        actor_of(request, own),
        name=body.name,
        purpose=body.purpose,
        scopes=body.scopes,
        servers=_servers(own, body.servers),
        networks=_networks(own, body.networks),
        sandbox=body.sandbox or own.sandbox,
        implied_removals=body.implied_removals,
        expires_at=_expiry(own, body.expires_at),
        per_minute=_rate(own, body.per_minute),
        behind=own.created_by_id,
    )
    made = NewToken.with_secret(issued.token, timezone.now(), issued.text)
    response["Location"] = made.href
    return Status(201, made)


@router.get(
    "tokens/{token}",
    auth=Bearer(Scope.ADMIN),
    response={200: TokenSchema, problems(Scope.ADMIN): DESCRIBED},
    operation_id="getToken",
    summary="Get a token",
)
def get_token(request: HttpRequest, token: str) -> TokenSchema:
    """A token that can do no more than this one."""
    return TokenSchema.of(_named(token_of(request), token), timezone.now())


@router.patch(
    "tokens/{token}",
    auth=Bearer(Scope.ADMIN),
    response={200: TokenSchema, problems(Scope.ADMIN, body=True): DESCRIBED},
    operation_id="updateToken",
    summary="Update a token",
)
def update_token(request: HttpRequest, token: str, body: TokenUpdate) -> TokenSchema:
    """Fields that are left out stay as they are. Permissions, servers and networks can't be
    changed: create another token for that."""
    own = token_of(request)
    fields = body.dict(exclude_unset=True)
    row = tokens.update(_named(own, token), actor_of(request, own), **fields)
    return TokenSchema.of(row, timezone.now())


@router.post(
    "tokens/{token}/rotate",
    auth=Bearer(Scope.ADMIN),
    response={201: NewToken, problems(Scope.ADMIN, body=True): DESCRIBED},
    operation_id="rotateToken",
    summary="Rotate a token",
)
def rotate_token(request: HttpRequest, token: str, body: RotateIn | None = None) -> Any:
    """A new token with the same permissions. The old one expires after `overlap_hours`, so that
    every program that uses it can be given the new one."""
    own = token_of(request)
    overlap = timedelta(hours=(body or RotateIn()).overlap_hours)
    row = _named(own, token)
    if not no_wider(row.networks, own.networks) or _outlives(row.expires_at, own):
        # Rotating a token reveals its new secret.
        raise NotAllowed("That token works from more networks, or for longer, than this one.")
    issued = tokens.rotate(row, actor_of(request, own), overlap)
    return Status(201, NewToken.with_secret(issued.token, timezone.now(), issued.text))


@router.delete(
    "tokens/{token}",
    auth=Bearer(Scope.ADMIN),
    response={204: None, problems(Scope.ADMIN): DESCRIBED},
    operation_id="deleteToken",
    summary="Revoke a token",
)
def delete_token(request: HttpRequest, token: str) -> Any:
    """It stops working immediately. Revoking a token twice isn't an error. Its record stays."""
    own = token_of(request)
    tokens.revoke(_named(own, token), actor_of(request, own))
    return Status(204, None)


def _covers(own: Token, other: Token) -> bool:
    """Whether ``other`` may do nothing that ``own`` may not."""
    if own.sandbox and not other.sandbox:
        return False
    if own.servers and not (other.servers and set(other.servers) <= set(own.servers)):
        return False
    return scopes_of(other.scopes) <= scopes_of(own.scopes)


def _named(own: Token, key_id: str) -> Token:
    row = (
        Token.objects.select_related("replaces").filter(key_id=key_id).first()
        if key_id.isalnum() and key_id.isascii()
        else None
    )
    if row is None or not _covers(own, row):
        raise NotFound("There is no such token.")
    return row


def _servers(own: Token, wanted: list[str]) -> list[str]:
    names = reachable_names(own)
    if names is not None and set(wanted) - set(names):
        raise invalid(
            "A token can't access more servers than the one that creates it.",
            "unknown_server",
            pointer="#/servers",
        )
    return wanted or list(own.servers)


def _networks(own: Token, wanted: list[str]) -> list[str]:
    try:
        networks = checked_networks(wanted)
    except BadGrant as error:
        raise invalid(str(error), pointer="#/networks") from error
    if networks and not no_wider(networks, own.networks):
        raise NotAllowed("A token can't be used from more networks than the one that creates it.")
    return networks or list(own.networks)


def _rate(own: Token, wanted: int | None) -> int | None:
    if own.per_minute is None:
        return wanted
    if wanted is not None and wanted > own.per_minute:
        raise NotAllowed("A token can't send more requests than the one that creates it.")
    return wanted or own.per_minute


def _outlives(end: datetime | None, own: Token) -> bool:
    return own.expires_at is not None and (end is None or end > own.expires_at)


def _expiry(own: Token, wanted: datetime | None) -> datetime | None:
    if wanted is not None and _outlives(wanted, own):
        raise NotAllowed("A token can't outlive the one that creates it.")
    return wanted or own.expires_at
