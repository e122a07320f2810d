"""Proves that nothing in the history was altered: in the database, or in an export on any machine.

The chain of each server is read once, in its order, at constant memory (mpm.seal). In the
database more can be held against it: the head kept beside each chain, the triggers that
guard it, and what the rows of changes say now against what was sealed when they were asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from django.db import connection

from mpm.models import TERMINAL_STATES, Chain, Change, Event
from mpm.models.guards import missing_guards
from mpm.seal import Fault, check_chain

ASKED = ("change.requested", "change.queued", "change.outside")


class BadExport(ValueError):
    """The file is no export of the history."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, and everything that was found wrong (nothing: it is as written)."""

    chains: int
    events: int
    faults: tuple[Fault, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "verified": not self.faults,
            "chains": self.chains,
            "events": self.events,
            "faults": [fault.as_json() for fault in self.faults],
        }


def exported(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """Events as an export holds them: what is sealed, and the two hashes."""
    for event in events:
        yield {
            **event.sealed,
            "previous_hash": event.previous_hash,
            "hash": event.hash,
        }


def verify_database() -> Verdict:
    """Read every chain, and hold the rows of changes against it."""
    faults = [
        Fault("", 0, f"The database trigger {name} is missing: it no longer guards history.")
        for name in missing_guards(connection)
    ]
    chains = events = 0
    for chain in Chain.objects.order_by("server_name").iterator():
        chains += 1
        rows = Event.objects.filter(server_name=chain.server_name).order_by("seq")
        counted = _Counted(exported(rows.iterator(chunk_size=500)))
        faults += check_chain(chain.server_name, counted, (chain.seq, chain.hash))
        events += counted.count
    orphans = Event.objects.exclude(server_name__in=Chain.objects.values("server_name"))
    if orphans.exists():
        faults.append(Fault("", 0, "There are events of a chain that has no head."))
    faults += _rows_against_events()
    return Verdict(chains, events, tuple(faults))


class _Counted:
    def __init__(self, items: Iterable[Mapping[str, Any]]) -> None:
        self._items, self.count = items, 0

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for item in self._items:
            self.count += 1
            yield item


def _rows_against_events() -> Iterator[Fault]:
    asked = (
        Event.objects.filter(kind__in=ASKED, actor_role__gt="", change__isnull=False)
        .exclude(data={})
        .select_related("change")
        .order_by("pk")
    )
    for event in asked.iterator(chunk_size=200):
        change = event.change
        if change is None or "uuid" not in event.data:
            continue
        for what, sealed, now in (
            ("its id", event.data["uuid"], change.uuid),
            ("the reason", event.data["reason"], change.reason),
            ("the ticket", event.data["ticket"], change.ticket),
            ("the MPM before", event.data["from"]["mpm"], change.from_mpm),
            ("the MPM asked for", event.data["to"]["mpm"], change.to_mpm),
            ("the digest of the plan", event.data["digest"], change.digest),
            ("what was to come in", event.data["install"], _names(change.plan, "install")),
            ("what was to leave", event.data["remove"], _names(change.plan, "remove")),
        ):
            if sealed != now:
                yield Fault(
                    event.server_name, event.seq, f"Change #{change.pk}: {what} was altered."
                )
        if event.kind != "change.outside" and event.actor_name != change.actor_name:
            yield Fault(
                event.server_name, event.seq, f"Change #{change.pk}: its author was altered."
            )
    yield from _ends_against_events()


def _names(plan: Mapping[str, Any], side: str) -> list[str]:
    return [str(item["name"]) for item in plan.get(side, ())]


def _ends_against_events() -> Iterator[Fault]:
    ends = [f"change.{state.value}" for state in TERMINAL_STATES]
    for event in (
        Event.objects.filter(kind__in=ends).select_related("change").order_by("pk")
    ).iterator(chunk_size=200):
        if event.change is not None and f"change.{event.change.state}" != event.kind:
            yield Fault(
                event.server_name, event.seq, f"Change #{event.change.pk}: its end was altered."
            )
    finished = Change.objects.filter(state__in=TERMINAL_STATES, events=None)
    for change in finished.only("pk", "server_name").iterator(chunk_size=200):
        yield Fault(change.server_name, 0, f"Change #{change.pk} is not in the history.")


def verify_export(path: Path) -> Verdict:
    """Check a JSON export (one event per line, or one JSON list) without any database.

    An export may begin in the middle of a chain (it was filtered by date): then the first
    event's seal is believed and everything after it proved. Raises BadExport.
    """
    faults: list[Fault] = []
    chains = events = 0
    rows = _read_events(path)
    for name, group in groupby(rows, key=lambda row: str(row["server_name"])):
        chains += 1
        counted = _Counted(group)
        faults += check_chain(name, counted, whole=False)
        events += counted.count
    return Verdict(chains, events, tuple(faults))


def _read_events(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as handle:
            for number, line in enumerate(handle, start=1):
                text = line.strip().rstrip(",")
                if text in ("", "[", "]"):
                    continue
                try:
                    row = json.loads(text)
                except json.JSONDecodeError as error:
                    raise BadExport(f"{path}, line {number}: not JSON ({error.msg})") from error
                if not isinstance(row, dict) or not {"seq", "hash", "server_name"} <= set(row):
                    raise BadExport(f"{path}, line {number}: not an event of an export")
                yield row
    except (OSError, UnicodeDecodeError) as error:
        raise BadExport(f"{path} cannot be read: {error}") from error
