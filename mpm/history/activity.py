"""The shape of the history: how many changes and failures per day, and who appears in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

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
    """The ``days`` days that end with ``until`` (in its zone), those without a change included.
    Filters other than dates apply. One query.

    Each day is counted by itself along the index on time. Grouping by day would be shorter to
    write, but has the database work out the day of every row, which on SQLite calls Python for
    each: at a million changes that alone took longer than the rest of the page.
    """
    undated = ChangeFilters(
        **{
            **{name: getattr(filters, name) for name in filters.__slots__},
            "since": None,
            "until": None,
        }
    )
    rows = undated.apply(Change.objects.order_by())
    wrong = rows.filter(state__in=(State.FAILED, State.ROLLED_BACK))
    shown = [(until - timedelta(days=days - 1 - number)).date() for number in range(days)]
    starts = [_midnight(day, until) for day in [*shown, shown[-1] + timedelta(days=1)]]
    counts = _counts((rows, wrong), list(pairwise(starts)))
    return tuple(
        Day(day, total, failed)
        for day, total, failed in zip(shown, counts[:days], counts[days:], strict=True)
    )


def _midnight(day: date, like: datetime) -> datetime:
    return datetime.combine(day, time.min, tzinfo=like.tzinfo)


def _counts(
    subsets: Iterable[QuerySet[Change]], spans: Sequence[tuple[datetime, datetime]]
) -> list[int]:
    """How many rows of each subset lie in each span, asked all at once. (Django has no way to
    put independent counts into one statement; every value stays a parameter.)"""
    parts: list[str] = []
    values: list[Any] = []
    moment = connection.ops.adapt_datetimefield_value
    for subset in subsets:
        try:
            sql, parameters = subset.values("requested_at").query.sql_with_params()
        except EmptyResultSet:
            parts += ["0"] * len(spans)
            continue
        part = (
            f"(SELECT COUNT(*) FROM ({sql}) AS counted "  # noqa: S608 Django's own words
            "WHERE counted.requested_at >= %s AND counted.requested_at < %s)"
        )
        for start, end in spans:
            parts.append(part)
            values += [*parameters, moment(start), moment(end)]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(parts)}", values)
        row = cursor.fetchone()
    return [int(number) for number in row]


def known_people(limit: int = 200) -> list[str]:
    """Everybody who appears in the history, without reading all of it."""
    return _distinct(_PEOPLE, limit)


def known_tickets(limit: int = 200) -> list[str]:
    return _distinct(_TICKETS, limit)


def _distinct(query: str, limit: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query, [limit])
        return [str(row[0]) for row in cursor.fetchall()]
