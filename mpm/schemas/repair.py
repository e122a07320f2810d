"""A repair of a server, and what is known to be wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from easyapache.ea4.conditions.repairs import REPAIR_LABELS
from mpm.schemas.finding import Diagnosis
from mpm.schemas.resource import Moment, Resource, one_of

if TYPE_CHECKING:
    from mpm.history.diagnosis import RepairRecord

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
    def of(cls, server: str, record: RepairRecord) -> Repair:
        state = "running" if record.ok is None else "succeeded" if record.ok else "failed"
        return cls(
            id=record.request,
            href=f"/api/v1/servers/{server}/repairs/{record.request}",
            server=server,
            action=record.action,
            state=state,
            requested_by=record.requested_by,
            requested_at=record.requested_at,
            ok=record.ok,
            message=str(record.message),
            log=record.log,
        )
