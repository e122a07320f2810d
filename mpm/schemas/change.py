"""A change, as a list shows it and whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from easyapache.ea4.protocol import Step as Steps
from easyapache.ea4.sentences import plain
from mpm.changes.lifecycle import STATES
from mpm.history import renamed
from mpm.schemas.finding import Finding
from mpm.schemas.resource import Moment, Resource, Role, one_of

if TYPE_CHECKING:
    from mpm.models import Change as Row

ORIGINS = ("web", "rest", "whmapi", "cli", "schedule", "outside")
STEPS = tuple(step.value for step in Steps)
STATUSES = ("started", "done", "failed", "skipped")
METHODS = ("overlap", "graceful-stop", "script", "start", "simulated")

State = Annotated[str, one_of(STATES)]
Origin = Annotated[str, one_of(ORIGINS)]


class Selection(Resource):
    """An MPM, with or without MPM ITK."""

    mpm: str | None = Field(
        description="event, worker or prefork; null unless there is exactly one."
    )
    itk: bool


class Change(Resource):
    """One change of the MPM of a server."""

    id: int = Field(description="The number shown in the panel.")
    uuid: str = Field(description="The id in the server's log and package manager.")
    href: str
    server: str
    state: State = Field(
        description="scheduled, queued, running, canceling; then succeeded, restored (failed, and "
        "the previous state was restored automatically), not_started (refused or failed before "
        "anything changed), failed (needs attention) or canceled, which never changes again."
    )
    finished: bool
    step: Annotated[str, one_of(("", *STEPS))] = Field(
        description="The latest step; empty before the first."
    )
    from_: Selection = Field(alias="from", description="Before the change.")
    to: Selection = Field(description="After the change.")
    reason: str
    ticket: str
    requested_by: str = Field(description="The user, token or program that requested it.")
    role: Role = Field(description="The role of requested_by; empty for an external change.")
    origin: Origin = Field(description="The source; outside: not made by this panel.")
    token: str = Field(description="The name of the token; empty if there was none.")
    address: str = Field(description="The IP address it was requested from; empty where unknown.")
    request_id: str = Field(description="X-Request-Id of the request that caused it.")
    digest: str = Field(description="The digest of the confirmed plan.")
    base_digest: str = Field(description="The digest of the state that the plan starts from.")
    requested_at: Moment
    not_before: Moment | None
    not_after: Moment | None
    started_at: Moment | None
    finished_at: Moment | None
    silent_since: Moment | None = Field(description="Set while the agent is offline.")
    outcome: str = Field(description="The outcome in words; empty until the change finishes.")
    decided_by: str = Field(description="What decided the outcome: a step, cancel, recover …")
    error: str
    refused: int | None = Field(description="Connections refused during the change.")
    longest_wait_ms: float | None = Field(description="The longest wait of a visitor.")
    log_size: int = Field(description="In bytes.")
    rollback_of: int | None = Field(description="The id of the change that this one rolls back.")

    @classmethod
    def of(cls, row: Row) -> Change:
        """``row`` without the columns that only ``ChangeDetail`` reads."""
        return cls(**_fields(row))


class MovedPackage(Resource):
    """A package that a change installs or removes."""

    name: str
    evr: str = Field(description="Epoch (unless 0), version and release.")
    arch: str
    reason: str
    cause: Annotated[str, one_of(("", "asked", "dependency", "conflict", "dependent"))] = Field(
        description="The reason as a code; empty in changes made by earlier versions."
    )

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> MovedPackage:
        return cls(**{name: str(item.get(name) or "") for name in cls.model_fields})


class StepReport(Resource):
    """A step that started or finished."""

    step: Annotated[str, one_of(STEPS)]
    status: Annotated[str, one_of(STATUSES)]
    at: Moment
    detail: str


class Check(Resource):
    """One observation of the server."""

    name: str
    title: str
    expected: str
    seen: str
    ok: bool

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Check:
        texts = {name: str(item.get(name) or "") for name in ("name", "title", "expected", "seen")}
        return cls(**texts, ok=item.get("ok") is True)


class Evidence(Resource):
    """Everything that was checked before, after, or after undoing the change."""

    phase: Annotated[str, one_of(("before", "after", "undo"))]
    checks: list[Check]


class Interruption(Resource):
    """The visitor impact, and how Apache was restarted. Null if it wasn't measured."""

    method: Annotated[str, one_of(("", *METHODS))]
    reason: str = Field(description="Why this method, in the server's own words.")
    probes: int
    refused: int | None
    reset: int | None
    longest_wait_ms: float | None
    window_ms: float | None = Field(description="The measured time.")
    partial: bool = Field(description="A part of the change wasn't measured.")

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Interruption:
        """Without the list of single probes, which the page of the change draws."""
        return cls(
            method=str(data.get("method") or ""),
            reason=str(data.get("reason") or ""),
            probes=int(data.get("probes") or 0),
            refused=data.get("refused"),
            reset=data.get("reset"),
            longest_wait_ms=data.get("longest_wait_ms"),
            window_ms=data.get("window_ms"),
            partial=bool(data.get("partial")),
        )


class Moved(Resource):
    """The server's own plan, if it differs from the confirmed one."""

    install: list[str]
    remove: list[str]


class Diagnosed(Resource):
    """A known problem that was found while the change ran."""

    code: str
    title: str
    message: str
    remedy: str
    repair: str = Field(description="The action of a safe repair; empty if there is none.")

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Diagnosed:
        return cls(**{name: str(item.get(name) or "") for name in cls.model_fields})


class TimelineEntry(Resource):
    """An entry in the timeline of a change."""

    at: Moment
    kind: str
    title: str
    detail: str
    status: str


class ChangeDetail(Change):
    """A change with its packages, steps, evidence and timeline."""

    install: list[MovedPackage]
    remove: list[MovedPackage]
    findings: list[Finding]
    steps: list[StepReport]
    evidence: list[Evidence]
    diagnosis: list[Diagnosed]
    interruption: Interruption | None
    moved: Moved | None = Field(
        description="The server's own plan, if it differs from the confirmed one."
    )
    story: list[str] = Field(description="The whole change in plain sentences.")
    timeline: list[TimelineEntry]
    why_not_cancel: str = Field(description="Empty while it can be canceled.")
    why_not_roll_back: str = Field(description="Empty when it can be rolled back.")

    @classmethod
    def with_more(
        cls,
        row: Row,
        *,
        steps: Iterable[StepReport],
        evidence: Iterable[Evidence],
        timeline: Iterable[TimelineEntry],
        story: Iterable[str],
        why_not_cancel: str,
        why_not_roll_back: str,
    ) -> ChangeDetail:
        """``row`` with all its columns, and what is told of it elsewhere."""
        plan = plain(row.plan or {})
        return cls(
            **_fields(row),
            install=[MovedPackage.of(item) for item in plan.get("install", ())],
            remove=[MovedPackage.of(item) for item in plan.get("remove", ())],
            findings=[Finding.of(item) for item in plan.get("findings", ())],
            steps=list(steps),
            evidence=list(evidence),
            diagnosis=[
                Diagnosed.of(item) for item in plain(renamed.findings_of(row.diagnosis or ()))
            ],
            interruption=Interruption.of(plain(row.interruption)) if row.interruption else None,
            moved=Moved(**_names(row.moved)) if row.moved else None,
            timeline=list(timeline),
            story=[str(sentence) for sentence in story],
            why_not_cancel=str(why_not_cancel),
            why_not_roll_back=str(why_not_roll_back),
        )


def _names(transaction: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        way: [str(item.get("name", "")) for item in transaction.get(way, ())]
        for way in ("install", "remove")
    }


def _fields(row: Row) -> dict[str, Any]:
    return {
        "id": row.pk,
        "uuid": row.uuid,
        "href": f"/api/v1/changes/{row.pk}",
        "server": row.server_name,
        "state": str(row.state),
        "finished": row.finished,
        "step": row.step,
        "from_": Selection(mpm=row.from_mpm or None, itk=row.from_itk),
        "to": Selection(mpm=row.to_mpm or None, itk=row.to_itk),
        "reason": row.reason,
        "ticket": row.ticket,
        "requested_by": row.actor_name,
        "role": row.actor_role,
        "origin": str(row.origin),
        "token": row.token_name,
        "address": row.address,
        "request_id": row.request_id,
        "digest": row.digest,
        "base_digest": row.base_digest,
        "requested_at": row.requested_at,
        "not_before": row.not_before,
        "not_after": row.not_after,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "silent_since": row.silent_since,
        "outcome": str(row.sentence),
        "decided_by": row.decided_by,
        "error": str(row.error),
        "refused": row.refused,
        "longest_wait_ms": row.longest_wait_ms,
        "log_size": row.log_size,
        "rollback_of": row.rollback_of_id,
    }
