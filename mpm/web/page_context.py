"""What surrounds every page: who reads it, which server is meant, which tools there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import parse_qs, urlencode, urlsplit
from zlib import crc32

from django.db.models import Case, Count, Subquery, When, Window
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.utils.translation import gettext as _

from easyapache.ea4.protocol import SERVER_NAME
from mpm.access.rights import ADMINISTRATOR, SUPPORT, can_change, role_of
from mpm.access.whm_sessions import only_server, open_to
from mpm.servers.health import (
    Health,
    health_of,
    judged,
    silent,
    source_values,
    values_on,
    with_health,
)
from mpm.servers.models import InstalledProfile, Pulse, Server
from mpm.servers.reading import READ, judged_at
from mpm.web.background_parts import Stopped, stopped_parts
from mpm.web.dates import Style
from mpm.web.preferences import style_of, theme_of, zone_of
from mpm.web.responses import show, wants_fragment
from mpm.web.tools import Tool, registered

P = ParamSpec("P")

MOST_IN_MENU = 40
PARTS = ("control", "beat", READ)


def liveness(server: Server, read: datetime | None = None) -> str:
    """``alive``, ``silent``, or "" for a server whose agent was never online.

    ``read`` is the time until which agents' messages have been read, if known: unread messages are
    not silence. A server of ``Frame.servers`` has it with it.
    """
    if server.last_seen_at is None:
        return ""
    at = judged_at(timezone.now(), read or getattr(server, f"{READ}_at", None))
    return "silent" if silent(server, at) else "alive"


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    role: str
    from_whm: bool = False

    @property
    def role_label(self) -> str:
        if self.from_whm and self.may_change:
            return _("From WHM: this server only")
        if self.from_whm:
            return _("From WHM: this server only, view only")
        labels = {ADMINISTRATOR: _("Administrator"), SUPPORT: _("Support: view only")}
        return labels.get(self.role, _("No role"))

    @property
    def may_change(self) -> bool:
        return self.role == ADMINISTRATOR


@dataclass(slots=True)
class Entry:
    """A tool as one page shows it."""

    title: Any
    address: str
    about: Any
    below: bool
    route: str
    counted: bool
    count: int | None
    current: bool


@dataclass(slots=True)
class Group:
    title: Any
    tools: list[Entry] = field(default_factory=list)


class Frame:
    """Everything is computed on first use, once per request."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.turned = False

    @cached_property
    def person(self) -> Person:
        user = self.request.user
        return Person(user.get_username(), role_of(user), from_whm=self.only is not None)

    @cached_property
    def theme(self) -> str:
        return theme_of(self.request)

    @cached_property
    def zone(self) -> str:
        return zone_of(self.request) or timezone.get_current_timezone_name()

    @cached_property
    def style(self) -> Style:
        return style_of(self.request)

    @property
    def _named(self) -> str:
        """The server this request names itself."""
        return self.request.POST.get("server", "") or self.request.GET.get("server", "")

    @cached_property
    def _wanted(self) -> str:
        """The server named by this request, or by the page it was sent from; else the last one
        named."""
        before = server_before(self.request) or str(self.request.session.get("server", ""))
        return (self._named or before)[:63]

    @cached_property
    def servers(self) -> list[Server]:
        """Those of the menu, by name, the wanted one among them; with them comes how many there
        are in all, and when the panel's own parts were heard."""
        pulses = {
            f"{part}_at": Subquery(Pulse.objects.filter(name=part).values("at")[:1])
            for part in PARTS
        }
        wanted_first = Case(When(name=self._wanted, then=0), default=1)
        found = Server.objects.filter(active=True)
        if self.only is not None:
            found = found.filter(pk=self.only.pk)
        found = found.annotate(**pulses, in_all=Window(Count("pk")))
        listed = with_health(found).order_by(wanted_first, "name")[:MOST_IN_MENU]
        return sorted(listed, key=lambda server: server.name)

    @property
    def only(self) -> Server | None:
        """The one server that this session is worth; None for everybody who signed in here."""
        return only_server(self.request.user)

    @property
    def server_count(self) -> int:
        return getattr(self.servers[0], "in_all", 0) if self.servers else 0

    @cached_property
    def server(self) -> Server | None:
        """The server this request is about: the one it names, the one named before, the first.

        Forms name theirs, so that a form in one tab is never about the server selected in another.
        Raises Http404 for an unknown name.
        """
        chosen = next((one for one in self.servers if one.name == self._wanted), None)
        if chosen is None and self._named:
            raise Http404(_("Unknown server."))
        is_page = self.request.method == "GET" and not wants_fragment(self.request)
        if self._named and chosen and is_page and self.request.session.get("server") != chosen.name:
            self.request.session["server"] = chosen.name
        return chosen or next(iter(self.servers), None)

    def turn_to(self, server: Server) -> None:
        """This page is about ``server``, whichever was chosen: the bar above it says so, and its
        links lead to pages of that server."""
        if "server" in self.request.GET:
            _ = self.server  # selecting another server here applies to later pages
        else:
            self.__dict__["_wanted"] = server.name
        self.turned = True
        self.__dict__["server"] = server
        for name in ("installed", "health"):
            self.__dict__.pop(name, None)

    @cached_property
    def query(self) -> str:
        """``?server=…`` for the links of this page, so that they mean the same in every tab."""
        return f"?{urlencode({'server': self.server.name})}" if self.server else ""

    @property
    def same_query(self) -> str:
        """The same for a fragment without a server: from its own URL."""
        return f"?{urlencode({'server': self._named})}" if self._named else ""

    @property
    def unnamed(self) -> bool:
        """Whether the address of this page leaves open which server it is about."""
        return self.server is not None and not self.turned and "server" not in self.request.GET

    @cached_property
    def installed(self) -> InstalledProfile | None:
        """The latest installed profile of that server."""
        return self._latest()

    def installed_with(self, **values: Any) -> InstalledProfile | None:
        """The same, with more ``values`` from the same query."""
        self.installed = self._latest(**values)
        return self.installed

    def _latest(self, **values: Any) -> InstalledProfile | None:
        if self.server is None:
            return None
        values |= source_values("server__name")
        return self.server.installed_profiles.annotate(**values).order_by("-pk").first()

    @cached_property
    def health(self) -> Health:
        """What keeps the server of this page from being whole."""
        if self.server is None:
            return Health(scanned=False)
        # No query if it is known already; every page needs the menu anyway.
        for one in () if "installed" in self.__dict__ else self.servers:
            if one.pk == self.server.pk:
                return health_of(one)
        faults = self.installed.faults if self.installed else None
        return judged(self.server, faults, values_on(self.installed), self.read)

    @property
    def mark(self) -> str:
        """Changes when what the page says of its server's health does."""
        health = self.health
        text = f"{self.server_count} {health.state} {[str(one) for one in health.problems]}"
        return f"{crc32(text.encode()):08x}"

    @property
    def simulated(self) -> bool:
        return self.server is not None and self.server.kind == Server.Kind.SIMULATED

    @property
    def about_server(self) -> bool:
        """Whether this page is about that server, and not about all of them or none."""
        match = self.request.resolver_match
        page = match.view_name if match else ""
        tools = (one for one in registered() if one.of_server)
        return self.turned or any(page == one.route or page in one.pages for one in tools)

    @property
    def read(self) -> datetime | None:
        """The time until which agents' messages have been read."""
        return getattr(self.servers[0], f"{READ}_at", None) if self.servers else None

    @cached_property
    def stopped(self) -> tuple[Stopped, ...]:
        """Parts of the panel itself that no longer work."""
        pulses = None
        if self.servers:
            pulses = {part: getattr(self.servers[0], f"{part}_at") for part in PARTS}
        return stopped_parts(timezone.now(), pulses)

    @cached_property
    def tools(self) -> list[Group]:
        match = self.request.resolver_match
        page = match.view_name if match else ""
        may_change = can_change(self.request.user)
        groups: dict[str, Group] = {}
        for tool in registered():
            if tool.only_for_change and not may_change:
                continue
            if not open_to(self.request.user, tool.route):
                continue
            group = groups.setdefault(str(tool.group), Group(tool.group))
            group.tools.append(
                Entry(
                    title=tool.title,
                    address=f"{tool.address or ''}{self.query}",
                    about=tool.about,
                    below=tool.below,
                    route=tool.route,
                    counted=tool.count is not None,
                    count=tool.count(self) if tool.count else None,
                    current=page == tool.route or page in tool.pages,
                )
            )
        return list(groups.values())

    def found(self, query: str) -> list[Tool]:
        """The tools that match every word of ``query``."""
        may_change = can_change(self.request.user)
        return [
            tool
            for tool in registered()
            if query.strip()
            and tool.matches(query)
            and (may_change or not tool.only_for_change)
            and open_to(self.request.user, tool.route)
        ]


def server_before(request: HttpRequest) -> str:
    """The server in the URL of the page this request was sent from; "" if there is none.

    Forms are sent to URLs without one, and links of earlier versions have none.
    """
    came_from = urlsplit(request.headers.get("Referer", ""))
    if came_from.netloc != request.get_host():
        return ""
    named = parse_qs(came_from.query, max_num_fields=50).get("server", [""])[0]
    return named if SERVER_NAME.fullmatch(named) else ""


def stay_on_server(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: a form that was sent from a page of one server leads back to a page of it."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        location = response.headers.get("Location", "")
        if request.method != "POST" or not location.startswith("/"):
            return response
        name, target = server_before(request), urlsplit(location)
        if name and "server" not in parse_qs(target.query) and _wants_a_server(target.path):
            more = urlencode({"server": name})
            query = f"{target.query}&{more}" if target.query else more
            response.headers["Location"] = target._replace(query=query).geturl()
        return response

    return handle


OF_THEIR_OWN = frozenset({"change", "review", "rollback", "login"})
"""Pages that know their server by themselves, or need none."""


def _wants_a_server(path: str) -> bool:
    try:
        return resolve(path).view_name not in OF_THEIR_OWN
    except Resolver404:
        return False


def frame_of(request: HttpRequest) -> Frame:
    frame = getattr(request, "frame", None)
    if not isinstance(frame, Frame):
        frame = Frame(request)
        request.frame = frame  # type: ignore[attr-defined]
    return frame


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context processor. A fragment that uses nothing of it costs nothing."""
    return {"frame": frame_of(request)}


def for_server(
    view: Callable[Concatenate[HttpRequest, Server, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Pass a view its server; if there is none yet, show how to add one."""

    @wraps(view)
    def with_server(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        server = frame_of(request).server
        if server is None:
            return show(request, "easyapache/no_server.html")
        return view(request, server, *args, **kwargs)

    return with_server
