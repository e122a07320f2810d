"""Change history: narrowed by filters that are a link, page by page, and as files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from easyapache.ea4.mpm import MPM
from easyapache.ea4.sentences import Sentence
from mpm.access.roles import may_read
from mpm.changes.models.change import Origin
from mpm.history.activity import activity, activity_of_words, people_in_history
from mpm.history.export import as_csv, as_json, events_as_json
from mpm.history.filters import ACTIVE, BadFilter, ChangeFilters
from mpm.history.pages import Page
from mpm.history.pages import changes as page_of_changes
from mpm.history.search_query import words_indexed
from mpm.models import Change, State
from mpm.servers.models import Server
from mpm.web.page_context import frame_of
from mpm.web.responses import show

PER_PAGE = 50
A_MINUTE = 60
CHART_DAYS = 45
CHART_WIDTH, CHART_HEIGHT = 1080, 64
"""24 units for each day, so that a day can be touched; the smallest width it is drawn in."""
FEWEST_DAYS = 7
"""Days with a change: with fewer of them there is no shape to be seen."""
NAMES = tuple(field.name for field in fields(ChangeFilters))
LAST = {
    "24h": (timedelta(hours=24), gettext_lazy("Last 24 hours")),
    "7d": (timedelta(days=7), gettext_lazy("Last 7 days")),
    "30d": (timedelta(days=30), gettext_lazy("Last 30 days")),
}
"""Values of ``last``: a start that moves with the clock, which an address can keep."""
FAILED = f"{State.FAILED},{State.RESTORED},{State.NOT_STARTED}"
"""As a result: every way to fail."""
PRESETS = (
    ("last", "24h", LAST["24h"][1]),
    ("result", FAILED, gettext_lazy("Failed")),
    ("origin", Origin.OUTSIDE.value, gettext_lazy("External")),
)
"""Filters that are one click away: a name, its value, what it is called."""
NUMBER = re.compile(r"#(\d{1,18})")


def filters_from(request: HttpRequest) -> ChangeFilters:
    """From the address. ``of`` is the server: ``server`` there means the one in the bar.
    Raises BadFilter, and Http404 for another server than the one that somebody may see."""
    values = {name: request.GET.get(name, "") for name in NAMES}
    only, wanted = frame_of(request).only, request.GET.get("of", "")
    if only is not None and wanted.strip() not in ("", only.name):
        raise Http404(_("Unknown server."))
    values["server"] = only.name if only else wanted
    last = request.GET.get("last", "").strip()
    if last and last not in LAST:
        choices = ", ".join(LAST)
        message = Sentence("{value!r} must be one of {choices}.", value=last[:40], choices=choices)
        raise BadFilter("last", message)
    if last and not values["since"].strip():
        values["since"] = (timezone.now() - LAST[last][0]).isoformat()
    return ChangeFilters.parse(values)


FILTERS = (*("of" if name == "server" else name for name in NAMES), "last")
"""The filters by their names in the address."""
IN_ADDRESS = (*FILTERS, "server")
CHIPS = (
    ("of", ("of",), gettext_lazy("Server")),
    ("result", ("result",), gettext_lazy("Result")),
    ("person", ("person",), gettext_lazy("User")),
    ("date", ("last", "since", "until"), gettext_lazy("Date")),
    (
        "more",
        ("origin", "mpm_from", "mpm_to", "itk", "ticket", "request"),
        gettext_lazy("More filters"),
    ),
)
"""What opens below the search: a name, the filters in it, what it is called."""


@dataclass(frozen=True, slots=True)
class Chip:
    """``value``: what is chosen in it, in words; "" where nothing is. ``without``: the address
    without its filters."""

    name: str
    title: Any
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class Preset:
    """``query``: the address with it, or without it where it is ``on``."""

    title: Any
    on: bool
    query: str


def query_of(given: Mapping[str, str], **more: str) -> str:
    """The ``given`` filters for a URL: days are kept as given. ``more`` comes beside them or in
    their place; what is empty is left out."""
    query = {name: given.get(name, "").strip() for name in IN_ADDRESS} | more
    return urlencode({name: value for name, value in query.items() if value})


def results() -> list[tuple[str, Any]]:
    return [(FAILED, _("Failed, all kinds")), (ACTIVE, _("Not finished")), *State.choices]


def chips(given: Mapping[str, str]) -> list[Chip]:
    words = {
        "result": dict(results()),
        "last": {name: label for name, (_time, label) in LAST.items()},
        "origin": dict(Origin.choices),
        "itk": {"yes": _("ITK on"), "no": _("ITK off")},
    }
    values = {name: given.get(name, "").strip() for name in FILTERS}
    named = {
        name: str(words.get(name, {}).get(value, value)) for name, value in values.items() if value
    }
    for name, sentence in (("since", _("from %(day)s")), ("until", _("to %(day)s"))):
        if name in named:
            named[name] = sentence % {"day": named[name]}
    found = []
    for name, filters, title in CHIPS:
        value = ", ".join(named[one] for one in filters if one in named)
        found.append(Chip(name, title, value, query_of(given, **dict.fromkeys(filters, ""))))
    return found


def presets(given: Mapping[str, str]) -> list[Preset]:
    return [
        Preset(
            title=title,
            on=(on := given.get(name, "").strip() == value),
            query=query_of(given, **{name: "" if on else value}),
        )
        for name, value, title in PRESETS
    ]


@may_read
@require_GET
def changes(request: HttpRequest) -> HttpResponse:
    """An address with empty parameters leads to the one without, which is to be shared."""
    cursor, frame = request.GET.get("cursor", ""), frame_of(request)
    chosen, seen = frame.server, {"server": frame.only} if frame.only else {}
    given = {**request.GET.dict(), "server": chosen.name if chosen else ""}
    if any(name in request.GET and not given[name].strip() for name in FILTERS):
        return redirect(f"{request.path}?{query_of(given, cursor=cursor)}")
    if (number := NUMBER.fullmatch(given.get("text", "").strip())) and (
        Change.objects.filter(pk=int(number[1]), **seen).exists()
    ):
        return redirect("change", int(number[1]))
    mistake: BadFilter | None = None
    try:
        filters = filters_from(request)
        page = page_of_changes(filters, cursor, PER_PAGE, searched=bool(filters.text))
    except BadFilter as error:
        mistake, filters = error, ChangeFilters()
        given = {"server": given["server"]}
        page = Page(items=())
    charted = not cursor and not mistake
    drawn = chart(filters, given) if charted else None
    unknown = filters.server and not page.items and not _known(filters.server)
    context: dict[str, Any] = {
        "filters": filters,
        "given": request.GET,
        "chips": chips(request.GET),
        "presets": presets(given),
        "mistake": mistake,
        "page": page,
        "query": query_of(given),
        "older": query_of(given, cursor=page.next_cursor) if page.next_cursor else "",
        "newer": query_of(given, cursor=page.previous_cursor) if page.previous_cursor else "",
        "chart": drawn if drawn and drawn.busy_days >= FEWEST_DAYS else None,
        "no_chart": charted and drawn is None,
        "no_index": bool(filters.text) and not words_indexed(),
        "unknown_server": filters.server if unknown else "",
        "people": people(request),
        "servers": frame.servers,
        "results": results(),
        "last": [(name, label) for name, (_time, label) in LAST.items()],
        "origins": Origin.choices,
        "mpms": [mpm.value for mpm in MPM],
    }
    return show(request, "mpm/history.html", context, status=422 if mistake else 200)


def _known(server: str) -> bool:
    """Whether a server has this name, or had it when it was changed."""
    return (
        Server.objects.filter(name=server).exists()
        or Change.objects.filter(server_name=server).exists()
    )


def people(request: HttpRequest) -> list[str]:
    """Names to filter by. They are of all servers: a session that sees one server gets none."""
    if frame_of(request).only is not None:
        return []
    return cache.get_or_set("people-of-the-history", people_in_history, A_MINUTE) or []


@dataclass(frozen=True, slots=True)
class DayBar:
    """One day of the chart: two stacked bars in a place ``step`` wide, and the address that
    narrows to it."""

    day: Any
    total: int
    failed: int
    x: float
    step: float
    width: float
    good_y: float
    good_height: float
    bad_y: float
    bad_height: float
    query: str


@dataclass(frozen=True, slots=True)
class Chart:
    days: tuple[DayBar, ...]
    most: int
    total: int
    failed: int
    width: int = CHART_WIDTH
    height: int = CHART_HEIGHT

    @property
    def busy_days(self) -> int:
        """Days with a change."""
        return sum(1 for day in self.days if day.total)


def chart(filters: ChangeFilters, given: Mapping[str, str]) -> Chart | None:
    """Changes and failures per day, as numbers for an SVG; each day is a link that filters. None
    where too many changes have the words that are looked for."""
    count = activity_of_words if filters.text else activity
    days = count(filters, timezone.localtime(), CHART_DAYS)
    if days is None:
        return None
    most = max((day.total for day in days), default=0)
    step = CHART_WIDTH / len(days)
    unit = (CHART_HEIGHT - 4) / max(1, most)
    bars = []
    for number, day in enumerate(days):
        good, bad = (day.total - day.failed) * unit, day.failed * unit
        one = day.day.isoformat()
        bars.append(
            DayBar(
                day=day.day,
                total=day.total,
                failed=day.failed,
                x=round(number * step, 2),
                step=round(step, 2),
                width=round(step * 0.75, 2),
                bad_y=round(CHART_HEIGHT - bad, 2),
                bad_height=round(bad, 2),
                good_y=round(CHART_HEIGHT - bad - good, 2),
                good_height=round(good, 2),
                query=query_of(given, since=one, until=one, last=""),
            )
        )
    return Chart(
        days=tuple(bars),
        most=most,
        total=sum(day.total for day in days),
        failed=sum(day.failed for day in days),
    )


@may_read
@require_GET
def export(request: HttpRequest, form: str) -> HttpResponseBase:
    """What the filters leave, as CSV or JSON, streamed."""
    if form not in ("csv", "json"):
        raise Http404(form)
    try:
        filters = filters_from(request)
    except BadFilter as error:
        return show(request, "mpm/bad_export.html", {"mistake": error}, status=422)
    if form == "csv":
        return _file(as_csv(filters), "text/csv; charset=utf-8", "changes.csv")
    return _file(as_json(filters), "application/json", "changes.json")


@may_read
@require_GET
def events(_request: HttpRequest) -> HttpResponseBase:
    """Every sealed event, to verify the history elsewhere."""
    return _file(events_as_json(), "application/json", "events.json")


def _file(pieces: Iterator[str], kind: str, name: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse((piece.encode() for piece in pieces), content_type=kind)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Cache-Control"] = "no-store"
    return answer
