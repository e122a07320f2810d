"""Change history: narrowed by filters that are a link, page by page, and as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlencode

from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from easyapache.ea4.mpm import MPM
from mpm.access.roles import may_read
from mpm.changes.models.change import Origin
from mpm.history.activity import activity, known_people
from mpm.history.export import as_csv, as_json, events_as_json
from mpm.history.filters import ACTIVE, BadFilter, ChangeFilters
from mpm.history.pages import Page
from mpm.history.pages import changes as page_of_changes
from mpm.history.search_query import words_indexed
from mpm.models import State
from mpm.web.page_context import frame_of
from mpm.web.responses import show

PER_PAGE = 50
A_MINUTE = 60
CHART_DAYS = 60
CHART_WIDTH, CHART_HEIGHT = 1000, 84
NAMES = tuple(field.name for field in fields(ChangeFilters))


def filters_from(request: HttpRequest) -> ChangeFilters:
    """From the address. ``of`` is the server: ``server`` there means the one in the bar.
    Raises BadFilter."""
    values = {name: request.GET.get(name, "") for name in NAMES}
    values["server"] = request.GET.get("of", "")
    return ChangeFilters.parse(values)


IN_ADDRESS = tuple("of" if name == "server" else name for name in NAMES)


MORE_FILTERS = (
    *("origin", "mpm_from", "mpm_to", "itk"),
    *("ticket", "since", "until", "request"),
)
"""The filters behind the line that opens."""


def query_of(given: Mapping[str, str], **more: str) -> str:
    """The filters as they were ``given``, for an address: a day stays the day that was asked
    for. ``more`` comes beside them or in their place."""
    query = {name: given.get(name, "").strip() for name in IN_ADDRESS} | more
    return urlencode({name: value for name, value in query.items() if value})


@may_read
@require_GET
def changes(request: HttpRequest) -> HttpResponse:
    cursor = request.GET.get("cursor", "")
    given: Mapping[str, str] = request.GET
    mistake: BadFilter | None = None
    try:
        filters = filters_from(request)
        page = page_of_changes(filters, cursor, PER_PAGE)
    except BadFilter as error:
        mistake, filters, given = error, ChangeFilters(), {}
        page = Page(items=())
    charted: bool | None = not cursor and not mistake
    if charted and filters.text:
        charted = None  # counting would read every change that has the words
    context: dict[str, Any] = {
        "filters": filters,
        "given": request.GET,
        "more_filters": any(request.GET.get(name) for name in MORE_FILTERS),
        "mistake": mistake,
        "page": page,
        "query": query_of(given),
        "older": query_of(given, cursor=page.next_cursor) if page.next_cursor else "",
        "newer": query_of(given, cursor=page.previous_cursor) if page.previous_cursor else "",
        "chart": chart(filters, given) if charted else None,
        "no_chart": charted is None,
        "no_index": bool(filters.text) and not words_indexed(),
        "people": cache.get_or_set("people-of-the-history", known_people, A_MINUTE),
        "servers": frame_of(request).servers,
        "results": [(ACTIVE, _("Not finished")), *State.choices],
        "origins": Origin.choices,
        "mpms": [mpm.value for mpm in MPM],
    }
    return show(request, "mpm/history.html", context, status=422 if mistake else 200)


@dataclass(frozen=True, slots=True)
class DayBar:
    """One day of the chart: two stacked bars, and the address that narrows to it."""

    day: Any
    total: int
    failed: int
    x: float
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


def chart(filters: ChangeFilters, given: Mapping[str, str]) -> Chart:
    """Changes and failures per day, as numbers for an SVG; each day is a link that filters."""
    days = activity(filters, timezone.localtime(), CHART_DAYS)
    most = max((day.total for day in days), default=0)
    step = CHART_WIDTH / max(1, len(days))
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
                width=round(step * 0.8, 2),
                bad_y=round(CHART_HEIGHT - bad, 2),
                bad_height=round(bad, 2),
                good_y=round(CHART_HEIGHT - bad - good, 2),
                good_height=round(good, 2),
                query=query_of(given, since=one, until=one),
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
    """Every sealed event, for somebody who wants to prove the history elsewhere."""
    return _file(events_as_json(), "application/json", "events.json")


def _file(pieces: Iterator[str], kind: str, name: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse((piece.encode() for piece in pieces), content_type=kind)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Cache-Control"] = "no-store"
    return answer
