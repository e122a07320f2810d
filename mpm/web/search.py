"""One search for everything: changes, servers, packages and tools.

A user of a single server finds only that server, its changes and its packages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from easyapache.ea4.profile import Profile
from mpm.access.rights import may_read
from mpm.history.filters import ChangeFilters
from mpm.history.outside import HEAVY
from mpm.history.search_query import words_indexed
from mpm.models import Change
from mpm.servers.models import Server
from mpm.servers.views.packages import Row, matching
from mpm.servers.views.packages import rows as every_package
from mpm.web.page_context import Frame, frame_of
from mpm.web.responses import show
from mpm.web.tools import Tool

LONGEST = 100
"""The most letters of a query; a longer one is cut."""
FEWEST_LETTERS = 3
"""Of a query that is looked for in the texts of changes and the names of packages: fewer are in
nearly all of them."""
AT_ONCE, ON_THE_PAGE = 4, 20
"""How many of a kind are shown below the field, and on the page."""
NUMBER = re.compile(r"#?(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Found:
    """The results of each kind, at most ``most``; ``more_…`` is the URL of a page with all of them,
    "" if all are here."""

    changes: Sequence[Change] = ()
    servers: Sequence[Server] = ()
    packages: Sequence[Row] = ()
    tools: Sequence[Tool] = ()
    more_changes: str = ""
    more_servers: str = ""
    more_packages: str = ""

    def __bool__(self) -> bool:
        return bool(self.changes or self.servers or self.packages or self.tools)


@may_read
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """The results; ``#35`` redirects to that change."""
    query = _query(request)
    if query.startswith("#") and (number := NUMBER.fullmatch(query)):
        known = _seen_by(frame_of(request)).filter(pk=int(number[1]))
        if known.exists():
            return redirect("change", int(number[1]))
    context = {"query": query, "found": found(frame_of(request), query, ON_THE_PAGE)}
    return show(request, "easyapache/search.html", context)


@may_read
@require_GET
def below(request: HttpRequest) -> HttpResponse:
    """The fragment under the search field."""
    query = _query(request)
    context = {"query": query, "found": found(frame_of(request), query, AT_ONCE)}
    return show(request, "easyapache/_found.html", context)


def _query(request: HttpRequest) -> str:
    return request.GET.get("q", "").replace("\0", "")[:LONGEST].strip()


def found(frame: Frame, query: str, most: int) -> Found:
    """At most ``most`` of each kind. Two queries, and those of the server in the bar."""
    if not query:
        return Found()
    changes = _changes(frame, query, most)
    servers = _servers(frame, query, most)
    packages = _packages(frame, query)
    return Found(
        changes=changes[:most],
        servers=servers[:most],
        packages=packages[:most],
        tools=frame.found(query)[:most],
        more_changes=_more(frame, "history", text=query) if len(changes) > most else "",
        more_servers=_more(frame, "servers", q=query) if len(servers) > most else "",
        more_packages=(
            _more(frame, "packages", q=query, show="all") if len(packages) > most else ""
        ),
    )


def _more(frame: Frame, route: str, **query: str) -> str:
    chosen = {"server": frame.server.name} if frame.server else {}
    return f"{reverse(route)}?{urlencode(query | chosen)}"


def _seen_by(frame: Frame) -> QuerySet[Change]:
    return Change.objects.filter(server=frame.only) if frame.only else Change.objects.all()


def _changes(frame: Frame, query: str, most: int) -> list[Change]:
    """The one with this number first, then those with these words, the newest first."""
    rows = _seen_by(frame).defer(*HEAVY)
    number = NUMBER.fullmatch(query)
    numbered = list(rows.filter(pk=int(number[1]))) if number else []
    if len(query) < FEWEST_LETTERS or query.startswith("#") or not words_indexed():
        return numbered
    worded = ChangeFilters(text=query).newest(rows, narrowed=frame.only is not None)[: most + 1]
    known = {one.pk for one in numbered}
    return [*numbered, *(one for one in worded if one.pk not in known)]


def _servers(frame: Frame, query: str, most: int) -> list[Server]:
    named = Q(name__icontains=query) | Q(hostname__icontains=query)
    rows = Server.objects.filter(named, active=True).defer("agent").order_by("name")
    if frame.only is not None:
        rows = rows.filter(pk=frame.only.pk)
    return list(rows[: most + 1])


def _packages(frame: Frame, query: str) -> list[Row]:
    """Installed ones first: on the server in the bar, or available there."""
    if len(query) < FEWEST_LETTERS:
        return []
    row = frame.installed
    rows = matching(every_package(row.profile if row else Profile(())), "all", query)
    return sorted(rows, key=lambda one: not one.installed)
