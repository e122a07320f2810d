"""An event of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from easyapache.ea4.sentences import plain
from mpm.history.event_kinds import EVENT_KINDS
from mpm.schemas.change import Origin
from mpm.schemas.resource import Moment, Resource, Role, one_of

if TYPE_CHECKING:
    from mpm.models import Event as Row

TEST = "webhook.test"
"""Only ever sent to a webhook; history has ``webhook.tested``."""
Kind = Annotated[str, one_of((*EVENT_KINDS, TEST))]


class Actor(Resource):
    """Who did it."""

    name: str
    role: Role
    origin: Origin
    token: str
    address: str
    agent: str = Field(description="The kind of program, from its User-Agent.")


class Event(Resource):
    """One thing that happened."""

    id: int
    kind: Kind
    at: Moment
    server: str | None = Field(description="null: about the panel itself.")
    change: int | None = Field(description="The id of the change.")
    actor: Actor
    request_id: str = Field(description="X-Request-Id of the request that caused it.")
    data: dict[str, Any]
    hash: str = Field(description="Seals this event to the one before on the same server.")

    @classmethod
    def of(cls, row: Row) -> Event:
        """In today's codes; ``hash`` was made of the codes it was written with."""
        return cls(
            id=row.pk,
            kind=row.kind_now,
            at=row.at,
            server=row.server_name or None,
            change=row.change_id,
            actor=Actor(
                name=row.actor_name,
                role=row.actor_role,
                origin=row.origin,
                token=row.token_name,
                address=row.address,
                agent=row.agent_class,
            ),
            request_id=row.request_id,
            data=plain(row.data_now),
            hash=row.hash,
        )
