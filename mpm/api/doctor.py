"""``/servers/{server}/doctor`` and ``/repairs``: what is known to be wrong, and its repair."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from ninja.responses import NinjaJSONEncoder
from pydantic import Field

from mpm.access.scopes import Scope
from mpm.access.services.actor import NotFound
from mpm.api.auth import Bearer, actor_of, reachable, token_of
from mpm.api.idempotency import Answer, fingerprint, once
from mpm.api.mpm_state import latest_of
from mpm.api.shapes import ProblemOut, QueryNumber, Wish
from mpm.api.statuses import READS, WRITES
from mpm.api.switch import Key
from mpm.changes.services.repairs import repair
from mpm.history.diagnosis import RepairTold, examined, repairs
from mpm.servers.models import Server
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


class DiagnosisOut(Schema):
    code: str = Field(description="Stable: scripts may match on it.")
    title: str
    cause: str
    fix: str
    seen: str = Field(description="What it was recognised by.")
    repair: str = Field(description="The `action` of a repair that is safe here, or empty.")


class ExaminationOut(Schema):
    server: str
    observed_at: datetime = Field(description="When the server was last looked at.")
    change: int | None = Field(
        description="The last change, where it did not succeed: its log was looked through too."
    )
    findings: list[DiagnosisOut]


class RepairIn(Wish):
    action: Action


class RepairOut(Schema):
    id: str
    action: str
    asked_by: str
    asked_at: datetime
    ok: bool | None = Field(description="null as long as the server has not answered.")
    message: str
    log: str


class RepairsOut(Schema):
    items: list[RepairOut]


@router.get(
    "servers/{server}/doctor",
    auth=Bearer(Scope.READ),
    response={200: ExaminationOut, READS: ProblemOut},
    operation_id="getDiagnostics",
    summary="What is known to be wrong",
)
def examine(request: HttpRequest, server: str) -> dict[str, Any]:
    """Known failures, each with its cause and the way out, by what the server last showed and by
    the log of its last change where that did not succeed. Empty: nothing is known to be wrong."""
    row = reachable(token_of(request), server)
    latest = latest_of(row)
    examination = examined(row, latest.profile)
    return {
        "server": row.name,
        "observed_at": latest.confirmed_at,
        **examination.as_json(),
    }


@router.get(
    "servers/{server}/repairs",
    auth=Bearer(Scope.READ),
    response={200: RepairsOut, READS: ProblemOut},
    operation_id="listRepairs",
    summary="Repairs of a server",
)
def list_repairs(request: HttpRequest, server: str) -> dict[str, Any]:
    """The latest repairs that were asked for, the newest first, and what came of them."""
    row = reachable(token_of(request), server)
    return {"items": [_shown(one) for one in repairs(row)]}


@router.get(
    "servers/{server}/repairs/{repair}",
    auth=Bearer(Scope.READ),
    response={200: RepairOut, READS: ProblemOut},
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
) -> dict[str, Any]:
    """One repair; with `wait`, as soon as its server has answered."""
    row = reachable(token_of(request), server)
    asked = _repair_of(row, repair)

    def look() -> RepairTold | None:
        told = _repair_of(row, repair)
        return None if told.ok is None else told

    return _shown(wait_for(look, wait) or asked)


@router.post(
    "servers/{server}/repairs",
    auth=Bearer(Scope.CHANGE),
    response={202: RepairOut, WRITES: ProblemOut},
    operation_id="repairServer",
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
        number = repair(row, body.action, actor)
        asked = json.loads(json.dumps(_shown(_repair_of(row, number)), cls=NinjaJSONEncoder))
        return Answer(202, asked, {"Location": f"/api/v1/servers/{row.name}/repairs/{number}"})

    return once(token, idempotency_key, fingerprint(request, body.dict()), act)


def _repair_of(server: Server, number: str) -> RepairTold:
    found = next((one for one in repairs(server) if one.request == number), None)
    if found is None:
        raise NotFound(f"There is no repair {number[:40]!r} of {server}.", code="unknown_repair")
    return found


def _shown(told: RepairTold) -> dict[str, Any]:
    fields = asdict(told)
    return {"id": fields.pop("request"), **fields}
