"""``/events``: history as a stream that can be left and taken up again."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from mpm.access.scopes import Scope
from mpm.api.auth import Bearer, reachable_names, token_of
from mpm.api.shapes import LINE, ProblemDetails, QueryNumber
from mpm.api.statuses import READS
from mpm.history.event_cursor import events_after
from mpm.models import Event
from mpm.schemas.event import Event as EventSchema
from mpm.web.polling import wait_for

router = Router(tags=["events"])


class EventList(Schema):
    items: list[EventSchema]
    next: str = Field(description="Send it as `after` to go on from here; valid for ever.")


@router.get(
    "events",
    auth=Bearer(Scope.READ),
    response={200: EventList, READS: ProblemDetails},
    operation_id="listEvents",
    summary="What happened, oldest first",
)
def list_events(
    request: HttpRequest,
    *,
    after: Annotated[
        str, Query(pattern=r"^[0-9a-f]{1,15}$", description="`next` of the last answer.")
    ] = "0",
    limit: Annotated[QueryNumber, Query(100, ge=1, le=500)],
    wait: Annotated[
        QueryNumber, Query(0, ge=0, le=30, description="Seconds to wait for the next event.")
    ],
    kind: Annotated[
        list[str] | None, Query(max_length=50, description="Only these kinds of event.")
    ] = None,
    server: Annotated[str, Query(max_length=63, pattern=LINE)] = "",
) -> dict[str, Any]:
    """Events after a position. An empty list with the same `next` means: nothing new yet."""
    names = reachable_names(token_of(request))
    if server:
        names = [server] if names is None or server in names else []
    kinds = [item[:40] for item in kind or () if "\0" not in item]
    start = int(after, 16)
    position = start

    def look() -> list[Event] | None:
        nonlocal position
        found, position = events_after(position, limit, timezone.now(), servers=names, kinds=kinds)
        return found or None

    events = wait_for(look, wait) or []
    return {"items": [EventSchema.of(event) for event in events], "next": f"{position:x}"}
