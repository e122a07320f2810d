"""Apache MPM: choose one, and see at once what that would do to this server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_GET, require_POST

from easyapache.ea4.advice import Answers, Recommended, recommend
from easyapache.ea4.conditions import CATALOG
from easyapache.ea4.mpm import DEFAULT_MPM, ITK_SUMMARY, MPM, BadChoice, Choice
from easyapache.ea4.plan import Plan, make_plan
from easyapache.ea4.profile import Profile
from easyapache.ea4.relations import load_catalogue
from easyapache.ea4.rules.findings import Finding, Fix, Severity
from easyapache.ea4.sentences import Sentence
from mpm.access.roles import actor_of, may_change, may_read
from mpm.access.services.actor import BadRequest, Refused
from mpm.changes.services.fresh_look import on_a_fresh_look
from mpm.changes.services.planning import request_preview
from mpm.changes.services.request import UP_TO_THE_SERVER, refuse_if_satisfied, satisfied
from mpm.changes.services.unfinished import unfinished
from mpm.changes.views import capacity
from mpm.history.capacity import Load, load_of, recommendation_of
from mpm.history.prediction import restart_of
from mpm.models import ACTIVE_STATES, Change
from mpm.servers.inventory import observed_mpm
from mpm.servers.models import Server
from mpm.servers.notices import notices_of
from mpm.web.page_context import for_server, frame_of
from mpm.web.responses import show

FOR_TRANSLATORS = (
    gettext_noop(
        "Worker threads serve active connections; a listener thread parks idle keep-alive ones. "
        "Suits occasional bursts and long keep-alive."
    ),
    gettext_noop(
        "Several processes with many threads each. A crash takes one process with it, "
        "not the whole service."
    ),
    gettext_noop(
        "One process per request. Needed by modules that are not thread-safe; uses the most memory."
    ),
    gettext_noop(
        "Runs each virtual host under its own user. Not an MPM: it can only be added to prefork "
        "on Apache 2.4."
    ),
)
"""The sentences of easyapache.ea4.mpm, repeated here for the translators' tools."""
YES_OR_NO = {"yes": True, "no": False}
DOCTORS = frozenset(condition.code for condition in CATALOG if condition.repair)
"""The findings that send their reader to Diagnostics: a repair cures them."""
MOST_EXTRAS = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One MPM in the list; ``coming`` and ``leaving`` are numbers of packages to install and
    remove."""

    mpm: MPM
    chosen: bool
    installed: bool
    running: bool
    recommended: bool
    coming: int
    leaving: int
    blocked: bool
    same: bool

    @property
    def default(self) -> bool:
        return self.mpm is DEFAULT_MPM


@dataclass(frozen=True, slots=True)
class WayOut:
    """A fix as a link to the resulting choice."""

    label: str
    query: str


@dataclass(frozen=True, slots=True)
class FindingWithFixes:
    """A finding with its fixes as links."""

    finding: Finding
    ways_out: tuple[WayOut, ...]


def choice_from(data: QueryDict, profile: Profile) -> Choice:
    """The choice in the form; missing values are the server's current ones. Raises BadChoice."""
    now = observed_mpm(profile)
    if "mpm" not in data:
        return Choice.parse(now.mpm or DEFAULT_MPM.value, now.itk)
    if len(data.getlist("add")) + len(data.getlist("keep")) > MOST_EXTRAS:
        raise BadChoice(Sentence("You can add at most {count} packages.", count=MOST_EXTRAS))
    itk = data.get("itk", "")
    if itk not in ("", "on", "off"):
        raise BadChoice(Sentence("itk must be on or off, not {word!r}.", word=itk[:60]))
    return Choice.parse(data.get("mpm", ""), itk == "on", data.getlist("add"), data.getlist("keep"))


def query_of(server: Server, choice: Choice, answers: Mapping[str, str] | None = None) -> str:
    """The complete query of a choice, independent of the session."""
    pairs = [("server", server.name), ("mpm", choice.mpm.value)]
    if choice.itk:
        pairs.append(("itk", "on"))
    pairs += [("add", name) for name in sorted(choice.add)]
    pairs += [("keep", name) for name in sorted(choice.keep)]
    return urlencode(pairs + list((answers or {}).items()))


def applied(choice: Choice, fix: Fix) -> Choice:
    """The choice after applying a fix."""
    return choice.with_fix(add=fix.add, unkeep=fix.unkeep, mpm=fix.mpm, itk=fix.itk)


def findings_with_fixes(
    server: Server, plan: Plan, answers: Mapping[str, str] | None = None
) -> list[FindingWithFixes]:
    return [
        FindingWithFixes(
            finding,
            tuple(
                WayOut(fix.label, query_of(server, applied(plan.choice, fix), answers))
                for fix in finding.fixes
            ),
        )
        for finding in plan.findings
    ]


def _answers(data: QueryDict, profile: Profile) -> dict[str, str]:
    """The answers to the advisor's questions that differ from the detected ones."""
    by_itself = recommend(profile)
    own = {"threads": by_itself.threads, "polling": by_itself.safe_polling}
    given = {name: str(data.get(name, "")) for name in own}
    return {
        name: answer
        for name, answer in given.items()
        if answer in YES_OR_NO and YES_OR_NO[answer] != own[name]
    }


def situation(
    server: Server, profile: Profile, data: QueryDict, choice: Choice, load: Load | None
) -> dict[str, Any]:
    """Everything the page and its live part show. Reads nothing from the database."""
    relations = load_catalogue()
    now = observed_mpm(profile)
    answers = _answers(data, profile)
    given = Answers(
        YES_OR_NO.get(answers.get("threads", "")), YES_OR_NO.get(answers.get("polling", ""))
    )
    recommendation = recommendation_of(profile, load, given)
    recommended = recommendation.within
    plan = make_plan(profile, choice, relations)
    return {
        "server": server,
        "profile": profile,
        "now": now,
        "choice": choice,
        "plan": plan,
        "shown": findings_with_fixes(server, plan, answers),
        "satisfied": satisfied(plan, profile),
        "warnings": sum(item.severity is Severity.WARN for item in plan.findings),
        # The server's own package manager may see these otherwise.
        "ask_anyway": plan.blocked and {item.code for item in plan.blocks} <= UP_TO_THE_SERVER,
        "capacity_codes": capacity.CAPACITY_CODES,
        "doctor_codes": DOCTORS,
        "restart": restart_of(server, plan),
        "rows": _rows(profile, choice, plan, recommended),
        "advice": recommendation.advice,
        "recommended": recommended,
        "itk_summary": ITK_SUMMARY,
        "itk_unavailable": choice.mpm.threaded and not choice.itk,
        "itk_query": query_of(server, replace(choice, mpm=MPM.PREFORK, itk=True), answers),
        "extras": [
            *(
                ("add", name, query_of(server, replace(choice, add=choice.add - {name}), answers))
                for name in sorted(choice.add)
            ),
            *(
                (
                    "keep",
                    name,
                    query_of(server, replace(choice, keep=choice.keep - {name}), answers),
                )
                for name in sorted(choice.keep)
            ),
        ],
        "keepable": sorted(plan.removed - {mpm.package for mpm in MPM} - choice.keep),
        "query": query_of(server, choice, answers),
    }


def _rows(profile: Profile, choice: Choice, plan: Plan, recommended: Recommended) -> list[Row]:
    relations = load_catalogue()
    here = observed_mpm(Profile(packages=profile.packages))
    running = profile.running
    rows = []
    for mpm in MPM:
        if mpm is choice.mpm:
            one = plan
        else:
            itk = here.itk and not mpm.threaded
            one = make_plan(profile, replace(choice, mpm=mpm, itk=itk), relations)
        rows.append(
            Row(
                mpm=mpm,
                chosen=mpm is choice.mpm,
                installed=mpm.value in here.mpms,
                running=running is not None and mpm.value in running.mpms,
                recommended=mpm is recommended.mpm,
                coming=len(one.install),
                leaving=len(one.remove),
                blocked=one.blocked,
                same=satisfied(one, profile),
            )
        )
    return rows


@may_read
@require_GET
@for_server
def chooser(request: HttpRequest, server: Server) -> HttpResponse:
    return _page(request, server, request.GET)


def _page(
    request: HttpRequest,
    server: Server,
    data: QueryDict,
    *,
    trouble: Refused | None = None,
    status: int = 200,
) -> HttpResponse:
    row = frame_of(request).installed
    if row is None:
        return show(request, "easyapache/not_seen.html", {"server": server})
    profile = frame_of(request).health.beside(row.profile)
    try:
        choice = choice_from(data, profile)
    except BadChoice as error:
        trouble, status = BadRequest(error.args[0]), 422
        choice = choice_from(QueryDict(), profile)
    load = capacity.known_load(server, row)
    context = situation(server, profile, data, choice, load)
    last = Change.objects.filter(server=server).order_by("-pk").first()
    busy = last if last is not None and last.active else None
    context |= {"row": row, "last": last, "busy": busy}
    context |= {"trouble": trouble, "notices": notices_of(server)}
    context["capacity"] = capacity.section(load) if load else None
    return show(request, "mpm/chooser.html", context, status=status)


@may_read
@require_GET
@for_server
def plan(request: HttpRequest, server: Server) -> HttpResponse:
    """The live part of the chooser: findings, costs, summary. Never a page."""
    active = Change.objects.filter(server=OuterRef("server"), state__in=ACTIVE_STATES)
    row = frame_of(request).installed_with(
        busy_pk=Subquery(active.values("pk")[:1]), busy_state=Subquery(active.values("state")[:1])
    )
    if row is None:
        return show(request, "mpm/_no_plan.html", {"server": server}, status=422)
    profile = frame_of(request).health.beside(row.profile)
    try:
        choice = choice_from(request.GET, profile)
    except BadChoice as error:
        return show(request, "mpm/_no_plan.html", {"message": error.args[0]}, status=422)
    load = load_of(server, timezone.now(), row, with_peaks=False)
    context = situation(server, profile, request.GET, choice, load)
    number, state = getattr(row, "busy_pk", None), getattr(row, "busy_state", "")
    context["busy"] = {"pk": number, "state": state} if number else None
    answer = show(request, "mpm/_plan.html", context)
    answer.headers["HX-Replace-Url"] = f"{reverse('mpm')}?{context['query']}"
    return answer


@may_change
@require_POST
@for_server
def refresh(request: HttpRequest, server: Server) -> HttpResponse:
    """Request the plan from the server's own package manager, and redirect to its review."""
    row = frame_of(request).installed
    if row is None:
        return redirect("mpm")
    try:
        choice = choice_from(request.POST, row.profile)
        # Enter in the form leads here with any choice, even the current MPM. The state of a server
        # that is being changed is unknown; the review then shows that change.
        if unfinished(server) is None:
            on_a_fresh_look(server, lambda: refuse_if_satisfied(server, choice), seconds=3)
        preview = request_preview(server, choice, actor_of(request))
    except BadChoice as error:
        return _page(request, server, QueryDict(), trouble=BadRequest(error.args[0]), status=422)
    except Refused as refused:
        return _page(request, server, request.POST, trouble=refused, status=refused.status)
    return redirect("review", uuid=preview.uuid)
