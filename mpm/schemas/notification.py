"""What a webhook is sent, so that nobody needs to call back for more."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mpm.schemas.change import Change
from mpm.schemas.event import TEST, Event, Kind
from mpm.schemas.resource import Moment, Resource, one_of

FORMATS = ("generic", "slack", "teams", "email")


class Notification(Event):
    """An event and the change it is about."""

    text: str = Field(description="The event in one line of English.")
    link: str = Field(description="Its page in the panel; empty unless PANEL_URL is set.")
    details: Change | None = Field(
        description="The change as it was when the notification was created: from, to, reason, "
        "ticket, requested_by, refused, longest_wait_ms …"
    )


class NotificationBody(Resource):
    """The body of a delivery in the format `generic`."""

    type: Kind
    timestamp: Moment
    data: Notification


class Test(Resource):
    """The content of a test."""

    webhook: str = Field(description="The id of the webhook.")
    name: str
    text: str
    link: str


class TestBody(Resource):
    """The body of a test in the format `generic`."""

    type: Annotated[str, one_of((TEST,))]
    timestamp: Moment
    data: Test
