"""``/servers/{server}/doctor`` and ``/repairs``: known problems and their repairs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from mpm.access.scopes import Scope
from mpm.access.services.actor import NotFound
from mpm.api.auth import Bearer, actor_of, reachable, token_of
from mpm.api.idempotency import Answer, fingerprint, once
from mpm.api.mpm_state import latest_of
from mpm.api.paging import Cursor, Limit, cut, link_next
from mpm.api.shapes import QueryNumber, Wish
from mpm.api.statuses import DESCRIBED, problems
from mpm.api.switch import Key
from mpm.changes.services.repairs import repair
from mpm.history.diagnosis import RepairRecord, all_repairs, examined, repair_numbered
from mpm.schemas.finding import Diagnosis
from mpm.schemas.repair import Diagnostics, Repair
from mpm.servers.models import Server
from mpm.web.broker_trouble import need_the_broker
from mpm.web.polling import wait_for

router = Router(tags=["diagnostics"], by_alias=True)
Action = Literal[
    "start-httpd",
    "restart-httpd",
    "settle-mpm",
    "reinstall-files",
    "accept-packages",
    "take-back",
]


class RepairIn(Wish):
    """The repair to carry out."""

    action: Action


class RepairList(Schema):
    """Repairs, newest first."""

    items: list[Repair]
    next: str | None = Field(description="`cursor` of the next page.")


States = Annotated[
    list[Literal["running", "succeeded", "failed"]] | None,
    Query(None, max_length=10, description="Repeat it, or separate several with commas."),
]


@router.get(
    "servers/{server}/doctor",
    auth=Bearer(Scope.READ),
    response={200: Diagnostics, problems(Scope.READ, 409): DESCRIBED},
    operation_id="getDiagnostics",
    summary="Get diagnostics",
)
def get_diagnostics(request: HttpRequest, server: str) -> Diagnostics:
    """Known problems of a server, each with its cause and the recommended action, found in its last
    scan and in the log of its last change. Empty: no problems found."""
    row = reachable(token_of(request), server)
    latest = latest_of(row)
    examination = examined(row, latest.profile)
    return Diagnostics(
        server=row.name,
        observed_at=latest.confirmed_at,
        change=examination.change.pk if examination.change else None,
        findings=[Diagnosis(**finding.as_json()) for finding in examination.findings],
    )


@router.get(
    "servers/{server}/repairs",
    auth=Bearer(Scope.READ),
    response={200: RepairList, problems(Scope.READ): DESCRIBED},
    operation_id="listRepairs",
    summary="List repairs",
)
def list_repairs(
    request: HttpRequest,
    response: HttpResponse,
    server: str,
    *,
    state: States,
    action: Action | None = None,
    cursor: Cursor,
    limit: Limit,
) -> dict[str, Any]:
    """Newest first, with their results."""
    row = reachable(token_of(request), server)
    every = (
        one
        for one in all_repairs(row, int(cursor, 16) if cursor else None)
        if (action is None or one.action == action)
        and (not state or Repair.of(row.name, one).state in state)
    )
    found, more = cut(every, cursor, limit, lambda one: one.number)
    return {
        "items": [Repair.of(row.name, one) for one in found],
        "next": link_next(request, response, more),
    }


@router.get(
    "servers/{server}/repairs/{repair}",
    auth=Bearer(Scope.READ),
    response={200: Repair, problems(Scope.READ): DESCRIBED},
    operation_id="getRepair",
    summary="Get a repair",
)
def get_repair(
    request: HttpRequest,
    server: str,
    repair: str,
    wait: Annotated[
        QueryNumber, Query(0, ge=0, le=30, description="Seconds to wait for the server's answer.")
    ],
) -> Repair:
    """With `wait`, the answer is sent as soon as the server has answered."""
    row = reachable(token_of(request), server)
    latest = _repair_of(row, repair)

    def look() -> RepairRecord | None:
        current = _repair_of(row, repair)
        return None if current.ok is None else current

    return Repair.of(row.name, wait_for(look, wait) or latest)


@router.post(
    "servers/{server}/repairs",
    auth=Bearer(Scope.CHANGE),
    response={202: Repair, problems(Scope.CHANGE, 409, body=True): DESCRIBED},
    operation_id="createRepair",
    summary="Create a repair",
)
def create_repair(
    request: HttpRequest, server: str, body: RepairIn, idempotency_key: Key = ""
) -> HttpResponse:
    """Repair a server. Not possible while a change is running. The result is at `Location`."""
    token = token_of(request)
    row = reachable(token, server)
    actor = actor_of(request, token)

    def act() -> Answer:
        need_the_broker()
        number = repair(row, body.action, actor)
        made = Repair.of(row.name, _repair_of(row, number))
        return Answer(202, made.as_json(), {"Location": made.href})

    return once(token, idempotency_key, fingerprint(request, body.dict()), act)


def _repair_of(server: Server, number: str) -> RepairRecord:
    found = repair_numbered(server, number)
    if found is None:
        raise NotFound(f"There is no repair {number[:40]!r} of {server}.", code="unknown_repair")
    return found
