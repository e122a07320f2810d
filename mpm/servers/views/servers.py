"""The servers of the panel, and their agents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from easyapache.ea4.profile import Observation, Profile
from easyapache.ea4.sentences import with_sentences
from mpm.access.rights import may_read
from mpm.servers.health import Health, health_of, with_health
from mpm.servers.inventory import observed_mpm
from mpm.servers.models import InstalledProfile, Server
from mpm.web.page_context import frame_of, liveness
from mpm.web.responses import show
from mpm.web.translation import in_words

PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One server as the list shows it."""

    server: Server
    health: Health
    liveness: str
    seen: Observation | None
    agrees: bool
    answers: bool
    confirmed_at: Any


def agrees(profile: Profile) -> bool:
    """Whether packages, configuration and running httpd name the same single MPM and ITK."""
    packages = observed_mpm(Profile(packages=profile.packages))
    known = [one for one in (profile.configured, profile.running) if one is not None]
    return packages.mpm is not None and all(
        (one.mpms, one.itk) == (packages.mpms, packages.itk) for one in known
    )


@may_read
@require_GET
def servers(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "")[:100].strip().lower()
    latest = InstalledProfile.objects.filter(server=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    annotated = Server.objects.annotate(latest=Subquery(latest))
    found: QuerySet[Any] = with_health(annotated).order_by("name")
    if query:
        found = found.filter(name__icontains=query) | found.filter(hostname__icontains=query)
    chosen = list(found[: PER_PAGE + 1])
    rows = InstalledProfile.objects.in_bulk([one.latest for one in chosen if one.latest])
    read = frame_of(request).read
    lines = [_line(one, rows.get(one.latest), read) for one in chosen[:PER_PAGE]]
    context = {"lines": lines, "query": query, "more": len(chosen) > PER_PAGE}
    return show(request, "easyapache/servers.html", context)


def _line(server: Server, row: InstalledProfile | None, read: datetime | None) -> Line:
    profile = row.profile if row else None
    return Line(
        server=server,
        health=health_of(server),
        liveness=liveness(server, read),
        seen=observed_mpm(profile) if profile else None,
        agrees=profile is not None and agrees(profile),
        answers=profile is not None and profile.running is not None,
        confirmed_at=row.confirmed_at if row else None,
    )


@may_read
@require_GET
def server(request: HttpRequest, name: str) -> HttpResponse:
    """One server: the three observations, the agent, and its capabilities."""
    one = Server.objects.select_related("whm_key").filter(name=name).first()
    if one is None:
        raise Http404(_("Unknown server."))
    frame_of(request).turn_to(one)
    row = one.installed_profiles.order_by("-pk").first()
    profile = row.profile if row else None
    context = {
        "server": one,
        "liveness": liveness(one, frame_of(request).read),
        "row": row,
        "profile": profile,
        "packages": observed_mpm(Profile(packages=profile.packages)) if profile else None,
        "agrees": profile is not None and agrees(profile),
        "capabilities": capability_rows(one),
        "whm_key": getattr(one, "whm_key", None),
    }
    return show(request, "easyapache/server.html", context)


def _text(value: Any) -> str:
    return in_words(value) if isinstance(value, str) else str(value)


def capability_rows(server: Server) -> list[tuple[str, str]]:
    """The agent's capabilities with titles; those without a title are only in the API."""
    capabilities = server.agent.get("capabilities")
    values = with_sentences(capabilities) if isinstance(capabilities, dict) else {}
    words = {
        "package_manager": _("Package manager"),
        "restart_method": _("Restart"),
        "restart_reason": _("Reason for method"),
        "restart_script": _("Restart script"),
        "rehearsal": _("Trial start in"),
        "systemd": "systemd",
        "root": _("Runs as root"),
        "kernel": _("Kernel"),
        "python": "Python",
    }
    yes_no = {True: _("yes"), False: _("no")}
    return [
        (title, yes_no[value] if isinstance(value, bool) else _text(value))
        for key, title in words.items()
        if (value := values.get(key)) not in (None, "")
    ]
