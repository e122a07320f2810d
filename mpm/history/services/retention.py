"""Prunes old changes in small steps; the first and the last change of each server are kept.

Each step is a transaction over at most STEP events, so that it needs little memory, blocks briefly,
and can be repeated after a crash. A change's row, reports and log are deleted with its last event.
An event of the same chain records the deleted ranges and their hashes, so that the rest can be
verified after every step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max, Min

from mpm.history.seal import PRUNED, Gap
from mpm.history.services.events import append
from mpm.models import TERMINAL_STATES, Chain, Change, Event, LogChunk, PruningPermit, Report

STEP = 1000


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much one call took away, and whether it stopped before all was done."""

    events: int
    changes: int
    more: bool


def prune(now: datetime, days: int, *, steps: int = 200) -> Pruned:
    """Delete changes that ended more than ``days`` whole days ago; 0 keeps everything.

    Whole days, because each run that deletes something writes one event per server. At most
    ``steps`` steps per call; ``more``: another call has more to do.
    """
    if days <= 0:
        return Pruned(0, 0, more=False)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    cutoff = midnight - timedelta(days=days)
    events = changes = 0
    for name in Chain.objects.order_by("server_name").values_list("server_name", flat=True):
        after = 0
        while True:
            if steps <= 0:
                return Pruned(events, changes, more=True)
            steps -= 1
            deleted, ended, after = _step(name, cutoff, after, now)
            events, changes = events + deleted, changes + ended
            if not after:
                break
    return Pruned(events, changes, more=False)


def _kept(server_name: str) -> set[int]:
    """The first and the last change of a server, which are never deleted."""
    ends = Change.objects.filter(server_name=server_name).aggregate(Min("pk"), Max("pk"))
    return {pk for pk in ends.values() if pk is not None}


def _step(server_name: str, cutoff: datetime, after: int, now: datetime) -> tuple[int, int, int]:
    """One step; returns how many events and changes went, and after which number the next step
    begins (0: there is none)."""
    with transaction.atomic():
        Chain.objects.select_for_update().get(server_name=server_name)
        window = list(
            Event.objects.filter(server_name=server_name, seq__gt=after, at__lt=cutoff)
            .order_by("seq")
            .values_list("seq", "change_id", "kind", "previous_hash", "hash")[:STEP]
        )
        if not window:
            return 0, 0, 0
        pruned = _prunable({row[1] for row in window if row[1]}, server_name, cutoff)
        gaps = list(
            _gaps(
                (seq, previous, own)
                for seq, change, kind, previous, own in window
                if kind != PRUNED and (not change or change in pruned)
            )
        )
        deleted = ended = 0
        if gaps:
            append(
                PRUNED,
                now,
                server_name=server_name,
                data={"before": cutoff.isoformat(), "gaps": [gap.as_json() for gap in gaps]},
            )
            PruningPermit.objects.bulk_create(
                PruningPermit(server_name=server_name, first_seq=gap.first, last_seq=gap.last)
                for gap in gaps
            )
            for gap in gaps:
                deleted += Event.objects.filter(
                    server_name=server_name, seq__range=(gap.first, gap.last)
                ).prune()
            ended = _prune_changes(pruned)
            PruningPermit.objects.filter(server_name=server_name).delete()
        return deleted, ended, window[-1][0] if len(window) == STEP else 0


def _prunable(changes: set[int], server_name: str, cutoff: datetime) -> set[int]:
    """The ``changes`` that ended before ``cutoff`` and have no later events."""
    old = Change.objects.filter(
        pk__in=changes, state__in=TERMINAL_STATES, finished_at__lt=cutoff
    ).exclude(pk__in=_kept(server_name))
    recent = Event.objects.filter(change__in=changes, at__gte=cutoff)
    return set(old.values_list("pk", flat=True)) - set(recent.values_list("change_id", flat=True))


def _gaps(events: Iterable[tuple[int, str, str]]) -> Iterable[Gap]:
    """Join neighbours: (number, hash before, own hash) in order, to as few gaps as can be."""
    current: Gap | None = None
    for seq, previous, own in events:
        if current is not None and seq == current.last + 1:
            current = Gap(current.first, seq, current.before, own)
            continue
        if current is not None:
            yield current
        current = Gap(seq, seq, previous, own)
    if current is not None:
        yield current


def _prune_changes(changes: set[int]) -> int:
    """Delete the changes without remaining events, with their reports and logs."""
    held = Event.objects.filter(change__in=changes).values_list("change_id", flat=True)
    free = sorted(changes - set(held))
    LogChunk.objects.filter(change__in=free).prune()
    Report.objects.filter(change__in=free).prune()
    Change.objects.filter(rollback_of__in=free).update(rollback_of=None)
    # Only the numbers: otherwise Django reads every plan before it deletes its row.
    rows = Change.objects.filter(pk__in=free).only("pk")
    return rows.delete()[1].get("mpm.Change", 0)
