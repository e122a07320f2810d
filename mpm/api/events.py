"""``/events``: history as a stream that can be left and resumed."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from mpm.access.scopes import Scope
from mpm.api.auth import Bearer, checked_name, reachable_names, token_of
from mpm.api.paging import Cursor, Limit, link_next
from mpm.api.problems import invalid
from mpm.api.shapes import QueryNumber, ServerName
from mpm.api.statuses import DESCRIBED, problems
from mpm.history.event_cursor import events_after
from mpm.history.event_kinds import unknown_kind
from mpm.models import Event
from mpm.schemas.event import Event as EventSchema
from mpm.web.polling import wait_for

router = Router(tags=["events"], by_alias=True)


Kinds = Annotated[
    list[str] | None,
    Query(
        None,
        max_length=50,
        description=(
            "A kind of event, or a prefix such as `change.*`. Repeat it, or separate several "
            "with commas."
        ),
    ),
]


class EventList(Schema):
    """Events, oldest first."""

    items: list[EventSchema]
    next: str = Field(description="`cursor` to resume from here. It never expires.")


@router.get(
    "events",
    auth=Bearer(Scope.READ),
    response={200: EventList, problems(Scope.READ, named=False): DESCRIBED},
    operation_id="listEvents",
    summary="List events",
)
def list_events(
    request: HttpRequest,
    response: HttpResponse,
    *,
    cursor: Cursor,
    limit: Limit,
    wait: Annotated[
        QueryNumber, Query(0, ge=0, le=30, description="Seconds to wait for the next event.")
    ],
    kind: Kinds,
    server: ServerName = "",
) -> dict[str, Any]:
    """Oldest first, from `cursor` on. An empty list with the same `next` means: nothing new yet."""
    token = token_of(request)
    names = reachable_names(token)
    if server:
        names = [checked_name(token, server)]
    kinds = list(kind or ())
    if (wrong := unknown_kind(kinds)) is not None:
        raise invalid(f"Unknown event {wrong[:40]!r}.", "unknown_kind", parameter="kind")
    position = int(cursor or "0", 16)

    def look() -> list[Event] | None:
        nonlocal position
        found, position = events_after(position, limit, timezone.now(), servers=names, kinds=kinds)
        return found or None

    events = wait_for(look, wait) or []
    following = f"{position:x}"
    if len(events) == limit:
        # A client that follows links until there is none has then read all events so far.
        link_next(request, response, following)
    return {"items": [EventSchema.of(event) for event in events], "next": following}
