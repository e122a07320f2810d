"""The shape of the history: how many changes and failures per day, and who appears in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connection
from django.db.models import Count, Q
from django.db.models.functions import TruncDate

from mpm.history.filters import ChangeFilters
from mpm.models import Change, State

_PEOPLE = """
    WITH RECURSIVE step(value) AS (
        SELECT MIN(actor_name) FROM mpm_change
        UNION ALL
        SELECT (SELECT MIN(actor_name) FROM mpm_change WHERE actor_name > step.value)
        FROM step WHERE step.value IS NOT NULL
    )
    SELECT value FROM step WHERE value IS NOT NULL AND value <> '' LIMIT %s
"""
"""Jumps from value to value along the index; a DISTINCT would read a million rows."""
_TICKETS = _PEOPLE.replace("actor_name", "ticket")


@dataclass(frozen=True, slots=True)
class Day:
    """How many changes were asked for on one day, and how many of them went wrong."""

    day: date
    total: int
    failed: int


def activity(filters: ChangeFilters, until: datetime, days: int = 60) -> tuple[Day, ...]:
    """The ``days`` days that end with ``until``, those without a change included. Filters other
    than dates apply."""
    start = (until - timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    narrowed = ChangeFilters(
        **{
            **{name: getattr(filters, name) for name in filters.__slots__},
            "since": start,
            # A day behind the last one would be counted and not shown; usually there is none.
            "until": None,
        }
    )
    wrong = Q(state__in=(State.FAILED, State.ROLLED_BACK))
    counted = {
        row["day"]: row
        for row in narrowed.apply(Change.objects.order_by())
        .annotate(day=TruncDate("requested_at"))
        .values("day")
        .annotate(total=Count("pk"), failed=Count("pk", filter=wrong))
    }
    result = []
    for number in range(days):
        day = (start + timedelta(days=number)).date()
        row = counted.get(day, {"total": 0, "failed": 0})
        result.append(Day(day, row["total"], row["failed"]))
    return tuple(result)


def known_people(limit: int = 200) -> list[str]:
    """Everybody who appears in the history, without reading all of it."""
    return _distinct(_PEOPLE, limit)


def known_tickets(limit: int = 200) -> list[str]:
    return _distinct(_TICKETS, limit)


def _distinct(query: str, limit: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query, [limit])
        return [str(row[0]) for row in cursor.fetchall()]
