"""Compares the rows of changes, their reports and logs with the data sealed in events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from mpm.changes.models.change import Origin
from mpm.history import renamed, seal_payload
from mpm.history.seal import Fault
from mpm.models import Change, Event

AT_ONCE = 200
"""Changes held in memory at a time."""

KINDS = renamed.spellings(
    *seal_payload.REQUESTED,
    *seal_payload.ENDED,
    seal_payload.LATE_REPORT,
    seal_payload.ADOPTED,
    seal_payload.CANCELING,
)
WHO = {
    "actor_name": "who requested it",
    "actor_role": "the role of who requested it",
    "origin": "the source",
    "token_name": "the token of the request",
    "address": "the address of the request",
    "agent_class": "the client of the request",
    "request_id": "the id of the request",
}
WHAT = {
    "uuid": "its id",
    "from": "the MPM before",
    "to": "the requested MPM",
    "reason": "the reason",
    "ticket": "the ticket",
    "digest": "the digest of the plan",
    "base_digest": "the state it was planned for",
    "install": "the packages to install",
    "remove": "the packages to remove",
    "plan_sha256": "the plan",
    "rollback_of": "the change it rolls back",
    "undo_of": "the change it rolls back",
    "not_before": "the maintenance window",
    "not_after": "the maintenance window",
    "requested_at": "the time of the request",
    "person": "who requested it",
    "outcome": "its state",
    "step": "its last step",
    "sentence": "its outcome",
    "decided_by": "what decided its outcome",
    "refused": "the number of refused connections",
    "longest_wait_ms": "the longest wait",
    "started_at": "its start time",
    "finished_at": "its end time",
    "error_sha256": "the error",
    "diagnosis_sha256": "the diagnosis",
    "moved_sha256": "the server's own plan",
    "interruption_sha256": "the visitor impact",
}


def rows_against_events() -> Iterator[Fault]:
    """Every row that differs from its sealed data."""
    batch: list[_Sealed] = []
    events = Event.objects.filter(kind__in=KINDS, change__isnull=False)
    ordered = events.select_related("change").order_by("change_id", "pk")
    for _, group in groupby(ordered.iterator(chunk_size=AT_ONCE), key=lambda one: one.change_id):
        one = _Sealed.of(list(group))
        yield from _altered(one)
        batch.append(one)
        if len(batch) == AT_ONCE:
            yield from _altered_reports(batch)
            batch.clear()
    yield from _altered_reports(batch)
    unknown = Change.objects.exclude(events__isnull=False).only("pk", "server_name")
    for change in unknown.iterator(chunk_size=AT_ONCE):
        yield Fault(change.server_name, 0, f"Change #{change.pk} is not in the history.")


@dataclass(slots=True)
class _Sealed:
    """A change, its events, and the seals of its reports and log."""

    change: Change
    events: list[Event]
    reports: dict[int, str] = field(default_factory=dict)
    log: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, events: list[Event]) -> _Sealed:
        change = events[0].change
        assert change is not None
        found = cls(change, events)
        for event in events:
            if "reports_sha256" in event.data:
                found.reports[event.data["reports"]] = event.data["reports_sha256"]
                found.log[event.data["log"]] = event.data["log_sha256"]
        return found

    def fault(self, message: str, event: Event | None = None) -> Fault:
        seq = event.seq if event else self.events[-1].seq
        return Fault(self.change.server_name, seq, f"Change #{self.change.pk}: {message}")


def _altered(one: _Sealed) -> Iterator[Fault]:
    change = one.change
    found, ended = seal_payload.found(change), seal_payload.ended(change)
    for event in one.events:
        altered = set()
        kind = event.kind_now
        if kind in seal_payload.REQUESTED and "uuid" in event.data:
            altered |= _differences(event.data, found)
            if kind != seal_payload.OUTSIDE:
                altered |= {
                    what
                    for name, what in WHO.items()
                    if getattr(event, name) != getattr(change, name)
                }
            elif change.origin != Origin.OUTSIDE:
                altered.add(WHO["origin"])
        if kind in seal_payload.ENDED:
            altered |= _differences(event.data_now, ended)
            if kind not in (f"change.{change.state}", seal_payload.OUTSIDE):
                altered.add(WHAT["outcome"])
        if event.server_name != change.server_name:
            altered.add("its server")
        if kind == seal_payload.ADOPTED and event.actor_name != change.adopted_by:
            altered.add("who accepted it")
        if kind == seal_payload.CANCELING and event.actor_name != change.cancel_requested_by:
            altered.add("who canceled it")
        for what in sorted(altered):
            yield one.fault(f"{what} was changed.", event)
    kinds = {event.kind_now for event in one.events}
    if change.finished and not kinds & set(seal_payload.ENDED):
        yield one.fault("its outcome is not in the history.")
    if change.adopted_at is not None and seal_payload.ADOPTED not in kinds:
        yield one.fault("its acceptance is not in the history.")


def _differences(sealed: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    names = {name for name in now if name in sealed and sealed[name] != now[name]}
    if "rollback_of" in names and now["rollback_of"] is None and _is_pruned(sealed["rollback_of"]):
        names.remove("rollback_of")
    return {WHAT[name] for name in names}


def _is_pruned(number: int) -> bool:
    return not Change.objects.filter(pk=number).exists()


def _altered_reports(sealed: Iterable[_Sealed]) -> Iterator[Fault]:
    by_change = {one.change.pk: one for one in sealed if one.reports}
    reports = seal_payload.reports_of(*by_change).iterator(chunk_size=AT_ONCE)
    yield from _held(by_change, reports, seal_payload.reports_sealed, "reports")
    log = seal_payload.log_of(*by_change).iterator(chunk_size=20)
    yield from _held(by_change, log, seal_payload.log_sealed, "log")


def _held(
    sealed: Mapping[int, _Sealed],
    rows: Iterable[Any],
    seals: Callable[[Iterable[Any]], Iterator[tuple[int, str]]],
    what: str,
) -> Iterator[Fault]:
    """Compare ``rows``, ordered by change, with the seals of their kind (``what``)."""
    ends = dict.fromkeys(sealed, 0)
    proved: dict[int, set[int]] = {pk: {0} for pk in sealed}
    for pk, group in groupby(rows, key=lambda row: row.change_id):
        wanted = getattr(sealed[pk], what)
        for ends[pk], seal in seals(group):
            if wanted.get(ends[pk]) == seal:
                proved[pk].add(ends[pk])
    for pk, one in sealed.items():
        wanted = getattr(one, what)
        if not set(wanted) <= proved[pk]:
            yield one.fault(f"a report of its agent was changed ({what}).")
        elif ends[pk] > max(wanted) and one.change.unsealed_since is None:
            yield one.fault(f"a report was added that its agent did not send ({what}).")
