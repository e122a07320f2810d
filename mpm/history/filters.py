"""What the history can be narrowed to; the same words in a link, an API call and a shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from mpm.catalog import MPM
from mpm.models import ACTIVE_STATES, Change, State
from mpm.models.change import Origin

ACTIVE = "active"
"""As a result: whatever has not ended."""
SLACK = timedelta(hours=1)
"""Numbers are given when a row is written and times when it was asked for: never further apart."""


class BadFilter(ValueError):
    """A filter that cannot be meant. ``name`` is the filter, the message says what would do."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class ChangeFilters:
    """Every filter is optional and all of them together narrow.

    ``result`` is a state or ``active``; ``since`` is inclusive, ``until`` exclusive, both aware;
    ``text`` is looked for, word by word, in reason, ticket, packages and error.
    """

    server: str = ""
    person: str = ""
    origin: str = ""
    result: str = ""
    mpm_from: str = ""
    mpm_to: str = ""
    itk: bool | None = None
    ticket: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    request: str = ""

    @classmethod
    def parse(cls, values: Mapping[str, str], *, strict: bool = False) -> ChangeFilters:
        """From a query string. Names that are no filter are ignored unless ``strict``.

        A day as ``until`` includes that day. Raises BadFilter.
        """
        known = {field.name for field in fields(cls)}
        if strict and (unknown := sorted(set(values) - known)):
            raise BadFilter(unknown[0], f"There is no filter {unknown[0]!r}.")
        given = {
            name: value.strip() for name, value in values.items() if name in known and value.strip()
        }
        read: dict[str, Any] = dict(given)
        for name, choices in (
            ("origin", Origin.values),
            ("result", [*State.values, ACTIVE]),
            ("mpm_from", [mpm.value for mpm in MPM]),
            ("mpm_to", [mpm.value for mpm in MPM]),
        ):
            if name in given and given[name] not in choices:
                raise BadFilter(name, f"{given[name][:40]!r} is none of {', '.join(choices)}.")
        if "itk" in given:
            read["itk"] = _yes_or_no(given["itk"])
        for name, ends in (("since", False), ("until", True)):
            if name in given:
                read[name] = _moment(name, given[name], end_of_day=ends)
        if len(given.get("text", "")) > 200:
            raise BadFilter("text", "At most 200 characters can be looked for.")
        return cls(**read)

    def as_query(self) -> dict[str, str]:
        """The shortest query string that parses to the same filters."""
        query = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value in ("", None):
                continue
            if isinstance(value, bool):
                query[field.name] = "yes" if value else "no"
            else:
                query[field.name] = value.isoformat() if isinstance(value, datetime) else value
        return query

    @property
    def any(self) -> bool:
        return bool(self.as_query())

    def apply(self, rows: QuerySet[Change]) -> QuerySet[Change]:
        """Narrow ``rows``. Each equality has an index that ends in the primary key."""
        columns = {
            "server_name": self.server,
            "actor_name": self.person,
            "origin": self.origin,
            "from_mpm": self.mpm_from,
            "to_mpm": self.mpm_to,
            "ticket": self.ticket,
            "request_id": self.request,
        }
        rows = rows.filter(**{name: value for name, value in columns.items() if value})
        if self.result == ACTIVE:
            rows = rows.filter(state__in=ACTIVE_STATES)
        elif self.result:
            rows = rows.filter(state=self.result)
        if self.itk is not None:
            # IN, because SQLite takes an index for that and not for a bare column.
            rows = rows.filter(to_itk__in=[self.itk])
        for word in self.text.lower().split():
            rows = rows.filter(search__contains=word)
        return self._within(rows)

    def _within(self, rows: QuerySet[Change]) -> QuerySet[Change]:
        """The dates, and beside them the numbers that belong to those dates: pages are cut by
        number, and so begin at the right place instead of looking for it."""
        if self.since is not None:
            rows = rows.filter(requested_at__gte=self.since)
            first = _edge(self.since - SLACK)
            rows = rows.filter(pk__gte=first) if first is not None else rows.none()
        if self.until is not None:
            rows = rows.filter(requested_at__lt=self.until)
            after = _edge(self.until + SLACK)
            rows = rows.filter(pk__lt=after) if after is not None else rows
        return rows


def _edge(moment: datetime) -> int | None:
    later = Change.objects.filter(requested_at__gte=moment).order_by("requested_at")
    return later.values_list("pk", flat=True).first()


def _yes_or_no(value: str) -> bool:
    if value.lower() in ("yes", "true", "1", "on"):
        return True
    if value.lower() in ("no", "false", "0", "off"):
        return False
    raise BadFilter("itk", f"{value[:40]!r} is neither yes nor no.")


def _moment(name: str, value: str, *, end_of_day: bool) -> datetime:
    try:
        day = parse_date(value)
        moment = parse_datetime(value.replace(" ", "+")) or parse_datetime(value)
    except ValueError as error:
        raise BadFilter(name, f"{value[:40]!r}: {error}.") from error
    if day is not None and len(value) == len("2026-03-03"):
        start = _midnight(day)
        return start + timedelta(days=1) if end_of_day else start
    if moment is None:
        raise BadFilter(name, f"{value[:40]!r} is no date. Write it as 2026-03-03.")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _midnight(day: date) -> datetime:
    try:
        return timezone.make_aware(datetime.combine(day, time.min))
    except OverflowError:
        return datetime.combine(day, time.min, tzinfo=UTC)
