"""``/changes``: the history, one change, its log, and what can be done about it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from mpm.access.scopes import Scope
from mpm.access.services.actor import NotFound, Refused, UnderWay
from mpm.api.auth import Bearer, actor_of, checked_name, reachable_names, token_of
from mpm.api.idempotency import Answer, fingerprint, once
from mpm.api.paging import ChangesCursor, Limit, link_next
from mpm.api.problems import from_refusal, invalid
from mpm.api.shapes import (
    LINE,
    Digest,
    Line,
    Moment,
    Mpm,
    QueryFlag,
    QueryNumber,
    ServerName,
    Wish,
)
from mpm.api.statuses import DESCRIBED, problems
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
StateName = Literal[
    "scheduled",
    "queued",
    "running",
    "canceling",
    "succeeded",
    "restored",
    "not_started",
    "failed",
    "canceled",
]
State = Literal[StateName, "active"]
Text = Annotated[str, Query(max_length=200, pattern=LINE)]
States = Annotated[
    list[State] | None,
    Query(
        None,
        max_length=20,
        description=(
            "A state; active: all that haven't finished. Repeat it, or separate several with "
            "commas."
        ),
    ),
]


class ChangeList(Schema):
    """Changes, newest first."""

    items: list[ChangeSchema]
    next: str | None = Field(description="`cursor` of the next (older) page.")
    previous: str | None = Field(description="`cursor` of the previous (newer) page.")


class CancelIn(Wish):
    """Nothing needs to be sent."""


class RollBackIn(Wish):
    """The reason for the rollback."""

    reason: Annotated[str, Field(max_length=500)] = ""
    ticket: Line = ""
    digest: Digest | None = Field(
        None, description="The digest of the rollback plan, to confirm exactly that one."
    )


@router.get(
    "changes",
    auth=Bearer(Scope.READ),
    response={200: ChangeList, problems(Scope.READ, named=False): DESCRIBED},
    operation_id="listChanges",
    summary="List changes",
)
def list_changes(
    request: HttpRequest,
    response: HttpResponse,
    *,
    server: ServerName = "",
    requested_by: Text = "",
    origin: Literal["web", "rest", "whmapi", "cli", "schedule", "outside"] | None = None,
    state: States,
    from_: Annotated[Mpm | None, Query(alias="from", description="`from.mpm`.")] = None,
    to: Annotated[Mpm | None, Query(description="`to.mpm`.")] = None,
    itk: Annotated[QueryFlag | None, Query(description="`to.itk`.")] = None,
    ticket: Text = "",
    request_id: Annotated[
        str,
        Query(
            max_length=64,
            pattern=LINE,
            description="The X-Request-Id of the request that caused it.",
        ),
    ] = "",
    since: Annotated[Moment | None, Query(description="Requested at or after.")] = None,
    until: Annotated[Moment | None, Query(description="Requested before.")] = None,
    text: Annotated[
        str,
        Query(
            max_length=200,
            pattern=LINE,
            description="Text in the reason, ticket, packages or error.",
        ),
    ] = "",
    cursor: ChangesCursor,
    limit: Limit,
) -> dict[str, Any]:
    """Newest first. All filters are optional, and a change must match every one of them."""
    token = token_of(request)
    filters = ChangeFilters(
        server=checked_name(token, server),
        person=requested_by.strip(),
        origin=origin or "",
        result=",".join(state or ()),
        mpm_from=from_ or "",
        mpm_to=to or "",
        itk=itk,
        ticket=ticket.strip(),
        since=_sensible("since", since),
        until=_sensible("until", until),
        text=text.strip(),
        request=request_id,
    )
    try:
        page = page_of(filters, cursor, limit, servers=reachable_names(token))
    except BadFilter as error:
        raise invalid(str(error.args[0]), parameter=error.name) from error
    return {
        "items": [ChangeSchema.of(item) for item in page.items],
        "next": link_next(request, response, page.next_cursor or None),
        "previous": page.previous_cursor or None,
    }


def _sensible(name: str, moment: datetime | None) -> datetime | None:
    """Times near the ends of the calendar can't be shifted by an hour, and are never intended."""
    if moment is not None and not 1970 <= moment.year <= 9000:
        raise invalid("No change was requested then.", parameter=name)
    return moment


@router.get(
    "changes/{change}",
    auth=Bearer(Scope.READ),
    response={200: ChangeDetail, problems(Scope.READ): DESCRIBED},
    operation_id="getChange",
    summary="Get a change",
)
def get_change(
    request: HttpRequest,
    change: str,
    *,
    wait: Annotated[
        QueryNumber, Query(0, ge=0, le=30, description="Seconds to wait for something new.")
    ],
    state: Annotated[
        StateName | None, Query(description="With wait: the state you already know.")
    ] = None,
) -> ChangeDetail:
    """Its packages, steps, evidence and outcome. `change` is its `id` or `uuid`.

    With `wait` and no `state`, the answer is sent when the change finishes; with `state`, as soon
    as the state is different.
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
    response={200: None, problems(Scope.READ): DESCRIBED},
    operation_id="getLog",
    summary="Get the log of a change",
    openapi_extra={
        "responses": {
            200: {
                "description": "Bytes from `offset` on, at most 256 KiB.",
                "content": {
                    "text/plain": {
                        "schema": {"type": "string"},
                        "example": "2026-03-03T21:04:12.010Z packages  Installing : …\n",
                    }
                },
                "headers": {
                    "X-Log-Next": {
                        "description": "The next `offset`.",
                        "schema": {"type": "integer"},
                    },
                    "X-Log-Ended": {
                        "description": "true: the change has finished, and its log ends here.",
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
    offset: Annotated[QueryNumber, Query(0, ge=0, description="In bytes.")],
    wait: Annotated[QueryNumber, Query(0, ge=0, le=30, description="Seconds to wait for more.")],
) -> HttpResponse:
    """The log byte for byte. An empty body and `X-Log-Ended: false` mean: nothing new yet."""
    row = named(token_of(request), change)

    def look() -> tuple[bytes, Change] | None:
        fresh = Change.objects.only("state", "log_size").get(pk=row.pk)
        piece = log_bytes.read(fresh, offset, LOG_PIECE)
        return (piece, fresh) if piece or fresh.finished else None

    piece, fresh = wait_for(look, wait) or (b"", row)
    response = HttpResponse(piece, content_type="text/plain; charset=utf-8")
    following = offset + len(piece)
    if not piece:
        # An offset behind the end can't be a position: continue at the end.
        following = min(offset, fresh.log_size)
    response["X-Log-Next"] = str(following)
    ended = fresh.finished and following >= fresh.log_size
    response["X-Log-Ended"] = "true" if ended else "false"
    return response


@router.post(
    "changes/{change}/cancel",
    auth=Bearer(Scope.CHANGE),
    response={202: ChangeSchema, problems(Scope.CHANGE, 409, body=True): DESCRIBED},
    operation_id="cancelChange",
    summary="Cancel a change",
)
def cancel_change(
    request: HttpRequest,
    change: str,
    body: CancelIn | None = None,  # noqa: ARG001  # an empty object may be sent
    idempotency_key: Key = "",
) -> HttpResponse:
    """Possible until packages are changed; after that, 409 `too_late` says why not. Canceling a
    change twice returns the change."""
    token = token_of(request)
    row = named(token, change)
    actor = actor_of(request, token)

    def act() -> Answer:
        try:
            canceling = cancel(row, actor)
        except Refused as refused:
            return _refused(request, refused)
        return Answer(202, ChangeSchema.of(canceling).as_json(), change=canceling)

    return once(token, idempotency_key, fingerprint(request, None), act)


@router.post(
    "changes/{change}/rollback",
    auth=Bearer(Scope.ROLLBACK),
    response={202: ChangeSchema, problems(Scope.ROLLBACK, 409, body=True): DESCRIBED},
    operation_id="rollBackChange",
    summary="Roll back a change",
)
def roll_back_change(
    request: HttpRequest,
    change: str,
    body: RollBackIn | None = None,
    idempotency_key: Key = "",
) -> HttpResponse:
    """Create the change that restores the previous state. Until that change finishes, the same
    request returns it."""
    token = token_of(request)
    row = named(token, change)
    actor = actor_of(request, token)
    wish = body or RollBackIn(digest=None)

    def act() -> Answer:
        try:
            back = roll_back(row, actor, wish.reason, ticket=wish.ticket, digest=wish.digest)
        except UnderWay as same:
            back = same.change
        except Refused as refused:
            return _refused(request, refused)
        body = ChangeSchema.of(back)
        return Answer(202, body.as_json(), {"Location": body.href}, back)

    return once(token, idempotency_key, fingerprint(request, wish.dict()), act)


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
