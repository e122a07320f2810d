"""Records messages of agents: reports and log of a change, exactly once and in order."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from easyapache.ea4.profile import Package, Transaction
from easyapache.ea4.protocol import (
    CancelReport,
    FindingReport,
    InterruptionReport,
    MovedReport,
    Outcome,
    OutcomeReport,
    Report,
    ReportData,
    StepReport,
    SyncRequest,
)
from easyapache.ea4.schema import BadMessage
from easyapache.ea4.sentences import Sentence
from mpm.access.services.actor import agent_of
from mpm.changes.lifecycle import end_of
from mpm.changes.models.change import Origin
from mpm.changes.services import unrequested
from mpm.changes.services.outside import outside_change
from mpm.changes.services.planning import keep_answer
from mpm.changes.services.transition import move
from mpm.history import seal_payload
from mpm.history.services.events import append
from mpm.models import ACTIVE_STATES, Change, LogChunk, State
from mpm.models import Report as ReportRow
from mpm.servers.agents import wake
from mpm.servers.inventory import Movement, record_scan
from mpm.servers.looks import rescan
from mpm.servers.models import Server
from mpm.servers.reading import sent_at

log = logging.getLogger(__name__)

BELIEVED_AFTER = timedelta(seconds=8)
QUIET, AT_ONCE = timedelta(seconds=60), 20
"""Time without further reports before they are sealed; changes per round."""
LONGEST_CHUNK = 1024 * 1024
"""More log than this in one message is refused; agents send far smaller pieces."""


def find_change(server_name: str, uuid: str) -> Change | None:
    """The change an agent reports on. An agent can only report on its own server's changes."""
    ours = Change.objects.exclude(origin=Origin.OUTSIDE)
    found = ours.filter(uuid=uuid, server__name=server_name).first()
    if found is None:
        log.warning("the agent of %s reported on the unknown change %.32r", server_name, uuid)
        unrequested.note_unrequested(server_name, uuid, timezone.now(), agent_of(server_name))
    return found


def mark_seen(server_name: str, at: datetime, change: Change | None = None) -> None:
    """Record a sign of life of ``server_name`` and its change. A message recorded ``at`` one moment
    may have been sent earlier."""
    at = sent_at(at)
    earlier = Q(last_seen_at=None) | Q(last_seen_at__lt=at)
    Server.objects.filter(earlier, name=server_name).update(last_seen_at=at)
    active = Change.objects.filter(server__name=server_name, state__in=ACTIVE_STATES)
    active.exclude(silent_since=None).update(silent_since=None)
    if change is not None:
        Change.objects.filter(pk=change.pk, state__in=ACTIVE_STATES).update(heartbeat_at=at)


def request_rest(change: Change) -> None:
    """Request all reports and log that have not arrived from the agent."""
    after = SyncRequest(change.uuid, change.last_report, change.log_size)
    wake(change.server_name, "sync", after.as_json())


def record_reports(server: str, change: str, reports: Iterable[Report]) -> int:
    """Record the reports of one message; returns how many were new.

    Known reports are skipped. One that does not follow the last known is left for later, and the
    missing ones are requested. Raises BadMessage for an invalid report; then nothing of the message
    is stored.
    """
    parsed = sorted(map(_parsed, reports), key=lambda pair: pair[0].seq)
    found = find_change(server, change)
    if found is None:
        return 0
    now = timezone.now()
    fresh, gap = 0, False
    with transaction.atomic():
        row = _locked(found)
        mark_seen(server, now, row)
        for report, content in parsed:
            if report.seq <= row.last_report:
                unrequested.note_contradiction(row, report, now, agent_of(server))
                continue
            if report.seq != row.last_report + 1:
                gap = True
                break
            _take(row, report, content, now)
            fresh += 1
    if gap:
        request_rest(row)
    return fresh


def _parsed(report: Report) -> tuple[Report, ReportData | None]:
    if report.seq > unrequested.MOST_REPORTS:
        raise BadMessage(f"a change has at most {unrequested.MOST_REPORTS} reports")
    return report, report.parsed()


def _locked(change: Change) -> Change:
    """The row, locked after its server's: all code locks the two in this order."""
    Server.objects.select_for_update().get(pk=change.server_id)
    return Change.objects.select_for_update().get(pk=change.pk)


def _take(change: Change, report: Report, content: ReportData | None, now: datetime) -> None:
    at = _moment(report.at, now)
    ReportRow.objects.create(
        change=change, seq=report.seq, at=at, kind=report.kind, data=dict(report.data)
    )
    late: dict[str, Any] = {"unsealed_since": now} if change.finished else {}
    _set(change, last_report=report.seq, unknown_since=None, **late)
    if change.state == State.QUEUED:
        move(
            change,
            (State.QUEUED,),
            State.RUNNING,
            at,
            actor=agent_of(change.server_name),
            started_at=at,
        )
    # The outcome of a change is final; later reports are in its timeline, and sealed separately.
    match content:
        case StepReport():
            _step(change, content, at)
        case FindingReport():
            _finding(change, dict(report.data))
        case InterruptionReport():
            _interruption(change, content, dict(report.data))
        case MovedReport() if not change.finished:
            _set(change, moved=report.data["transaction"])
        case CancelReport() if not content.accepted:
            _refused_to_cancel(change, content, at)
        case OutcomeReport():
            _outcome(change, content, at, now)


def _set(change: Change, **fields: Any) -> None:
    Change.objects.filter(pk=change.pk).update(**fields)
    for name, value in fields.items():
        setattr(change, name, value)


def _step(change: Change, content: StepReport, at: datetime) -> None:
    if change.finished:
        return
    fields: dict[str, Any] = {"step": content.step.value}
    if change.started_at is None:
        fields["started_at"] = at
    _set(change, **fields)


def _finding(change: Change, data: dict[str, Any]) -> None:
    """Add a finding, unless it was reported at an earlier attempt."""
    if not change.finished and data not in change.diagnosis:
        _set(change, diagnosis=[*change.diagnosis, data])


def _interruption(change: Change, content: InterruptionReport, data: dict[str, Any]) -> None:
    """A change that was undone restarts httpd twice; the visitor impact is the sum of both. Values
    that were not measured are unknown (None), so a sum with them can't be 0.
    """
    if change.finished:
        return
    earlier = change.interruption
    counts = [] if earlier is None else [change.refused]
    measured = content.measured
    counts.append(int(content.refused or 0) + int(content.reset or 0) if measured else None)
    total = sum(count or 0 for count in counts)
    waits = [change.longest_wait_ms, content.longest_wait_ms if measured else None]
    partial = content.partial or bool((earlier or {}).get("partial"))
    _set(
        change,
        interruption={**data, "partial": partial},
        refused=None if total == 0 and None in counts else total,
        longest_wait_ms=max((wait for wait in waits if wait is not None), default=None),
    )


def _refused_to_cancel(change: Change, content: CancelReport, at: datetime) -> None:
    reason = content.reason[:500]
    move(
        change,
        (State.CANCELING,),
        State.RUNNING,
        at,
        actor=agent_of(change.server_name),
        kind="change.cancel_refused",
        data={"reason": reason},
        cancel_refused=reason,
    )


def _outcome(change: Change, report: OutcomeReport, at: datetime, now: datetime) -> None:
    """The last line of the journal: the state of the server, and therefore the outcome."""
    agent, outcome, seen = agent_of(change.server_name), report.outcome, report.profile
    more = (
        unrequested.unexpected(change, seen) if seen and outcome is Outcome.SUCCEEDED else ((), ())
    )
    sentence = report.ending
    if any(more):
        outcome, sentence = Outcome.FAILED, _more_than_confirmed(*more)
    decided_by = "confirmed" if any(more) else report.decided_by[:200]
    # The steps of a change that was closed manually are no longer followed.
    end = outcome if change.finished else Outcome(end_of(outcome, change.step, decided_by))
    result: dict[str, Any] = {
        "outcome": end.value,
        "decided_by": decided_by,
        "sentence": sentence,
        "refused": change.refused,
        "longest_wait_ms": change.longest_wait_ms,
    }
    failed = outcome is not Outcome.SUCCEEDED
    error = _error_of(change, result["sentence"]) if failed else ""
    ended = move(
        change,
        (State.RUNNING, State.CANCELING),
        State(end.value),
        at,
        actor=agent,
        finished_at=at,
        sentence=result["sentence"],
        decided_by=result["decided_by"],
        error=error,
        silent_since=None,
        search="\n".join(part for part in (change.search, error.lower()) if part),
    )
    if not ended:
        # It was closed manually; that is final, and the real outcome is recorded beside it.
        append(
            "change.late_outcome",
            now,
            server_name=change.server_name,
            change=change,
            actor=agent,
            data=result,
        )
    if seen is not None:
        server = Server.objects.select_for_update().get(pk=change.server_id)
        record_scan(server, seen, now, "change")
        if any(more):
            outside_change(server, Movement(unrequested.confirmed_profile(change, seen), seen), now)
        if change.moved and not change.undo_of and seen.digest == change.base_digest:
            keep_answer(change, seen, Transaction.from_json(change.moved), now)


def _more_than_confirmed(there: Iterable[Package], missing: Iterable[Package]) -> str:
    return Sentence(
        "The agent reports success, but more packages changed than you confirmed. Also "
        "installed: {there}. Also removed: {missing}.",
        there=", ".join(item.nevra for item in there) or Sentence("none"),
        missing=", ".join(item.nevra for item in missing) or Sentence("none"),
    )


def _error_of(change: Change, sentence: str) -> str:
    texts = [f"{item.get('title', '')}: {item.get('message', '')}" for item in change.diagnosis]
    return "\n".join([sentence, *texts])[:10_000]


def record_log(server: str, change: str, offset: int, text: str) -> int:
    """Keep a piece of log (``text``: base64) that begins at ``offset``; returns the new bytes.

    A piece that overlaps stored bytes adds only its new end; one that leaves a gap is dropped, and
    the missing part requested. Raises BadMessage for an invalid piece.
    """
    try:
        data = base64.b64decode(text, validate=True)
        start = int(offset)
    except (binascii.Error, TypeError, ValueError) as error:
        raise BadMessage(f"not a log chunk: {error}") from error
    if start < 0 or len(data) > LONGEST_CHUNK:
        raise BadMessage("a log chunk starts before its log or is too long")
    found = find_change(server, change)
    if found is None:
        return 0
    now = timezone.now()
    with transaction.atomic():
        row = _locked(found)
        mark_seen(server, now, row)
        if max(row.log_size, start) + len(data) > unrequested.LONGEST_LOG:
            raise BadMessage("the log of the change would be too long")
        gap = start > row.log_size
        fresh = b"" if gap else data[row.log_size - start :]
        if fresh:
            LogChunk.objects.create(
                change=row, offset=row.log_size, size=len(fresh), data=fresh, received_at=now
            )
            late: dict[str, Any] = {"unsealed_since": now} if row.finished else {}
            _set(row, log_size=row.log_size + len(fresh), **late)
    if gap:
        request_rest(row)
    return len(fresh)


def seal_late_reports(now: datetime) -> None:
    """Seal reports that arrived after the end of changes by an event, once no more have arrived for
    a while."""
    due = Change.objects.filter(unsealed_since__lt=now - QUIET)
    for pk in list(due.values_list("pk", flat=True)[:AT_ONCE]):
        with transaction.atomic():
            row = _locked(Change.objects.get(pk=pk))
            if row.unsealed_since is None or row.unsealed_since >= now - QUIET:
                continue
            append(
                seal_payload.LATE_REPORT,
                now,
                server_name=row.server_name,
                change=row,
                actor=agent_of(row.server_name),
                data=seal_payload.received(row),
            )
            _set(row, unsealed_since=None)


def record_unknown(server: str, change: str) -> None:
    """The agent does not have a change: accepted when it reports so twice, some time apart.

    Once could be a message that overtook another. A queued change is simply sent again by the
    sweep. A change being canceled that had not started is canceled. A change that had started ends
    as failed: the agent lost its spool, and only a scan of the server shows the state.
    """
    found = find_change(server, change)
    if found is None:
        return
    now = timezone.now()
    with transaction.atomic():
        row = _locked(found)
        mark_seen(server, now, row)
        if row.state not in (State.RUNNING, State.CANCELING):
            return
        if row.unknown_since is None:
            _set(row, unknown_since=now)
            return
        if now - row.unknown_since < BELIEVED_AFTER:
            return
        if row.state == State.CANCELING and row.last_report == 0:
            move(
                row,
                (State.CANCELING,),
                State.CANCELED,
                now,
                finished_at=now,
                sentence=Sentence("Canceled before the server started it. Nothing was changed."),
                decided_by="cancel",
            )
            return
        sentence = Sentence(
            "The agent has no record of this change: its spool was emptied or replaced during "
            "the change. The next check shows the state of the server."
        )
        move(
            row,
            (State.RUNNING, State.CANCELING),
            State.FAILED,
            now,
            finished_at=now,
            sentence=sentence,
            error=sentence,
            decided_by="spool",
        )
    rescan(row.server)


def _moment(text: str, otherwise: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
