"""History as a stream: the events after a position, in an order that never changes."""

from __future__ import annotations

import threading
from collections.abc import Collection
from datetime import datetime, timedelta
from itertools import pairwise

from django.db import connection
from django.db.models import Max, Q

from mpm.changes.incomplete import PAST_THE_POINT
from mpm.changes.lifecycle import UNKNOWN_ENDS
from mpm.history import renamed
from mpm.history.event_kinds import matching
from mpm.models import Event

SETTLED_AFTER = timedelta(seconds=5)
"""How long a number that is missing between two events may still belong to a transaction that
has not ended. Longer: a reader waits for nothing. Shorter: a slow one could be passed over."""
LOOK_BACK = 500
_GAPS: dict[str, datetime] = {}
"""When this process first met a gap, by the hash of the event above it."""
_LOCK = threading.Lock()


def horizon(now: datetime) -> int:
    """The id up to which no event can still appear. 0 when there is none.

    Ids are assigned before a transaction ends, so with several writers 11 can be visible before 10,
    and a reader that continued to 11 would miss 10. So the stream ends before a missing number
    among the latest events, until this process has known of the gap for a while. The times of
    events can't be used: a late report has the time at which it happened.
    """
    latest = list(Event.objects.order_by("-id").values_list("id", "hash")[:LOOK_BACK])
    if not latest:
        return 0
    if connection.vendor != "sqlite" and len(latest) < LOOK_BACK:
        # Before the first event there may be one as well; SQLite has one writer at a time.
        latest.append((0, ""))
    settled = latest[0][0]
    gaps: dict[str, datetime] = {}
    for (identity, seal), (older, _) in pairwise(latest):
        if identity == older + 1:
            continue
        gaps[seal] = _GAPS.get(seal, now)
        if now - gaps[seal] <= SETTLED_AFTER:
            settled = older
    with _LOCK:
        _GAPS.clear()
        _GAPS.update(gaps)
    return settled


def events_after(
    position: int,
    limit: int,
    now: datetime,
    *,
    servers: Collection[str] | None = None,
    kinds: Collection[str] = (),
) -> tuple[list[Event], int]:
    """Up to ``limit`` events after ``position``, oldest first, and the next position.

    ``servers``: only of these (None: of all, and those of the panel itself). ``kinds``: only of
    these; ``change.*`` means all that start so. The next position also passes events excluded by
    the filters, so that they are not read twice.
    """
    end = horizon(now)
    query = Event.objects.filter(id__gt=position, id__lte=end).order_by("id")
    if servers is not None:
        query = query.filter(server_name__in=servers)
    if kinds:
        query = query.filter(_of_kinds(matching(kinds)))
    found = list(query[: limit + 1])
    if len(found) > limit:
        return found[:limit], found[limit - 1].pk
    return found, max(position, end)


def _of_kinds(kinds: Collection[str]) -> Q:
    """Events of ``kinds``, also those sealed under an earlier name. Earlier versions used *failed*
    for *not_started*."""
    failed, not_started = "change.failed", "change.not_started"
    if (failed in kinds) == (not_started in kinds):
        return Q(kind__in=renamed.spellings(*kinds))
    unknown, before = Q(data__decided_by__in=UNKNOWN_ENDS), renamed.BEFORE_THE_POINT
    if not_started in kinds:
        untouched = Q(kind=failed, data__step__in=before) & ~unknown
        return Q(kind__in=renamed.spellings(*kinds)) | untouched
    others = renamed.spellings(*(kind for kind in kinds if kind != failed))
    begun = Q(data__step__isnull=True) | Q(data__step__in=PAST_THE_POINT) | unknown
    return Q(kind__in=others) | (Q(kind=failed) & begun)


def last_id() -> int:
    return int(Event.objects.aggregate(last=Max("id"))["last"] or 0)
