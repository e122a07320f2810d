"""A repair of a server, and what is known to be wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from easyapache.ea4.conditions.repairs import REPAIR_LABELS
from mpm.schemas.finding import Diagnosis
from mpm.schemas.resource import Moment, Resource, one_of

if TYPE_CHECKING:
    from mpm.history.diagnosis import RepairTold

ACTIONS = tuple(REPAIR_LABELS)
STATES = ("running", "succeeded", "failed")


class Diagnostics(Resource):
    """All known problems of a server."""

    server: str
    observed_at: Moment = Field(description="When the server was last checked.")
    change: int | None = Field(
        description="The id of the last change, if it didn't succeed: its log is checked too."
    )
    findings: list[Diagnosis]


class Repair(Resource):
    """One repair of a server."""

    id: str
    href: str
    server: str
    action: Annotated[str, one_of(ACTIONS)]
    state: Annotated[str, one_of(STATES)]
    requested_by: str
    requested_at: Moment
    ok: bool | None = Field(description="null until the server answers.")
    message: str
    log: str

    @classmethod
    def of(cls, server: str, told: RepairTold) -> Repair:
        state = "running" if told.ok is None else "succeeded" if told.ok else "failed"
        return cls(
            id=told.request,
            href=f"/api/v1/servers/{server}/repairs/{told.request}",
            server=server,
            action=told.action,
            state=state,
            requested_by=told.asked_by,
            requested_at=told.asked_at,
            ok=told.ok,
            message=str(told.message),
            log=told.log,
        )
