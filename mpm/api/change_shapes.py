"""A change as the API shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema
from pydantic import Field

from easyapache.ea4.sentences import plain
from mpm.api.shapes import FindingOut
from mpm.changes.services.cancel import why_not_cancel
from mpm.changes.services.rollback import why_not_roll_back
from mpm.history.story import story
from mpm.models import Change


class SideOut(Schema):
    mpm: str | None
    itk: bool


class ChangeOut(Schema):
    id: int = Field(description="The number people use.")
    uuid: str = Field(description="The id the server's log and package manager carry.")
    href: str
    server: str
    state: str = Field(
        description="scheduled, queued, running, canceling; then succeeded, restored (failed, and "
        "the previous state was restored automatically), not_started (refused or failed before "
        "anything changed), failed (needs attention) or canceled, which never changes again."
    )
    finished: bool
    step: str
    before: SideOut
    after: SideOut
    reason: str
    ticket: str
    origin: str = Field(description="web, rest, whmapi, cli, schedule or outside.")
    actor: str
    token: str
    request_id: str
    digest: str
    base_digest: str
    requested_at: datetime
    not_before: datetime | None
    not_after: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    sentence: str = Field(description="How it ended, in words.")
    decided_by: str
    error: str
    refused: int | None = Field(description="Connections that were refused during the change.")
    longest_wait_ms: float | None
    log_size: int
    rollback_of: int | None


class MovedPackageOut(Schema):
    name: str
    evr: str
    reason: str


class StepOut(Schema):
    step: str
    status: str
    at: datetime
    detail: str


class ChangeDetailOut(ChangeOut):
    """A change with what it moved, its steps, its evidence and what was found wrong."""

    install: list[MovedPackageOut]
    remove: list[MovedPackageOut]
    findings: list[FindingOut]
    steps: list[StepOut]
    evidence: list[dict[str, Any]]
    diagnosis: list[dict[str, Any]]
    interruption: dict[str, Any] | None
    moved: dict[str, Any] | None = Field(
        description="The server's own answer, where it was not the confirmed one."
    )
    story: list[str] = Field(description="The whole change in plain sentences.")
    why_not_cancel: str = Field(description="Empty while it can be canceled.")
    why_not_roll_back: str = Field(description="Empty when it can be rolled back.")


def change_json(change: Change) -> dict[str, Any]:
    def moment(value: datetime | None) -> str | None:
        return value.isoformat() if value else None

    return {
        "id": change.pk,
        "uuid": change.uuid,
        "href": f"/api/v1/changes/{change.pk}",
        "server": change.server_name,
        "state": str(change.state),
        "finished": change.finished,
        "step": change.step,
        "before": {"mpm": change.from_mpm or None, "itk": change.from_itk},
        "after": {"mpm": change.to_mpm or None, "itk": change.to_itk},
        "reason": change.reason,
        "ticket": change.ticket,
        "origin": change.origin,
        "actor": change.actor_name,
        "token": change.token_name,
        "request_id": change.request_id,
        "digest": change.digest,
        "base_digest": change.base_digest,
        "requested_at": change.requested_at.isoformat(),
        "not_before": moment(change.not_before),
        "not_after": moment(change.not_after),
        "started_at": moment(change.started_at),
        "finished_at": moment(change.finished_at),
        "sentence": change.sentence,
        "decided_by": change.decided_by,
        "error": change.error,
        "refused": change.refused,
        "longest_wait_ms": change.longest_wait_ms,
        "log_size": change.log_size,
        "rollback_of": change.rollback_of_id,
    }


def change_detail(change: Change) -> dict[str, Any]:
    reports = list(
        change.reports.filter(kind__in=["step", "evidence"])
        .order_by("seq")
        .values_list("kind", "at", "data")
    )
    plan = change.plan or {}
    return {
        **change_json(change),
        "install": [_moved(item) for item in plan.get("install", ())],
        "remove": [_moved(item) for item in plan.get("remove", ())],
        "findings": plain(list(plan.get("findings", ()))),
        "steps": [
            {
                "step": str(data.get("step", "")),
                "status": str(data.get("status", "")),
                "at": at.isoformat(),
                "detail": str(data.get("detail") or ""),
            }
            for kind, at, data in reports
            if kind == "step"
        ],
        "evidence": [plain(data) for kind, _, data in reports if kind == "evidence"],
        "diagnosis": plain(list(change.diagnosis or ())),
        "interruption": plain(change.interruption),
        "moved": change.moved,
        "story": story(change),
        "why_not_cancel": why_not_cancel(change),
        "why_not_roll_back": why_not_roll_back(change),
    }


def _moved(item: dict[str, Any]) -> dict[str, str]:
    return {
        "name": str(item.get("name", "")),
        "evr": str(item.get("evr", "")),
        "reason": str(item.get("reason", "")),
    }
