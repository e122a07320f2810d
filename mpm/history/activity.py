"""The shape of the history: how many changes and failures per day, and who appears in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import accumulate, pairwise
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

from mpm.history.filters import BEHIND_ALL, ChangeFilters
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
    Filters other than dates apply. Two queries.

    Numbers are given in the order of time, so that a day is a piece of the numbers: each is
    counted by itself along the index of a filter, without a look at any row. (Where two changes are
    asked for in the same instant of midnight one may count for its neighbour.)
    """
    shown = [(until - timedelta(days=days - 1 - number)).date() for number in range(days)]
    starts = [_midnight(day, until) for day in [*shown, shown[-1] + timedelta(days=1)]]
    rows = filters.apply(Change.objects.order_by())
    if not filters.equal:
        rows = rows.filter(state__in=State.values)  # all of them, along an index that has no more
    wrong = rows.filter(state__in=(State.FAILED, State.ROLLED_BACK))
    counts = _counts((rows, wrong), list(pairwise(_first_numbers(starts))))
    return tuple(
        Day(day, counts.get((0, number), 0), counts.get((1, number), 0))
        for number, day in enumerate(shown)
    )


def _midnight(day: date, like: datetime) -> datetime:
    return datetime.combine(day, time.min, tzinfo=like.tzinfo)


def _first_numbers(moments: Sequence[datetime]) -> list[int]:
    """The number of the first change at or after each of ``moments``, which ascend."""
    one = "(SELECT id FROM mpm_change WHERE requested_at >= %s ORDER BY requested_at LIMIT 1)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(one for _ in moments)}",
            [connection.ops.adapt_datetimefield_value(moment) for moment in moments],
        )
        found = cursor.fetchone()
    return list(accumulate((BEHIND_ALL if number is None else number for number in found), max))


def _counts(
    subsets: Iterable[QuerySet[Change]], pieces: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    """How many of each of ``subsets`` are in each piece of the numbers, by the places of both,
    asked all at once. (Django has no way to put independent counts into one statement; every
    value stays a parameter.)"""
    parts: list[str] = []
    values: list[Any] = []
    for number, subset in enumerate(subsets):
        try:
            sql, parameters = subset.values("pk").query.sql_with_params()
        except EmptyResultSet:
            continue
        counted = f"SELECT %s, %s, COUNT(*) FROM ({sql}) AS counted "  # noqa: S608 Django's words
        for place, (first, after) in enumerate(pieces):
            if first < after:
                parts.append(f"{counted} WHERE counted.pk >= %s AND counted.pk < %s")
                values += [number, place, *parameters, first, after]
    if not parts:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), values)
        return {(row[0], row[1]): row[2] for row in cursor.fetchall()}


def known_people(limit: int = 200) -> list[str]:
    """Everybody who appears in the history, without reading all of it."""
    return _distinct(_PEOPLE, limit)


def known_tickets(limit: int = 200) -> list[str]:
    return _distinct(_TICKETS, limit)


def _distinct(query: str, limit: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query, [limit])
        return [str(row[0]) for row in cursor.fetchall()]
