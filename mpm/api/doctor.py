"""``/servers/{server}/doctor`` and ``/repairs``: what is known to be wrong, and its repair."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema

from mpm.access.scopes import Scope
from mpm.access.services.actor import NotFound
from mpm.api.auth import Bearer, actor_of, reachable, token_of
from mpm.api.idempotency import Answer, fingerprint, once
from mpm.api.mpm_state import latest_of
from mpm.api.shapes import ProblemDetails, QueryNumber, Wish
from mpm.api.statuses import READS, WRITES
from mpm.api.switch import Key
from mpm.changes.services.repairs import repair
from mpm.history.diagnosis import RepairTold, examined, repairs
from mpm.schemas.finding import Diagnosis
from mpm.schemas.repair import Diagnostics, Repair
from mpm.servers.models import Server
from mpm.web.broker_trouble import need_the_broker
from mpm.web.polling import wait_for

router = Router(tags=["doctor"])
Action = Literal[
    "start-httpd",
    "restart-httpd",
    "settle-mpm",
    "reinstall-files",
    "accept-packages",
    "take-back",
]


class RepairIn(Wish):
    action: Action


class RepairList(Schema):
    items: list[Repair]


@router.get(
    "servers/{server}/doctor",
    auth=Bearer(Scope.READ),
    response={200: Diagnostics, READS: ProblemDetails},
    operation_id="getDiagnostics",
    summary="What is known to be wrong",
)
def get_diagnostics(request: HttpRequest, server: str) -> Diagnostics:
    """Known failures, each with its cause and the way out, by what the server last showed and by
    the log of its last change where that did not succeed. Empty: nothing is known to be wrong."""
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
    response={200: RepairList, READS: ProblemDetails},
    operation_id="listRepairs",
    summary="Repairs of a server",
)
def list_repairs(request: HttpRequest, server: str) -> dict[str, Any]:
    """The latest repairs that were asked for, the newest first, and what came of them."""
    row = reachable(token_of(request), server)
    return {"items": [Repair.of(row.name, one) for one in repairs(row)]}


@router.get(
    "servers/{server}/repairs/{repair}",
    auth=Bearer(Scope.READ),
    response={200: Repair, READS: ProblemDetails},
    operation_id="getRepair",
    summary="What came of a repair",
)
def get_repair(
    request: HttpRequest,
    server: str,
    repair: str,
    wait: Annotated[
        QueryNumber, Query(0, ge=0, le=30, description="Seconds to wait for the server's answer.")
    ],
) -> Repair:
    """One repair; with `wait`, as soon as its server has answered."""
    row = reachable(token_of(request), server)
    asked = _repair_of(row, repair)

    def look() -> RepairTold | None:
        told = _repair_of(row, repair)
        return None if told.ok is None else told

    return Repair.of(row.name, wait_for(look, wait) or asked)


@router.post(
    "servers/{server}/repairs",
    auth=Bearer(Scope.CHANGE),
    response={202: Repair, WRITES: ProblemDetails},
    operation_id="createRepair",
    summary="Repair a server",
)
def repair_server(
    request: HttpRequest, server: str, body: RepairIn, idempotency_key: Key = ""
) -> HttpResponse:
    """Have the server carry out one repair. Each brings it nearer to one MPM and a running httpd,
    and none runs while a change is at work. What came of it is at the `Location`."""
    token = token_of(request)
    row = reachable(token, server)
    actor = actor_of(request, token)

    def act() -> Answer:
        need_the_broker()
        number = repair(row, body.action, actor)
        made = Repair.of(row.name, _repair_of(row, number))
        return Answer(202, made.as_json(), {"Location": made.href})

    return once(token, idempotency_key, fingerprint(request, body.dict()), act)


def _repair_of(server: Server, number: str) -> RepairTold:
    found = next((one for one in repairs(server) if one.request == number), None)
    if found is None:
        raise NotFound(f"There is no repair {number[:40]!r} of {server}.", code="unknown_repair")
    return found
