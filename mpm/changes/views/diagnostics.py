"""Diagnostics: known problems of a server, their causes, and safe repairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from easyapache.ea4.conditions import BY_CODE
from easyapache.ea4.conditions.condition import Place, Severity
from easyapache.ea4.conditions.diagnosis import Diagnosis
from easyapache.ea4.conditions.repairs import REPAIR_LABELS
from mpm.access.roles import actor_of, may_change, may_read
from mpm.access.services.actor import Refused
from mpm.changes.services.repairs import repair as start_repair
from mpm.history.diagnosis import RepairRecord, examined, repairs
from mpm.servers.models import Server
from mpm.web.background_parts import note_unknown_proxy
from mpm.web.page_context import for_server, frame_of
from mpm.web.responses import show
from mpm.web.translation import in_words

ABOUT = {
    "start-httpd": gettext_lazy("Tests the configuration and starts Apache if it isn’t running."),
    "restart-httpd": gettext_lazy("Tests the configuration, then restarts Apache to apply it."),
    "settle-mpm": gettext_lazy(
        "Restores exactly one MPM: the running one, or else the configured one. Restarts Apache "
        "if necessary."
    ),
    "reinstall-files": gettext_lazy(
        "Reinstalls packages with missing files in their installed versions, then restarts Apache."
    ),
    "accept-packages": gettext_lazy(
        "Checks packages, their files, and the configuration. If nothing is duplicated or "
        "missing and there is one MPM, the interrupted transaction no longer blocks changes. "
        "Nothing is installed, removed, or restarted."
    ),
    "take-back": gettext_lazy(
        "Undoes the incomplete change from its restore point: packages, edited module files, "
        "and Apache. Then checks that all sites that worked before work again."
    ),
}
"""What each repair does, for the person who is to confirm it."""
PATIENCE = timedelta(minutes=3)
"""After so long without an answer a repair is no longer waited for on its page."""


@may_read
@require_GET
@for_server
def doctor(request: HttpRequest, server: Server) -> HttpResponse:
    note_unknown_proxy(request)
    row = frame_of(request).installed
    if row is None:
        return show(request, "easyapache/not_seen.html", {"server": server})
    wanted = request.GET.get("repair", "")
    examination = examined(server, row.profile)
    context = {
        "server": server,
        "row": row,
        "examination": examination,
        "found": by_severity(examination.findings),
        "labels": REPAIR_LABELS,
        "wanted": wanted if wanted in REPAIR_LABELS else "",
        "about_wanted": ABOUT.get(wanted, ""),
    }
    repairs_context = _repairs(server, request)
    context |= repairs_context
    repair: RepairRecord | None = repairs_context["asked"]
    answered = repair.answered_at if repair else None
    recent = answered is not None and timezone.now() - answered < PATIENCE
    context["rechecking"] = bool(recent and answered and row.confirmed_at <= answered)
    return show(request, "mpm/doctor.html", context)


@dataclass(frozen=True, slots=True)
class Found:
    """One finding, with its severity for the style sheet."""

    finding: Diagnosis

    @property
    def severity(self) -> Severity:
        return self.finding.severity

    @property
    def icon(self) -> str:
        return "fault" if self.broken else self.severity

    @property
    def broken(self) -> bool:
        """Whether it makes the server unhealthy, whatever its effect on a change."""
        condition = BY_CODE.get(self.finding.code)
        unsound = condition is not None and Place.HEALTH in condition.places
        return unsound or self.severity is Severity.BLOCK


def by_severity(findings: Iterable[Diagnosis]) -> list[Found]:
    """Most severe first; in the given order within a severity."""
    worst_first = list(Severity)
    return sorted(
        map(Found, findings), key=lambda one: (not one.broken, worst_first.index(one.severity))
    )


def _repairs(server: Server, request: HttpRequest) -> dict[str, Any]:
    """The repairs of a server, and the one the page waits for or shows the result of."""
    latest = repairs(server)
    number = request.GET.get("asked", "")
    requested = next((one for one in latest if one.request == number), None)
    late = requested is not None and timezone.now() - requested.requested_at > PATIENCE
    return {
        "repairs": latest,
        "asked": requested,
        "waiting": requested is not None and requested.ok is None and not late,
    }


@may_read
@require_GET
@for_server
def result(request: HttpRequest, server: Server) -> HttpResponse:
    """The part of the page that waits for the agent. Empty while there is nothing new."""
    context = _repairs(server, request)
    if context["asked"] is None:
        raise Http404
    if context["waiting"]:
        return HttpResponse(status=204)
    answer = show(
        request,
        "mpm/_repaired.html",
        context | {"server": server, "labels": REPAIR_LABELS, "told": True},
    )
    answer.headers["HX-Trigger"] = "repairAnswered"
    return answer


@may_change
@require_POST
@for_server
def repair(request: HttpRequest, server: Server) -> HttpResponse:
    """Have the agent carry out a repair that was confirmed."""
    action = request.POST.get("repair", "")
    query = {"server": server.name}
    if action not in REPAIR_LABELS:
        messages.error(request, _("Unknown repair."))
    else:
        try:
            query["asked"] = start_repair(server, action, actor_of(request))
        except Refused as refused:
            messages.error(request, in_words(refused.message))
    return redirect(f"{reverse('doctor')}?{urlencode(query)}")
