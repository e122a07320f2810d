"""``/changes``: the history, one change, its log, and what can be done about it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from mpm.access.scopes import Scope
from mpm.access.services.actor import BadRequest, NotFound, Refused, UnderWay
from mpm.api.auth import Bearer, actor_of, reachable_names, token_of
from mpm.api.idempotency import Answer, fingerprint, once
from mpm.api.problems import from_refusal
from mpm.api.shapes import (
    LINE,
    Digest,
    Line,
    Moment,
    ProblemDetails,
    QueryFlag,
    QueryNumber,
    Wish,
)
from mpm.api.statuses import READS, WRITES
from mpm.api.switch import Key
from mpm.changes import log_bytes
from mpm.changes.detail import change_detail
from mpm.changes.services.cancel import cancel
from mpm.changes.services.lookup import change_numbered
from mpm.changes.services.rollback import roll_back
from mpm.history.filters import BadFilter, ChangeFilters
from mpm.history.pages import changes as page_of
from mpm.models import Change, Token
from mpm.schemas.change import Change as ChangeSchema
from mpm.schemas.change import ChangeDetail
from mpm.web.polling import wait_for

router = Router(tags=["changes"], by_alias=True)

LOG_PIECE = 256 * 1024
State = Literal[
    "scheduled",
    "queued",
    "running",
    "canceling",
    "succeeded",
    "restored",
    "not_started",
    "failed",
    "canceled",
    "active",
]
Word = Annotated[str, Query(max_length=200, pattern=LINE)]


class ChangeList(Schema):
    items: list[ChangeSchema]
    next: str | None = Field(description="`cursor` of the next (older) page.")
    previous: str | None = Field(description="`cursor` of the previous (newer) page.")


class CancelIn(Wish):
    """Nothing needs to be said."""


class RollBackIn(Wish):
    reason: Annotated[str, Field(max_length=500)] = ""
    ticket: Line = ""
    digest: Digest | None = Field(None, description="Of the plan that goes back, if it was seen.")


@router.get(
    "changes",
    auth=Bearer(Scope.READ),
    response={200: ChangeList, READS: ProblemDetails},
    operation_id="listChanges",
    summary="Changes, newest first",
)
def list_changes(
    request: HttpRequest,
    *,
    server: Word = "",
    person: Word = "",
    origin: Literal["web", "rest", "whmapi", "cli", "schedule", "outside"] | None = None,
    state: Annotated[
        State | None, Query(description="A state, or active: whatever has not ended.")
    ] = None,
    mpm_from: Literal["event", "worker", "prefork"] | None = None,
    mpm_to: Literal["event", "worker", "prefork"] | None = None,
    itk: QueryFlag | None = None,
    ticket: Word = "",
    request_id: Annotated[
        str, Query(max_length=64, pattern=LINE, description="X-Request-Id that caused it.")
    ] = "",
    since: Annotated[Moment | None, Query(description="Asked for at or after.")] = None,
    until: Annotated[Moment | None, Query(description="Asked for before.")] = None,
    text: Annotated[
        str,
        Query(max_length=200, pattern=LINE, description="In reason, ticket, packages or error."),
    ] = "",
    cursor: Annotated[str, Query(pattern=r"^([ab][0-9]{1,18})?$")] = "",
    limit: Annotated[QueryNumber, Query(50, ge=1, le=200)],
) -> dict[str, Any]:
    """Every filter is optional, all together narrow. Pages keep their place while new changes
    arrive."""
    filters = ChangeFilters(
        server=server.strip(),
        person=person.strip(),
        origin=origin or "",
        result=state or "",
        mpm_from=mpm_from or "",
        mpm_to=mpm_to or "",
        itk=itk,
        ticket=ticket.strip(),
        since=_sensible("since", since),
        until=_sensible("until", until),
        text=text.strip(),
        request=request_id,
    )
    try:
        page = page_of(filters, cursor, limit, servers=reachable_names(token_of(request)))
    except BadFilter as error:
        raise BadRequest(f"{error.name}: {error}", code="invalid") from error
    return {
        "items": [ChangeSchema.of(item) for item in page.items],
        "next": page.next_cursor or None,
        "previous": page.previous_cursor or None,
    }


def _sensible(name: str, moment: datetime | None) -> datetime | None:
    """Times near the ends of the calendar cannot be moved by an hour, nor be meant."""
    if moment is not None and not 1970 <= moment.year <= 9000:
        raise BadRequest(f"{name}: no change was made then.", code="invalid")
    return moment


@router.get(
    "changes/{change}",
    auth=Bearer(Scope.READ),
    response={200: ChangeDetail, READS: ProblemDetails},
    operation_id="getChange",
    summary="One change",
)
def get_change(
    request: HttpRequest,
    change: str,
    *,
    wait: Annotated[
        QueryNumber, Query(0, ge=0, le=30, description="Seconds to wait for it to move on.")
    ],
    state: Annotated[
        State | None, Query(description="With wait: the state that is known already.")
    ] = None,
) -> ChangeDetail:
    """What it moved, its steps, its evidence and how it ended.

    With `wait` and no `state` the answer comes when it has ended; with `state`, as soon as
    it is in another one.
    """
    row = named(token_of(request), change)

    def look() -> Change | None:
        fresh = Change.objects.get(pk=row.pk)
        moved = fresh.finished or (state is not None and fresh.state != state)
        return fresh if moved else None

    return change_detail(wait_for(look, wait) or Change.objects.get(pk=row.pk))


@router.get(
    "changes/{change}/log",
    auth=Bearer(Scope.READ),
    response={200: None, READS: ProblemDetails},
    operation_id="getLog",
    summary="The log, byte for byte",
    openapi_extra={
        "responses": {
            200: {
                "description": "Bytes from `after` on, at most 256 KiB.",
                "content": {
                    "text/plain": {
                        "schema": {"type": "string"},
                        "example": "2026-03-03T21:04:12.010Z packages  Installing : …\n",
                    }
                },
                "headers": {
                    "X-Log-Next": {
                        "description": "Send it as `after` to go on.",
                        "schema": {"type": "integer"},
                    },
                    "X-Log-Ended": {
                        "description": "true: the change has ended and this is the end.",
                        "schema": {"type": "string", "enum": ["true", "false"]},
                    },
                },
            }
        }
    },
)
def get_log(
    request: HttpRequest,
    change: str,
    after: Annotated[QueryNumber, Query(0, ge=0, description="Offset in bytes.")],
    wait: Annotated[
        QueryNumber, Query(0, ge=0, le=30, description="Seconds to wait for more of it.")
    ],
) -> HttpResponse:
    """The log from an offset. An empty body and `X-Log-Ended: false`: nothing new yet."""
    row = named(token_of(request), change)

    def look() -> tuple[bytes, Change] | None:
        fresh = Change.objects.only("state", "log_size").get(pk=row.pk)
        piece = log_bytes.read(fresh, after, LOG_PIECE)
        return (piece, fresh) if piece or fresh.finished else None

    piece, fresh = wait_for(look, wait) or (b"", row)
    response = HttpResponse(piece, content_type="text/plain; charset=utf-8")
    response["X-Log-Next"] = str(after + len(piece))
    ended = fresh.finished and after + len(piece) >= fresh.log_size
    response["X-Log-Ended"] = "true" if ended else "false"
    return response


@router.post(
    "changes/{change}/cancel",
    auth=Bearer(Scope.CHANGE),
    response={202: ChangeSchema, WRITES: ProblemDetails},
    operation_id="cancelChange",
    summary="Cancel",
)
def cancel_change(
    request: HttpRequest,
    change: str,
    body: CancelIn | None = None,  # noqa: ARG001  # an empty object may be sent
    idempotency_key: Key = "",
) -> HttpResponse:
    """Possible until the packages begin to move; after that 409 `too_late` says why not.
    Asking twice is asking once."""
    token = token_of(request)
    row = named(token, change)
    actor = actor_of(request, token)

    def act() -> Answer:
        try:
            asked = cancel(row, actor)
        except Refused as refused:
            return _refused(request, refused)
        return Answer(202, ChangeSchema.of(asked).as_json(), change=asked)

    return once(token, idempotency_key, fingerprint(request, None), act)


@router.post(
    "changes/{change}/rollback",
    auth=Bearer(Scope.ROLLBACK),
    response={202: ChangeSchema, WRITES: ProblemDetails},
    operation_id="rollBackChange",
    summary="Roll back",
)
def roll_back_change(
    request: HttpRequest,
    change: str,
    body: RollBackIn,
    idempotency_key: Key = "",
) -> HttpResponse:
    """Make the change that goes back to how the server was before this one. While it has not
    finished, asking again answers with it."""
    token = token_of(request)
    row = named(token, change)
    actor = actor_of(request, token)

    def act() -> Answer:
        try:
            back = roll_back(row, actor, body.reason, ticket=body.ticket, digest=body.digest)
        except UnderWay as same:
            back = same.change
        except Refused as refused:
            return _refused(request, refused)
        href = f"/api/v1/changes/{back.pk}"
        return Answer(202, ChangeSchema.of(back).as_json(), {"Location": href}, back)

    return once(token, idempotency_key, fingerprint(request, body.dict()), act)


def _refused(request: HttpRequest, refused: Refused) -> Answer:
    problem = from_refusal(refused)
    return Answer(problem.status, problem.as_json(request), problem.headers)


def named(token: Token, number: str) -> Change:
    """A change of a server the token reaches. Raises NotFound, the same for both reasons."""
    change = change_numbered(number)
    names = reachable_names(token)
    if names is not None and change.server_name not in names:
        raise NotFound(f"There is no change {number[:40]!r}.", code="unknown_change")
    return change
