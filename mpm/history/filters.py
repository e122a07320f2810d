"""What the history can be narrowed to; the same words in a link, an API call and a shell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, time, timedelta
from typing import Any

from django.db.models import Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from easyapache.ea4.mpm import MPM
from easyapache.ea4.sentences import Sentence
from mpm.changes.models.change import Origin
from mpm.history import search_query
from mpm.models import ACTIVE_STATES, Change, State

ACTIVE = "active"
"""As a result: all unfinished changes."""
BEHIND_ALL = 2**63 - 1
YEARS = range(1970, 9999)
"""Of a date: what a zone or an hour more or less still leaves a date."""
SLACK = timedelta(hours=1)
"""The longest time between a request and the assignment of its number."""


class BadFilter(ValueError):
    """An invalid filter. ``name`` is the filter, ``message`` has the valid values."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name, self.message = name, message


@dataclass(frozen=True, slots=True)
class ChangeFilters:
    """Every filter is optional and all of them together narrow.

    ``result`` is a state, ``active`` or several of them, separated by commas; ``since`` is
    inclusive, ``until`` exclusive, both aware; ``text`` is looked for, word by word, in reason,
    ticket, packages and error.
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
            raise BadFilter(unknown[0], Sentence("Unknown filter {name!r}.", name=unknown[0]))
        if any("\0" in value for value in values.values()):
            raise BadFilter("text", Sentence("Text must not contain NUL characters."))
        given = {
            name: value.strip() for name, value in values.items() if name in known and value.strip()
        }
        read: dict[str, Any] = dict(given)
        for name, choices in (
            ("origin", Origin.values),
            ("mpm_from", [mpm.value for mpm in MPM]),
            ("mpm_to", [mpm.value for mpm in MPM]),
        ):
            if name in given and given[name] not in choices:
                raise _unknown(name, given[name], choices)
        for state in given.get("result", "").split(","):
            if state and state not in (*State.values, ACTIVE):
                raise _unknown("result", state, (*State.values, ACTIVE))
        if "itk" in given:
            read["itk"] = _yes_or_no(given["itk"])
        for name, ends in (("since", False), ("until", True)):
            if name in given:
                read[name] = _moment(name, given[name], end_of_day=ends)
        if "since" in read and "until" in read and read["since"] >= read["until"]:
            raise BadFilter("until", Sentence("The end date is before the start date."))
        if len(given.get("text", "")) > 200:
            raise BadFilter("text", Sentence("Search text can be at most 200 characters."))
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
        """Filter ``rows``, except by dates. Each equality has an index continued by the primary
        key."""
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
        if self.result:
            rows = rows.filter(_in_states(self.result.split(",")))
        if self.itk is not None:
            # IN, because SQLite takes an index for that and not for a bare column.
            rows = rows.filter(to_itk__in=[self.itk])
        for word in self.text.lower().split():
            rows = rows.filter(search__contains=word)
        return rows

    @property
    def equal(self) -> bool:
        """Whether any filter is an equality, which has an index of its own."""
        values = (self.server, self.person, self.origin, self.result, self.ticket, self.request)
        return any((*values, self.mpm_from, self.mpm_to, self.itk is not None))

    def newest(
        self, rows: QuerySet[Change], before: int | None = None, *, narrowed: bool = False
    ) -> QuerySet[Change]:
        """Narrowed, the newest first, from the change in front of number ``before`` on.
        ``narrowed``: ``rows`` are already those of some servers only."""
        rows, key = self._along(rows, narrowed=narrowed)
        rows = rows if before is None else rows.filter(**{f"{key}__lt": before})
        return rows.order_by(f"-{key}")

    def oldest(
        self, rows: QuerySet[Change], after: int, *, narrowed: bool = False
    ) -> QuerySet[Change]:
        """Narrowed, the oldest first, from the change behind number ``after`` on."""
        rows, key = self._along(rows, narrowed=narrowed)
        return rows.filter(**{f"{key}__gt": after}).order_by(key)

    def _along(self, rows: QuerySet[Change], *, narrowed: bool) -> tuple[QuerySet[Change], str]:
        """Filter ``rows``; returns also the column that orders the list: for a text search the
        index's own, or the database would sort all matches.

        The dates are combined with their range of numbers: pages are cut by number, and so start at
        the right place."""
        key = "pk"
        if self.text and search_query.lead(self.text, alone=not (narrowed or self.equal)):
            rows, key = (
                rows.filter(words__found__match=search_query.question(self.text)),
                "words__pk",
            )
        rows = self.apply(rows)
        if self.since is not None:
            first = _first_number(self.since - SLACK)
            rows = rows.filter(requested_at__gte=self.since, **{f"{key}__gte": first})
        if self.until is not None:
            after = Coalesce(_first_number(self.until + SLACK), BEHIND_ALL)
            rows = rows.filter(requested_at__lt=self.until, **{f"{key}__lt": after})
        return rows, key


def _in_states(states: Sequence[str]) -> Q:
    if len(states) == 1 and states[0] != ACTIVE:
        return Q(state=states[0])
    wanted = {state for state in states if state != ACTIVE}
    return Q(state__in=sorted(wanted | (set(ACTIVE_STATES) if ACTIVE in states else set())))


def _unknown(name: str, value: str, choices: Sequence[str]) -> BadFilter:
    message = Sentence(
        "{value!r} must be one of {choices}.", value=value[:40], choices=", ".join(choices)
    )
    return BadFilter(name, message)


def _first_number(moment: datetime) -> Subquery:
    """The number of the first change requested at ``moment`` or later; None if there is none."""
    later = Change.objects.filter(requested_at__gte=moment).order_by("requested_at")
    return Subquery(later.values("pk")[:1])


def _yes_or_no(value: str) -> bool:
    if value.lower() in ("yes", "true", "1", "on"):
        return True
    if value.lower() in ("no", "false", "0", "off"):
        return False
    raise BadFilter("itk", Sentence("{value!r} must be yes or no.", value=value[:40]))


def _moment(name: str, value: str, *, end_of_day: bool) -> datetime:
    try:
        day = parse_date(value)
        moment = parse_datetime(value.replace(" ", "+")) or parse_datetime(value)
    except ValueError as error:
        raise _no_date(name, value) from error
    parsed = day or moment
    if parsed is None or parsed.year not in YEARS:
        raise _no_date(name, value)
    if day is not None and len(value) == len("2026-03-03"):
        start = timezone.make_aware(datetime.combine(day, time.min))
        return start + timedelta(days=1) if end_of_day else start
    if moment is None:
        raise _no_date(name, value)
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _no_date(name: str, value: str) -> BadFilter:
    message = Sentence(
        "{value!r} is not a date. Use a format such as 2026-03-03.", value=value[:40]
    )
    return BadFilter(name, message)
