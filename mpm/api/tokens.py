"""``/tokens``: made, listed, rotated and revoked; and what the token itself may do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router, Schema, Status
from pydantic import Field, StrictInt

from mpm.access import tokens
from mpm.access.scopes import BadGrant, Scope, checked_networks, no_wider, scopes_of
from mpm.access.services.actor import BadRequest, NotAllowed, NotFound
from mpm.api.auth import Bearer, actor_of, reachable_names, token_of
from mpm.api.shapes import Flag, Line, Moment, Names, ProblemDetails, Wish
from mpm.api.statuses import READS, WRITES
from mpm.models import Token
from mpm.schemas.token import NewToken
from mpm.schemas.token import Token as TokenSchema

router = Router(tags=["tokens"])


class TokenIn(Wish):
    name: Annotated[Line, Field(min_length=1)]
    purpose: Annotated[str, Field(max_length=300)] = ""
    scopes: Annotated[
        list[Literal["read", "plan", "change", "rollback", "admin"]], Field(min_length=1)
    ]
    servers: Names = Field(default_factory=list, description="Empty: all this token reaches.")
    networks: Names = Field(default_factory=list, description="Empty: as this token.")
    sandbox: Flag = Field(False, description="Reaches simulated servers only.")
    expires_at: Moment | None = None
    per_minute: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = None


class RotateIn(Wish):
    overlap_hours: Annotated[
        StrictInt, Field(ge=0, le=720, description="How long the old secret still works.")
    ] = 24


class TokenList(Schema):
    items: list[TokenSchema]


@router.get(
    "token",
    auth=Bearer(Scope.READ),
    response={200: TokenSchema, READS: ProblemDetails},
    operation_id="getOwnToken",
    summary="What this token may do",
)
def own_token(request: HttpRequest) -> TokenSchema:
    """The token that makes this request."""
    return TokenSchema.of(token_of(request), timezone.now())


@router.get(
    "tokens",
    auth=Bearer(Scope.ADMIN),
    response={200: TokenList, READS: ProblemDetails},
    operation_id="listTokens",
    summary="Tokens",
)
def list_tokens(request: HttpRequest) -> dict[str, Any]:
    """Tokens that may do no more than this one, newest first."""
    own = token_of(request)
    rows = Token.objects.select_related("replaces")
    now = timezone.now()
    return {"items": [TokenSchema.of(item, now) for item in rows if _covers(own, item)]}


@router.post(
    "tokens",
    auth=Bearer(Scope.ADMIN),
    response={201: NewToken, WRITES: ProblemDetails},
    operation_id="createToken",
    summary="Make a token",
)
def make_token(request: HttpRequest, body: TokenIn, response: HttpResponse) -> Any:
    """It can never do more than the token that makes it: not on other servers, not from other
    networks, not longer, and never out of the sandbox."""
    own = token_of(request)
    issued = tokens.issue(
        actor_of(request, own),
        name=body.name,
        purpose=body.purpose,
        scopes=body.scopes,
        servers=_servers(own, body.servers),
        networks=_networks(own, body.networks),
        sandbox=body.sandbox or own.sandbox,
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
    response={200: TokenSchema, READS: ProblemDetails},
    operation_id="getToken",
    summary="One token",
)
def get_token(request: HttpRequest, token: str) -> TokenSchema:
    return TokenSchema.of(_named(token_of(request), token), timezone.now())


@router.post(
    "tokens/{token}/rotate",
    auth=Bearer(Scope.ADMIN),
    response={201: NewToken, WRITES: ProblemDetails},
    operation_id="rotateToken",
    summary="A new secret, the same grants",
)
def rotate_token(request: HttpRequest, token: str, body: RotateIn) -> Any:
    """The old one goes on for `overlap_hours`, so that every user of it can be changed over."""
    own = token_of(request)
    overlap = timedelta(hours=body.overlap_hours)
    row = _named(own, token)
    if not no_wider(row.networks, own.networks) or _outlives(row.expires_at, own):
        # Whoever rotates a token learns its new secret.
        raise NotAllowed("That token is let in from elsewhere, or for longer, than this one.")
    issued = tokens.rotate(row, actor_of(request, own), overlap)
    return Status(201, NewToken.with_secret(issued.token, timezone.now(), issued.text))


@router.delete(
    "tokens/{token}",
    auth=Bearer(Scope.ADMIN),
    response={204: None, READS: ProblemDetails},
    operation_id="deleteToken",
    summary="Revoke a token",
)
def delete_token(request: HttpRequest, token: str) -> Any:
    """It ends at once. Revoking one that has ended is no error."""
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
        raise NotFound("A token cannot reach more servers than the one that makes it.")
    return wanted or list(own.servers)


def _networks(own: Token, wanted: list[str]) -> list[str]:
    try:
        networks = checked_networks(wanted)
    except BadGrant as error:
        raise BadRequest(str(error)) from error
    if networks and not no_wider(networks, own.networks):
        raise NotAllowed("A token cannot be used from more networks than the one that makes it.")
    return networks or list(own.networks)


def _rate(own: Token, wanted: int | None) -> int | None:
    if own.per_minute is None:
        return wanted
    if wanted is not None and wanted > own.per_minute:
        raise NotAllowed("A token cannot ask more often than the one that makes it.")
    return wanted or own.per_minute


def _outlives(end: datetime | None, own: Token) -> bool:
    return own.expires_at is not None and (end is None or end > own.expires_at)


def _expiry(own: Token, wanted: datetime | None) -> datetime | None:
    if wanted is not None and _outlives(wanted, own):
        raise NotAllowed("A token cannot outlive the one that makes it.")
    return wanted or own.expires_at
