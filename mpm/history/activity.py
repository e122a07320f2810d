"""The shape of the history: how many changes and failures per day, and who appears in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
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
    """The number of changes requested on one day, and of those that failed."""

    day: date
    total: int
    failed: int


MOST_COUNTED = 5000
"""Changes that have the words looked for: where there are more, their days are not counted."""
WRONG = (State.FAILED, State.NOT_STARTED, State.RESTORED)


def activity(filters: ChangeFilters, until: datetime, days: int = 60) -> tuple[Day, ...]:
    """The last ``days`` days until ``until`` (in its zone), including those without changes.
    Filters other than dates apply. One query.

    Numbers are assigned in order of time, so a day is a range of numbers: each is counted along the
    index of a filter, without reading rows. (Of two changes requested in the same instant at
    midnight, one may count for the adjacent day.)
    """
    dates = [(until - timedelta(days=days - 1 - number)).date() for number in range(days)]
    starts = [_midnight(day, until) for day in [*dates, dates[-1] + timedelta(days=1)]]
    rows = filters.apply(Change.objects.order_by())
    if not filters.equal:
        rows = rows.filter(state__in=State.values)  # all of them, along an index that has no more
    counts = _counts(rows, starts)
    return tuple(Day(day, *counts.get(number, (0, 0))) for number, day in enumerate(dates))


def _midnight(day: date, like: datetime) -> datetime:
    return datetime.combine(day, time.min, tzinfo=like.tzinfo)


_COUNTED = """
    WITH starts(place, moment) AS (VALUES {starts}),
    numbers(place, first) AS (
        SELECT place, COALESCE(
            (SELECT id FROM mpm_change WHERE requested_at >= moment ORDER BY requested_at LIMIT 1),
            {behind_all}
        ) FROM starts
    )
    SELECT day.place,
        (SELECT COUNT(*) FROM ({rows}) AS one WHERE one.pk >= day.first AND one.pk < next.first),
        (SELECT COUNT(*) FROM ({wrong}) AS one WHERE one.pk >= day.first AND one.pk < next.first)
    FROM numbers AS day JOIN numbers AS next ON next.place = day.place + 1
"""
"""The ORM cannot count several sets in many ranges at once. The database plans this once for any
number of days; all values are parameters."""


def _counts(rows: QuerySet[Change], starts: Sequence[datetime]) -> dict[int, tuple[int, int]]:
    """How many of ``rows`` are between each start and the next, and how many of those went wrong,
    by the place of the start."""
    wrong = rows.filter(state__in=WRONG)
    try:
        sql, parameters = rows.values("pk").query.sql_with_params()
    except EmptyResultSet:
        return {}
    try:
        of_wrong, more = wrong.values("pk").query.sql_with_params()
    except EmptyResultSet:
        of_wrong, more = "SELECT 0 AS pk", ()
    counted = _COUNTED.format(
        starts=", ".join("(%s, %s)" for _ in starts),
        behind_all=BEHIND_ALL,
        rows=sql,
        wrong=of_wrong,
    )
    moment = connection.ops.adapt_datetimefield_value
    values: list[Any] = []
    for place, start in enumerate(starts):
        values += [place, moment(start)]
    with connection.cursor() as cursor:
        cursor.execute(counted, [*values, *parameters, *more])
        return {place: (total, failed) for place, total, failed in cursor.fetchall()}


def activity_of_words(
    filters: ChangeFilters, until: datetime, days: int = 60
) -> tuple[Day, ...] | None:
    """The same where words are looked for, which no index counts: the changes that have them are
    read, None where they are more than MOST_COUNTED. One query, and one more where other filters
    narrow them too."""
    dates = [(until - timedelta(days=days - 1 - number)).date() for number in range(days)]
    in_time = replace(filters, since=_midnight(dates[0], until), until=None)
    found = list(
        in_time.newest(Change.objects.all()).values_list("requested_at", "state")[
            : MOST_COUNTED + 1
        ]
    )
    if len(found) > MOST_COUNTED:
        return None
    counted = [(at.astimezone(until.tzinfo).date(), state in WRONG) for at, state in found]
    total = Counter(day for day, _wrong in counted)
    failed = Counter(day for day, wrong in counted if wrong)
    return tuple(Day(day, total[day], failed[day]) for day in dates)


def people_in_history(limit: int = 200) -> list[str]:
    """All users in the history, without reading all of it."""
    return _distinct(_PEOPLE, limit)


def tickets_in_history(limit: int = 200) -> list[str]:
    return _distinct(_TICKETS, limit)


def _distinct(query: str, limit: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query, [limit])
        return [str(row[0]) for row in cursor.fetchall()]
