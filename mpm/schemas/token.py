"""An API token, without its secret but for the once it is shown."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mpm.access.scopes import Scope
from mpm.schemas.resource import Moment, Resource, one_of

if TYPE_CHECKING:
    from mpm.models import Token as Row

SCOPES = tuple(scope.value for scope in Scope)
IMPLIED_REMOVALS = (
    "WHM API: a call with `install` alone also removes the packages that can't stay with it. "
    "Otherwise such a call is refused, and names them."
)
STATES = ("active", "expired", "revoked")


class Token(Resource):
    """What a token may do, and whether it still works."""

    id: str = Field(description="The key id: the part of the token that isn't secret.")
    href: str
    name: str
    purpose: str
    scopes: list[Annotated[str, one_of(SCOPES)]]
    servers: list[str] = Field(description="Empty: every server.")
    networks: list[str] = Field(description="Empty: from anywhere.")
    sandbox: bool = Field(description="Reaches simulated servers only.")
    implied_removals: bool = Field(description=IMPLIED_REMOVALS)
    per_minute: int | None = Field(description="Requests; null: the panel's limit.")
    state: Annotated[str, one_of(STATES)]
    created_at: Moment
    created_by: str
    expires_at: Moment | None
    last_used_at: Moment | None
    last_used_address: str
    revoked_at: Moment | None
    revoked_by: str
    replaces: str | None = Field(description="The id of the token it was rotated from.")
    pepper: str = Field(description="The name of the pepper it is stored with.")

    @classmethod
    def of(cls, row: Row, now: datetime) -> Token:
        return cls(
            id=row.key_id,
            href=f"/api/v1/tokens/{row.key_id}",
            name=row.name,
            purpose=row.purpose,
            scopes=list(row.scopes),
            servers=list(row.servers),
            networks=list(row.networks),
            sandbox=row.sandbox,
            implied_removals=row.implied_removals,
            per_minute=row.per_minute,
            state=row.state(now),
            created_at=row.created_at,
            created_by=row.created_by_name,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            last_used_address=row.last_used_address,
            revoked_at=row.revoked_at,
            revoked_by=row.revoked_by_name,
            replaces=row.replaces.key_id if row.replaces else None,
            pepper=row.pepper_id,
        )


class NewToken(Token):
    """A token with its secret."""

    token: str = Field(description="Shown only once.")

    @classmethod
    def with_secret(cls, row: Row, now: datetime, text: str) -> NewToken:
        return cls(**dict(Token.of(row, now)), token=text)
