"""Overview: whether anything is wrong on any server or with the panel, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from easyapache.ea4.profile import Observation
from mpm.access.roles import may_read
from mpm.changes.aftermath import AFTERMATH
from mpm.changes.models.change import Origin
from mpm.history.outside import HEAVY, TAKEN_BACK, undecided
from mpm.history.story import direction
from mpm.models import Change, State
from mpm.servers.health import INCOMPLETE, OFFLINE, Health, Problem, health_of, with_health
from mpm.servers.health import State as HealthState
from mpm.servers.models import InstalledProfile, Server
from mpm.templatetags.panel import until, window_in_words
from mpm.web.background_parts import Stopped
from mpm.web.page_context import Frame, frame_of, liveness
from mpm.web.responses import show, wants_fragment
from mpm.web.translation import in_words

RECENT = 8
"""Recent changes on the page."""
MOST_SERVERS = 50
"""Rows of the table of servers, those with problems first; All servers has the others."""
MOST_ITEMS = 15
"""Rows of Needs attention, unless all of them are requested."""
ONE_BY_ONE = 3
"""So many silent agents have a row each; more of them share one."""
FAILED_FOR = timedelta(days=3)
"""How long the failure of a server's last change is kept among what needs attention."""
WORST = {state: number for number, state in enumerate(reversed(HealthState))}
RANK = {"critical": 0, "warning": 1, "note": 2}
OUT_OF_SYNC = {"several_mpms", "no_mpm", "pending_restart", "configuration_differs"}
"""Conditions in which packages, configuration and running Apache do not name one MPM."""
STOPPED = "httpd_down"
WHAT_TO_DO = "how-to/monitor"
"""The page of Help with what to do when a part of the panel has stopped."""


@dataclass(frozen=True, slots=True)
class Item:
    """One row of Needs attention: a sentence, how old it is, and one button.

    ``tone``: critical, warning or note. ``server``: "" for what concerns the panel. ``more``:
    further sentences about the same. ``at``: since when; ``when``: a text in its place.
    """

    tone: str
    server: str
    sentence: str
    address: str
    link: str
    more: tuple[str, ...] = ()
    at: datetime | None = None
    when: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table. ``torn``: the observations are incomplete."""

    server: Server
    health: Health
    liveness: str
    seen: Observation | None
    scanned: bool
    last: Change | None

    @property
    def torn(self) -> bool:
        return any(problem.code in OUT_OF_SYNC for problem in self.health.problems)

    @property
    def stopped(self) -> bool:
        return any(problem.code == STOPPED for problem in self.health.problems)


@may_read
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The page, or what of it is refreshed every 15 seconds. ``?all=1`` shows every item."""
    context = overview(frame_of(request), whole="all" in request.GET)
    context["htmx_part"] = wants_fragment(request)
    return show(request, "easyapache/home.html", context, fragment="easyapache/_overview.html")


@may_read
@require_GET
def around(request: HttpRequest) -> HttpResponse:
    """What a page keeps true around itself: the health of its server in the bar, the sidebar and,
    with ``?banner=1``, above the page. 204 while it is as ``?known=`` says."""
    frame = frame_of(request)
    if frame.server is None or request.GET.get("known") == frame.mark:
        return HttpResponse(status=204)
    banner = "banner" in request.GET
    return render(request, "easyapache/_frame_live.html", {"banner": banner})


def overview(frame: Frame, *, whole: bool = False) -> dict[str, Any]:
    """The context of the page. Four queries besides those of the frame, for any number of
    servers."""
    servers = every_server(frame.only)
    health = {one.pk: health_of(one) for one in servers}
    items = sorted(needs_attention(servers, health, frame.stopped), key=lambda one: RANK[one.tone])
    listed = sorted(servers, key=lambda one: (WORST[health[one.pk].state], one.name))
    listed = listed[:MOST_SERVERS]
    last, recent = latest_changes(listed, frame.only)
    return {
        "server": frame.server,
        "query": urlencode(
            ({"server": frame.server.name} if frame.server else {}) | ({"all": 1} if whole else {})
        ),
        "count": len(servers),
        "troubled": sum(1 for one in servers if health[one.pk].problems),
        "items": items if whole else items[:MOST_ITEMS],
        "left_out": 0 if whole else max(0, len(items) - MOST_ITEMS),
        "checked_at": min((at for one in servers if (at := _confirmed(one))), default=None),
        "lines": lines(listed, health, last),
        "more_servers": len(servers) - len(listed),
        "recent": recent,
    }


def every_server(only: Server | None = None) -> list[Server]:
    """The active servers by name (or the ``only`` one that may be shown) with their health, the
    numbers of their last change and of the last one that succeeded, and when their latest profile
    was first and last seen. One query."""
    changes = Change.objects.filter(server_name=OuterRef("name")).order_by("-pk").values("pk")
    profiles = InstalledProfile.objects.filter(server=OuterRef("pk")).order_by("-pk")
    rows = Server.objects.filter(active=True).defer("agent", "note").order_by("name")
    if only is not None:
        rows = rows.filter(pk=only.pk)
    return list(
        with_health(rows).annotate(
            last_change=Subquery(changes[:1]),
            last_done=Subquery(changes.filter(state=State.SUCCEEDED)[:1]),
            latest=Subquery(profiles.values("pk")[:1]),
            observed_at=Subquery(profiles.values("observed_at")[:1]),
            confirmed_at=Subquery(profiles.values("confirmed_at")[:1]),
        )
    )


def _confirmed(server: Server) -> datetime | None:
    at: datetime | None = getattr(server, "confirmed_at", None)
    return at


# -- what needs attention -------------------------------------------------------------------------


def needs_attention(
    servers: Sequence[Server],
    health: dict[int, Health],
    stopped: Collection[Stopped],
) -> Iterator[Item]:
    """In no particular order. One query."""
    yield from (_of_the_panel(part) for part in stopped)
    found = _candidates(servers, health)
    silent, never_connected = [], []
    by_server = {one.pk: one for one in servers}
    for change in found.values():
        if change.state == State.SCHEDULED and change.server_id in by_server:
            yield _scheduled(by_server[change.server_id], change)
    for one in servers:
        problems = health[one.pk].problems
        if [problem.code for problem in problems] == [OFFLINE]:
            silent.append(one)
        elif problems:
            yield _unsound(one, problems, found)
        elif not liveness(one):
            never_connected.append(one)
        yield from _of_its_changes(one, found)
    yield from _silent(silent, health)
    yield from _never_connected(never_connected)


def _of_the_panel(part: Stopped) -> Item:
    return Item(
        tone="critical",
        server="",
        sentence=part.sentence,
        at=part.since,
        address=f"{reverse('help-page', args=[WHAT_TO_DO])}#ea4panelnotworking",
        link=_("What to do"),
    )


def _candidates(servers: Sequence[Server], health: dict[int, Health]) -> dict[int, Change]:
    """By number: each server's last change, its last one that succeeded and its incomplete one;
    and all that are scheduled."""
    numbers = {
        number
        for one in servers
        for number in (
            getattr(one, "last_change", None),
            getattr(one, "last_done", None),
            health[one.pk].incomplete_change,
        )
        if number
    }
    rows = Change.objects.filter(Q(pk__in=numbers) | Q(state=State.SCHEDULED))
    return {one.pk: one for one in rows.defer(*HEAVY).annotate(taken_back=TAKEN_BACK)}


def _unsound(server: Server, problems: Sequence[Problem], found: dict[int, Change]) -> Item:
    first = problems[0]
    since = {
        INCOMPLETE: getattr(found.get(first.change or 0), "finished_at", None),
        OFFLINE: server.last_seen_at,
    }
    return Item(
        tone="critical" if first.state is HealthState.CRITICAL else "warning",
        server=str(server),
        sentence=in_words(first.sentence),
        more=tuple(in_words(problem.sentence) for problem in problems[1:]),
        at=since.get(first.code) or getattr(server, "observed_at", None),
        address=_about(server, "doctor"),
        link=_("Open Diagnostics"),
    )


def _about(server: Server, route: str) -> str:
    return f"{reverse(route)}?{urlencode({'server': server.name})}"


def _of_its_changes(server: Server, found: dict[int, Change]) -> Iterator[Item]:
    done = found.get(getattr(server, "last_done", None) or 0)
    if done is not None and undecided(done):
        yield _item(server, done, "warning", _external(done), _("Review"), at=done.requested_at)
    last = found.get(getattr(server, "last_change", None) or 0)
    if last is not None and (sentence := _failed(last)):
        yield _item(server, last, "warning", sentence, _("View change"), at=last.finished_at)


def _item(server: Server, change: Change, tone: str, sentence: str, link: str, **more: Any) -> Item:
    address = reverse("change", args=[change.pk])
    return Item(tone, str(server), sentence, address, link, **more)


def _external(change: Change) -> str:
    return _("External change #%(n)s %(what)s isn’t accepted yet.") % _words(change)


def _failed(change: Change) -> str:
    """What a server's last change failed with, "" where it did not, or long ago."""
    ended = change.finished_at
    if ended is None or timezone.now() - ended > FAILED_FOR or change.origin == Origin.OUTSIDE:
        return ""
    if change.state == State.RESTORED:
        sentence = _("Change #%(n)s %(what)s failed and was rolled back.")
    elif change.state == State.NOT_STARTED:
        sentence = _("Change #%(n)s %(what)s wasn’t started.")
    else:
        return ""
    return sentence % _words(change)


def _scheduled(server: Server, change: Change) -> Item:
    sentence = _("Change #%(n)s %(what)s is scheduled.") % _words(change)
    start, end = change.not_before, change.not_after
    when = f"{window_in_words(start, end)}, {until(start)}" if start else ""
    return _item(server, change, "note", sentence, _("View change"), when=when)


def _words(change: Change) -> dict[str, str]:
    return {"n": str(change.pk), "what": direction(change)}


def _silent(servers: Sequence[Server], health: dict[int, Health]) -> Iterator[Item]:
    if len(servers) <= ONE_BY_ONE:
        yield from (_unsound(one, health[one.pk].problems, {}) for one in servers)
        return
    yield Item(
        tone="warning",
        server="",
        sentence=_together(
            servers,
            ngettext(
                "%(count)d agent is offline: %(names)s.",
                "%(count)d agents are offline: %(names)s.",
                len(servers),
            ),
        ),
        at=max((one.last_seen_at for one in servers if one.last_seen_at), default=None),
        address=reverse("servers"),
        link=_("View servers"),
    )


def _never_connected(servers: Sequence[Server]) -> Iterator[Item]:
    if len(servers) <= ONE_BY_ONE:
        for one in servers:
            yield Item(
                tone="note",
                server=str(one),
                sentence=_("The agent has never connected."),
                at=one.created_at,
                address=reverse("server", args=[one.name]),
                link=_("View server"),
            )
        return
    sentence = ngettext(
        "%(count)d agent has never connected: %(names)s.",
        "%(count)d agents have never connected: %(names)s.",
        len(servers),
    )
    yield Item(
        tone="note",
        server="",
        sentence=_together(servers, sentence),
        at=max(one.created_at for one in servers),
        address=reverse("servers"),
        link=_("View servers"),
    )


def _together(servers: Sequence[Server], sentence: str) -> str:
    named = [str(one) for one in servers[:ONE_BY_ONE]]
    if left := len(servers) - len(named):
        named.append(ngettext("%(count)d more", "%(count)d more", left) % {"count": left})
    return sentence % {"count": len(servers), "names": ", ".join(named)}


# -- the tables -----------------------------------------------------------------------------------


def latest_changes(
    servers: Sequence[Server], only: Server | None = None
) -> tuple[dict[int, Change], list[Change]]:
    """The last change of each of ``servers`` by number, and the newest changes of all (or of the
    ``only`` one that may be shown). One query."""
    numbers = {number for one in servers if (number := getattr(one, "last_change", None))}
    known = Change.objects.all() if only is None else Change.objects.filter(server=only)
    # Both sides by number: the database would read all changes for one that is "from … on".
    newest = known.order_by("-pk").values("pk")[:RECENT]
    rows: QuerySet[Change] = known.filter(Q(pk__in=numbers) | Q(pk__in=newest))
    found = list(rows.defer(*HEAVY).annotate(**AFTERMATH).order_by("-pk"))
    return {one.pk: one for one in found}, found[:RECENT]


def lines(
    servers: Sequence[Server], health: dict[int, Health], changes: dict[int, Change]
) -> list[Line]:
    """One query."""
    latest = [number for one in servers if (number := getattr(one, "latest", None))]
    profiles = InstalledProfile.objects.only("configured", "running").in_bulk(latest)
    return [
        Line(
            server=one,
            health=health[one.pk],
            liveness=liveness(one),
            seen=_seen(profiles.get(getattr(one, "latest", 0))),
            scanned=_confirmed(one) is not None,
            last=changes.get(getattr(one, "last_change", None) or 0),
        )
        for one in servers
    ]


def _seen(row: InstalledProfile | None) -> Observation | None:
    """The running MPM or, if Apache is down, the configured one."""
    observed = (row.running or row.configured) if row else None
    return Observation.from_json(observed) if observed else None
