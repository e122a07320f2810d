"""A webhook and its deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from mpm.schemas.event import Kind
from mpm.schemas.notification import FORMATS
from mpm.schemas.resource import Moment, Resource, one_of

if TYPE_CHECKING:
    from mpm.models import Delivery as DeliveryRow
    from mpm.models import Webhook as Row

STATES = ("pending", "sending", "delivered", "given_up")


class Webhook(Resource):
    """A URL or an e-mail address that receives events."""

    id: str
    href: str
    name: str
    url: str
    format: Annotated[str, one_of(FORMATS)] = Field(
        description=(
            "generic: signed JSON; slack, teams: for an incoming webhook of Slack or a "
            "workflow of Microsoft Teams; email: `url` is mailto: and an address."
        )
    )
    kinds: list[str] = Field(
        description="Kinds of events, or a prefix such as `change.*`. Empty: all."
    )
    servers: list[str] = Field(description="Empty: every server.")
    active: bool
    sandbox: bool = Field(description="Receives events of simulated servers only.")
    created_at: Moment
    created_by: str
    pepper: str = Field(description="The name of the pepper its secret is derived with.")

    @classmethod
    def of(cls, row: Row) -> Webhook:
        return cls(
            id=row.uuid,
            href=f"/api/v1/webhooks/{row.uuid}",
            name=row.name,
            url=row.url,
            format=str(row.format),
            kinds=list(row.kinds),
            servers=list(row.servers),
            active=row.active,
            sandbox=row.sandbox,
            created_at=row.created_at,
            created_by=row.created_by_name,
            pepper=row.pepper_id,
        )


class NewWebhook(Webhook):
    """A webhook with its secret."""

    secret: str = Field(description="The signing secret. Shown only once.")

    @classmethod
    def with_secret(cls, row: Row, secret: str) -> NewWebhook:
        return cls(**dict(Webhook.of(row)), secret=secret)


class Attempt(Resource):
    """One delivery attempt."""

    at: Moment
    status: int | None = Field(description="HTTP status; null if there was no response.")
    ms: int
    error: str
    answer: str = Field(description="The start of the receiver's response.")


class Delivery(Resource):
    """An event that is sent to a webhook."""

    id: str = Field(description="The `webhook-id` header: the same for all attempts.")
    href: str
    event: int | None = Field(description="The id of the event; null for a test.")
    kind: Kind
    state: Annotated[str, one_of(STATES)]
    attempts: int
    created_at: Moment
    next_at: Moment | None = Field(description="When the next attempt is due.")
    delivered_at: Moment | None
    log: list[Attempt] = Field(description="The latest attempts, the oldest first.")

    @classmethod
    def of(cls, row: DeliveryRow, webhook: str) -> Delivery:
        """``webhook``: the id of its webhook."""
        attempts: list[dict[str, Any]] = row.log
        return cls(
            id=row.uuid,
            href=f"/api/v1/webhooks/{webhook}/deliveries/{row.uuid}",
            event=row.event_id,
            kind=row.kind,
            state=str(row.state),
            attempts=row.attempts,
            created_at=row.created_at,
            next_at=row.next_at,
            delivered_at=row.delivered_at,
            log=[Attempt.model_validate(item) for item in attempts],
        )
