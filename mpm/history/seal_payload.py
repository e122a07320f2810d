"""The data of a change that events seal, to compare with its rows at any time.

The first event of a change seals the request (the requester is sealed in the event's own columns),
the last one the outcome and the agent's reports so far. Later reports are sealed by a separate
event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db import models

from mpm.history.seal import canonical, digest, stamp
from mpm.models import TERMINAL_STATES, Change, LogChunk, Report

OUTSIDE = "change.external"
REQUESTED = ("change.scheduled", "change.queued", OUTSIDE)
ENDED = (*(f"change.{state.value}" for state in TERMINAL_STATES), OUTSIDE)
LATE_REPORT, ADOPTED = "change.late_report", "change.accepted"
CANCELING = "change.canceling"
NOTHING = hashlib.sha256().hexdigest()


def requested(change: Change) -> dict[str, Any]:
    """The request."""
    return {
        "uuid": change.uuid,
        "from": {"mpm": change.from_mpm, "itk": change.from_itk},
        "to": {"mpm": change.to_mpm, "itk": change.to_itk},
        "reason": change.reason,
        "ticket": change.ticket,
        "digest": change.digest,
        "base_digest": change.base_digest,
        "install": [item["name"] for item in change.plan.get("install", ())],
        "remove": [item["name"] for item in change.plan.get("remove", ())],
        "plan_sha256": digest([change.choice, change.plan, change.transaction, change.goal]),
        "rollback_of": change.rollback_of_id,
        "undo_of": change.undo_of,
        "not_before": _moment(change.not_before),
        "not_after": _moment(change.not_after),
        "requested_at": _moment(change.requested_at),
    }


def found(change: Change) -> dict[str, Any]:
    """The same of an external change. The agent is the author of its event, so the user who made
    the change is sealed here."""
    return {**requested(change), "person": change.actor_name}


def ended(change: Change) -> dict[str, Any]:
    """The outcome."""
    return {
        "outcome": change.state,
        "step": change.step,
        "sentence": change.sentence,
        "decided_by": change.decided_by,
        "refused": change.refused,
        "longest_wait_ms": change.longest_wait_ms,
        "started_at": _moment(change.started_at),
        "finished_at": _moment(change.finished_at),
        "error_sha256": digest(change.error),
        "diagnosis_sha256": digest(change.diagnosis),
        "moved_sha256": digest(change.moved),
        "interruption_sha256": digest(change.interruption),
    }


def received(change: Change) -> dict[str, Any]:
    """The reports and log received so far, and their seals. Reads them piece by piece."""
    count, reports = _last(reports_sealed(reports_of(change).iterator(chunk_size=100)))
    size, log = _last(log_sealed(log_of(change).iterator(chunk_size=20)))
    return {"reports": count, "reports_sha256": reports, "log": size, "log_sha256": log}


def reports_of(*changes: Change | int) -> models.QuerySet[Report]:
    return Report.objects.filter(change__in=changes).order_by("change", "seq")


def log_of(*changes: Change | int) -> models.QuerySet[LogChunk]:
    return LogChunk.objects.filter(change__in=changes).order_by("change", "offset")


def reports_sealed(reports: Iterable[Report]) -> Iterator[tuple[int, str]]:
    """For each report of one change: its number, and the seal of all reports up to it."""
    sealed = hashlib.sha256()
    for row in reports:
        line = canonical([row.seq, stamp(row.at), row.kind, digest(row.data)])
        sealed.update(f"{line}\n".encode())
        yield row.seq, sealed.hexdigest()


def log_sealed(pieces: Iterable[LogChunk]) -> Iterator[tuple[int, str]]:
    """For each piece of one log: its end, and the seal of the log up to there."""
    sealed = hashlib.sha256()
    for row in pieces:
        data: Any = row.data  # SQLite stores values of any type
        sealed.update(data.encode() if isinstance(data, str) else bytes(data))
        yield row.offset + row.size, sealed.hexdigest()


def _last(seals: Iterable[tuple[int, str]]) -> tuple[int, str]:
    last = (0, NOTHING)
    for last in seals:  # noqa: B007 only the last one is used
        pass
    return last


def _moment(moment: datetime | None) -> str | None:
    return stamp(moment) if moment else None
