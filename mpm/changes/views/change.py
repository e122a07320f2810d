"""The page of one change: its progress while it runs, its report afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from easyapache.ea4.conditions.repairs import REPAIR_LABELS
from easyapache.ea4.mpm import Choice
from easyapache.ea4.plan import Plan, differences
from easyapache.ea4.profile import Transaction
from easyapache.ea4.protocol import Step
from easyapache.ea4.rules.findings import Finding, Severity
from easyapache.ea4.sentences import with_sentences
from mpm import VERSION
from mpm.access.roles import actor_of, may_change, may_read
from mpm.access.services.actor import Refused
from mpm.changes import log_window
from mpm.changes.aftermath import (
    AFTERMATH,
    ENDED_BADLY,
    Aftermath,
    aftermath,
    half_way,
)
from mpm.changes.models.change import Origin
from mpm.changes.services.cancel import cancel as cancel_change
from mpm.changes.services.cancel import why_not_cancel
from mpm.changes.services.outside import adopt as accept_change
from mpm.changes.services.reschedule import reschedule
from mpm.changes.services.rollback import (
    request_rollback_plan,
    rollback_plan,
    why_not_roll_back,
)
from mpm.changes.services.rollback import roll_back as roll_back_change
from mpm.changes.services.sharing import good_links, take_back
from mpm.changes.services.sharing import share as share_change
from mpm.changes.services.sweep import recover as recover_change
from mpm.changes.views.capacity import CAPACITY_CODES
from mpm.changes.views.chooser import DOCTORS, FindingWithFixes, findings_with_fixes, query_of
from mpm.changes.views.outcome import causes, outcome, outside_title, progress
from mpm.changes.views.pictures import probe_strip
from mpm.changes.views.review import (
    KEPT,
    ConfirmForm,
    WindowForm,
    expected,
    keep_mistakes,
    keep_typed,
    many_packages,
    typed_form,
    warnings_of,
)
from mpm.changes.views.steps import Journal, journal_of, rows_of
from mpm.history.customer import MAY_INCLUDE, ticket_text
from mpm.history.outside import undecided
from mpm.history.prediction import predicted, restart_of, usual_time
from mpm.history.story import (
    BeforeAfter,
    author,
    before_and_after,
    last_word,
    paragraphs,
    simulated,
    timeline,
)
from mpm.models import Change, Event, Preview, State
from mpm.templatetags.panel import milliseconds, window_in_words
from mpm.web.page_context import frame_of
from mpm.web.responses import show, wants_fragment
from mpm.web.translation import in_words

MOST_CHANGED = 6
"""So many rows of what changed are in the summary; all are among the packages."""
LIFETIMES = (
    ("1", gettext_lazy("one day")),
    ("7", gettext_lazy("7 days")),
    ("30", gettext_lazy("30 days")),
)


def change_or_404(pk: int) -> Change:
    changes = Change.objects.select_related("server").annotate(**AFTERMATH)
    found = changes.filter(pk=pk).first()
    if found is None:
        raise Http404(_("There’s no change with that number."))
    return found


def about(request: HttpRequest, change: Change) -> dict[str, Any]:
    """What page and live part have in common."""
    frame_of(request).turn_to(change.server)
    reports = list(change.reports.order_by("seq"))
    journal = journal_of(reports)
    plan = Plan.from_json(change.plan) if change.plan.get("choice") else None
    return {
        "change": change,
        "author": author(change),
        "server": change.server,
        "reports": reports,
        "journal": journal,
        "plan": plan,
        "no_cancel": why_not_cancel(change),
        "seen": seen_mark(change),
        "after": aftermath(change),
    } | (_finished(change, journal) if change.finished else _running(change, journal))


def _running(change: Change, journal: Journal) -> dict[str, Any]:
    """How far it is. One query, for how long such a change usually takes."""
    usual = "" if change.state == State.SCHEDULED else usual_time(predicted(change.server))
    window = window_in_words(change.not_before, change.not_after) if change.not_before else ""
    return {"progress": progress(change, journal), "usual": usual, "window": window}


def _finished(change: Change, journal: Journal) -> dict[str, Any]:
    card = outcome(change, journal)
    return {
        "card": card,
        "causes": causes(change, card),
        "repairs": dict(REPAIR_LABELS),
        "moved": Transaction.from_json(change.moved) if change.moved else None,
        "strips": strips_of(change, journal),
        "simulated": simulated(change),
        "outside_title": outside_title(change) if change.origin == Origin.OUTSIDE else "",
        "capacity_codes": CAPACITY_CODES,
        "by_hand": last_word(change) if half_way(change) else "",
    }


def strips_of(change: Change, journal: Journal) -> list[dict[str, Any]]:
    """What visitors noticed of each restart, as numbers and as a picture."""
    impacts = journal.interruptions or (
        [with_sentences(change.interruption)] if change.interruption else []
    )
    return [{"data": one, "strip": probe_strip(one)} for one in impacts]


def seen_mark(change: Change) -> str:
    """Differs as soon as anything that the live part shows does."""
    silent = "s" if change.silent_since else ""
    left = ""
    if change.state == State.SCHEDULED and change.not_before is not None:
        left = f"{(change.not_before - timezone.now()).total_seconds() // 60:.0f}"
    return f"{change.last_report}-{change.state}-{silent}{left}"


@may_read
@require_GET
def change(request: HttpRequest, pk: int) -> HttpResponse:
    one = change_or_404(pk)
    context = about(request, one)
    if not one.finished:
        context |= log_part(request, one)
        window = {"not_before": one.not_before, "not_after": one.not_after}
        context["window_form"] = WindowForm(initial=window)
        return show(request, "mpm/change.html", context)
    parts = parts_of(context)
    printing = "print" in request.GET
    part = "print" if printing else part_of(request, parts)
    context |= {"parts": parts, "part": part, "printing": printing}
    context["no_rollback"] = why_not_roll_back(one)
    context["try_again"] = again_query(one, context["after"])
    context["undecided"] = undecided(one)
    context["ticket_text"] = ticket_text(one, request.build_absolute_uri(request.path))
    if part in ("summary", "print"):
        context["story"] = paragraphs(one)
        context["next_steps"] = next_steps(one, context)
        changed = what_changed(one)
        context["changed"] = changed if printing else changed[:MOST_CHANGED]
        context["more_changed"] = len(changed) - len(context["changed"])
    if part in ("timeline", "share", "print"):
        events = list(one.events.order_by("seq"))
        context["timeline"] = rows_of(timeline(one, context["reports"], events))
        context["links"] = active_links(request, one, events)
        context["lifetimes"] = LIFETIMES
    if part in ("log", "checks", "print"):
        context |= log_part(request, one)
        trial = Step.REHEARSAL.value
        context["rehearsed"] = [line for line in context["log"].lines if line.step == trial][-40:]
    if printing:
        context |= {"printed_at": timezone.now(), "version": VERSION}
        return show(request, "mpm/change_report.html", context)
    return show(request, "mpm/change.html", context)


@dataclass(frozen=True, slots=True)
class Part:
    """One tab: ``name`` is in its URL, ``count`` beside its title."""

    name: str
    title: str
    count: int | str = ""


def parts_of(context: Mapping[str, Any]) -> list[Part]:
    """The tabs of a change that has ended; none that has nothing to show."""
    one, journal, plan = context["change"], context["journal"], context["plan"]
    packages = len(plan.install) + len(plan.remove) if plan else 0
    outside = one.origin == Origin.OUTSIDE
    trial = journal.rehearsal is not None and journal.rehearsal.status != "waiting"
    checked = len(journal.decisive) or (trial or journal.evidence)
    parts = [
        Part("summary", _("Summary")),
        Part("packages", _("Packages"), packages or "") if packages else None,
        Part("checks", _("Checks"), len(journal.decisive) or "") if checked else None,
        Part("impact", _("Visitor impact")) if context["strips"] else None,
        Part("log", _("Log")) if not outside else None,
        Part("timeline", _("Timeline")),
        Part("share", _("Ticket and sharing")),
    ]
    return [part for part in parts if part is not None]


def part_of(request: HttpRequest, parts: Sequence[Part]) -> str:
    """The tab of a URL: the named one, or the log if the URL is for log lines."""
    wanted = request.GET.get("part", "")
    if not wanted and {"find", "error", "before", "after"} & request.GET.keys():
        wanted = "log"
    return wanted if wanted in {part.name for part in parts} else "summary"


def what_changed(change: Change) -> list[BeforeAfter]:
    """Differences to before. The package of an MPM is left out, because the MPM itself is shown."""
    return [
        row
        for row in before_and_after(change)
        if row.moved and not (row.title.startswith("mod_mpm_") and change.from_mpm)
    ]


def next_steps(change: Change, context: Mapping[str, Any]) -> list[FindingWithFixes]:
    """What the plan of a change that succeeded, and was not rolled back, leaves to be done."""
    after: Aftermath = context["after"]
    undone = after.rolled_back_by or after.being_rolled_back_by
    plan: Plan | None = context["plan"]
    if change.state != State.SUCCEEDED or change.origin == Origin.OUTSIDE or undone or plan is None:
        return []
    return [
        one
        for one in findings_with_fixes(change.server, plan)
        if one.finding.severity in (Severity.NOTE, Severity.GAIN)
        and (one.ways_out or one.finding.code in CAPACITY_CODES)
    ]


def again_query(change: Change, after: Aftermath) -> str:
    """The URL of the same choice, to retry a change that did not succeed; "" if there is nothing to
    retry, or it was retried."""
    ended_badly = change.state in ENDED_BADLY
    open_still = half_way(change) and not (after.repaired_at or after.rolled_back_by)
    if not ended_badly or open_still or after.tried_again_as or change.rollback_of_id:
        return ""
    return query_of(change.server, Choice.from_json(change.choice))


@may_read
@require_GET
def live(request: HttpRequest, pk: int) -> HttpResponse:
    """Steps and state while it runs; empty if nothing is new. After the end a link to the whole
    page, which opens by itself unless the user is reading or typing in this one."""
    one = change_or_404(pk)
    if not one.finished and request.GET.get("seen") == seen_mark(one):
        return HttpResponse(status=204)
    if "-scheduled-" in request.GET.get("seen", "") and one.state != State.SCHEDULED:
        # What waited has no log on its page, and no clock.
        return HttpResponse(headers={"HX-Refresh": "true"})
    answer = show(request, "mpm/_change_live.html", about(request, one) | {"htmx_part": True})
    if one.finished:
        answer.headers["HX-Trigger"] = "changeEnded"
    return answer


# -- the log -------------------------------------------------------------------------------


def log_part(request: HttpRequest, one: Change) -> dict[str, Any]:
    """The requested window of the log; its end by default."""
    wanted = request.GET.get("find", "")[:200]
    sought: log_window.Sought | None = None
    if wanted:
        sought = log_window.search(one, wanted, _offset(request, "behind"))
    elif "error" in request.GET:
        sought = log_window.first_error(one)
    if sought is not None:
        window = sought.window
    elif (before := _offset(request, "before")) is not None:
        window = log_window.before(one, before)
    elif (after := _offset(request, "after")) is not None:
        window = log_window.after(one, after)
    else:
        window = log_window.tail(one)
    return {
        "log": window,
        "sought": sought.offset if sought else None,
        "find": wanted,
        "not_found": sought is not None and sought.offset is None,
        "log_follows": window.at_end
        or (not one.finished and sought is None and not request.GET.get("before")),
    }


def _offset(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


@may_read
@require_GET
def log(request: HttpRequest, pk: int) -> HttpResponse:
    """The lines behind ``after`` or in front of ``before``, for the page that follows."""
    one = change_or_404(pk)
    window = log_part(request, one)["log"]
    answer = show(request, "mpm/_log_lines.html", {"log": window})
    answer.headers["X-Log-Next"] = str(window.next)
    answer.headers["X-Log-First"] = str(window.first)
    if window.lag is not None:
        answer.headers["X-Log-Lag"] = milliseconds(window.lag_ms)
    answer.headers["X-Log-Ended"] = "1" if one.finished and window.at_end else "0"
    return answer


@may_read
@require_GET
def raw_log(_request: HttpRequest, pk: int) -> HttpResponseBase:
    """The whole log, byte for byte, one piece in memory at a time."""
    one = change_or_404(pk)
    answer = StreamingHttpResponse(log_window.raw(one), content_type="text/plain; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="change-{one.pk}.log"'
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


# -- doing something about it -----------------------------------------------------------------


@may_change
@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    one = change_or_404(pk)
    try:
        cancel_change(one, actor_of(request))
    except Refused as refused:
        messages.error(request, in_words(refused.message))
    else:
        one.refresh_from_db(fields=["state"])
        if not one.finished:  # The page of a finished change shows that itself.
            messages.success(request, _("Cancel requested."))
    return redirect("change", pk=pk)


@may_change
@require_POST
def schedule(request: HttpRequest, pk: int) -> HttpResponse:
    """Move a scheduled change to another window: it is canceled and requested again."""
    one = change_or_404(pk)
    form = WindowForm(request.POST)
    if not form.is_valid():
        for mistakes in form.errors.values():
            messages.error(request, " ".join(map(str, mistakes)))
        return redirect("change", pk=pk)
    window = form.cleaned_data
    try:
        new = reschedule(one, actor_of(request), window["not_before"], window["not_after"])
    except Refused as refused:
        messages.error(request, in_words(refused.message))
        return redirect("change", pk=pk)
    messages.success(request, _("Schedule changed."))
    return redirect("change", pk=new.pk)


@may_change
@require_POST
def roll_back(request: HttpRequest, pk: int) -> HttpResponse:
    one = change_or_404(pk)
    page, back = f"rollback-{pk}", redirect("rollback", pk=pk)
    warnings = 0
    try:
        warnings = warnings_of(rollback_plan(one))
    except Refused as refused:
        messages.error(request, in_words(refused.message))
        return redirect("change", pk=pk)
    form = ConfirmForm(request.POST, warnings=warnings)
    if not form.is_valid():
        keep_mistakes(request, page)
        back["Location"] += "#errors"
        return back
    not_before, not_after = form.window()
    try:
        new = roll_back_change(
            one,
            actor_of(request),
            form.cleaned_data["reason"],
            ticket=form.cleaned_data["ticket"],
            digest=form.cleaned_data["digest"],
            not_before=not_before,
            not_after=not_after,
        )
    except Refused as refused:
        keep_typed(request, page, KEPT, refused)
        return back
    return redirect("change", pk=new.pk)


@may_read
@require_GET
def rollback(request: HttpRequest, pk: int) -> HttpResponse:
    """The review of a rollback before it is confirmed, as for any change."""
    return _rollback(request, change_or_404(pk))


def _rollback(request: HttpRequest, one: Change, preview: Preview | None = None) -> HttpResponse:
    """The review of a rollback, with the plan of the server's package manager."""
    pk = one.pk
    context: dict[str, Any] = {"change": one, "server": one.server}
    frame_of(request).turn_to(one.server)
    try:
        plan = rollback_plan(one)
    except Refused as refused:
        return show(request, "mpm/rollback.html", context | {"trouble": refused})
    warnings = warnings_of(plan)
    form, trouble = typed_form(request, f"rollback-{pk}", plan.digest, warnings)
    context |= {
        "plan": plan,
        "shown": [FindingWithFixes(item, ()) for item in actionable(plan)],
        "warnings": warnings,
        "many_packages": many_packages(plan),
        "restart": restart_of(one.server, plan),
        "doctor_codes": DOCTORS,
        "form": form,
        "trouble": trouble,
    }
    if preview is not None:
        context |= _server_plan(preview, plan)
    return show(request, "mpm/rollback.html", context | expected(one.server, plan))


@may_change
@require_POST
def request_plan(request: HttpRequest, pk: int) -> HttpResponse:
    """Request the rollback's plan from the server's package manager: when the review is opened, or
    by a button."""
    one = change_or_404(pk)
    try:
        preview = request_rollback_plan(one, actor_of(request))
    except Refused as refused:
        if not wants_fragment(request):
            messages.error(request, in_words(refused.message))
            return redirect("rollback", pk=pk)
        return show(request, "mpm/_rollback_answer.html", {"change": one, "refused": refused})
    if not wants_fragment(request):
        return redirect("rollback-answer", pk=pk, uuid=preview.uuid)
    return _answer_part(request, one, preview)


@may_read
@require_GET
def plan_answer(request: HttpRequest, pk: int, uuid: str) -> HttpResponse:
    """The part of the review that waits for the server's package manager; without JavaScript the
    whole review with its answer."""
    one = change_or_404(pk)
    preview = Preview.objects.filter(uuid=uuid, undo_of=one.uuid).first()
    if preview is None:
        raise Http404(_("Unknown plan."))
    if not wants_fragment(request):
        return _rollback(request, one, preview)
    if preview.state == Preview.State.PENDING:
        return HttpResponse(status=204)
    return _answer_part(request, one, preview)


def _server_plan(preview: Preview, stored: Plan) -> dict[str, Any]:
    """The plan of the server's package manager for a rollback, besides the panel's own."""
    found = Plan.from_json(preview.plan) if preview.plan else None
    return {
        "preview": preview,
        "pending": preview.state == Preview.State.PENDING,
        "failed": preview.state == Preview.State.FAILED,
        "error": with_sentences(preview.error or {}),
        "answered": found is not None and found.digest == stored.digest,
        "moved": found is not None and found.base_digest != stored.base_digest,
        "differences": differences(stored, found) if found else (),
    }


def _answer_part(request: HttpRequest, one: Change, preview: Preview) -> HttpResponse:
    """The answer as a part of the review."""
    context: dict[str, Any] = {"change": one, "server": one.server, "htmx_part": True}
    try:
        plan = rollback_plan(one)
    except Refused as refused:
        return show(request, "mpm/_rollback_answer.html", context | {"refused": refused})
    context |= {
        "plan": plan,
        "warnings": warnings_of(plan),
        "restart": restart_of(one.server, plan),
    }
    context |= _server_plan(preview, plan)
    return show(request, "mpm/_rollback_answer.html", context)


def actionable(plan: Plan) -> list[Finding]:
    """The findings of a plan that can't be edited: without advice on editing it, and without those
    for choosing an MPM or adding a package."""
    return [
        replace(finding, remedy="") if finding.fixes else finding
        for finding in plan.findings
        if finding.code not in CAPACITY_CODES
        and not (finding.severity is Severity.GAIN and finding.fixes)
    ]


@may_change
@require_POST
def adopt(request: HttpRequest, pk: int) -> HttpResponse:
    """Accept a change that was made outside the panel."""
    try:
        accept_change(change_or_404(pk), actor_of(request))
    except Refused as refused:
        messages.error(request, in_words(refused.message))
    else:
        messages.success(request, _("External change accepted."))
    return redirect("change", pk=pk)


@may_change
@require_POST
def recover(request: HttpRequest, pk: int) -> HttpResponse:
    """Help a change that seems stuck: send the request to the agent again, or close it manually."""
    close = request.POST.get("close") == "yes"
    try:
        recover_change(change_or_404(pk), actor_of(request), close=close)
    except Refused as refused:
        messages.error(request, in_words(refused.message))
    else:
        message = _("Change closed manually.") if close else _("Request sent to the agent again.")
        messages.success(request, message)
    return redirect("change", pk=pk)


# -- share links --------------------------------------------------------------------------


def active_links(request: HttpRequest, one: Change, events: list[Event]) -> list[dict[str, Any]]:
    """The links to a change that are good now, with their whole addresses, the newest first."""
    found = good_links(one, events, timezone.now())
    return [
        {"link": link, "address": request.build_absolute_uri(reverse("shared", args=[link.token]))}
        for link in reversed(found)
    ]


@may_read
@require_POST
def share(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a link, or take all of them back."""
    one, actor = change_or_404(pk), actor_of(request)
    back = redirect(reverse("change", args=[pk]) + "?part=share#share")
    try:
        if request.POST.get("take_back") == "yes":
            take_back(one, actor)
            messages.success(request, _("Share links revoked."))
            return back
        days = request.POST.get("days", "")
        include = request.POST.getlist("include")[: len(MAY_INCLUDE)]
        share_change(one, actor, int(days) if days in dict(LIFETIMES) else 0, include)
    except Refused as refused:
        messages.error(request, in_words(refused.message))
    else:
        messages.success(request, _("Share link created."))
    return back
