"""Review: what the server itself says it would do, and the one button that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from easyapache.ea4.mpm import Choice
from easyapache.ea4.plan import Plan, differences, make_plan
from easyapache.ea4.profile import Transaction
from easyapache.ea4.relations import load_catalogue
from easyapache.ea4.sentences import spoken
from mpm.access.roles import actor_of, may_change, may_read
from mpm.access.services.actor import NotFound, Refused
from mpm.changes.services.lookup import preview_with
from mpm.changes.services.planning import request_preview
from mpm.changes.services.request import request_change, satisfied
from mpm.changes.views.capacity import TOLD_BY
from mpm.changes.views.chooser import DOCTORS, query_of, shown_findings
from mpm.history.prediction import predicted, usual_time
from mpm.models import ACTIVE_STATES, Change, Preview, State
from mpm.web.page_context import frame_of
from mpm.web.responses import show

LOCAL_FORM = "%Y-%m-%dT%H:%M"
TYPED = "review-typed"
KEPT = ("reason", "ticket", "when", "not_before", "not_after")
LONGEST = 1000
"""Characters of each that a session keeps; the form takes half of it."""


class Moment(forms.DateTimeField):
    """A time that may be none of the reader's zone: in the year 1, or in 9999."""

    def to_python(self, value: Any) -> datetime | None:
        try:
            return super().to_python(value)
        except OverflowError as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error


class ConfirmForm(forms.Form):
    """Times are typed and read in the reader's own zone."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("Shown in the change history."),
    )
    ticket = forms.CharField(label=gettext_lazy("Ticket"), max_length=100, required=False)
    when = forms.ChoiceField(
        choices=[("now", gettext_lazy("Now")), ("window", gettext_lazy("Schedule"))],
        initial="now",
        required=False,
    )
    not_before = Moment(
        label=gettext_lazy("Start after"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL_FORM),
    )
    not_after = Moment(
        label=gettext_lazy("Don’t start after"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL_FORM),
    )
    digest = forms.CharField(max_length=64)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("when") == "window" and not data.get("not_before") and not self.errors:
            self.add_error("not_before", _("Enter a start time."))
        return data

    def window(self) -> tuple[datetime | None, datetime | None]:
        if self.cleaned_data.get("when") != "window":
            return None, None
        return self.cleaned_data["not_before"], self.cleaned_data["not_after"]


@dataclass(frozen=True, slots=True)
class Weight:
    """What the packages of a change weigh in bytes, as the package manager said: each by name,
    what is downloaded in all, and by how much more (or less, below zero) the disk is filled."""

    install: Mapping[str, int]
    remove: Mapping[str, int]
    download: int
    disk: int

    @property
    def difference(self) -> int:
        return abs(self.disk)


def weight_of(transaction: Transaction) -> Weight | None:
    """None where the package manager said nothing of sizes."""
    coming, leaving = (transaction.sizes.get(kind, {}) for kind in ("install", "remove"))
    if not coming and not leaving:
        return None
    return Weight(
        install=coming,
        remove=leaving,
        download=sum(transaction.sizes.get("download", {}).values()),
        disk=sum(coming.values()) - sum(leaving.values()),
    )


def preview_or_404(uuid: str) -> Preview:
    try:
        return preview_with(uuid)
    except NotFound as error:
        raise Http404(error.message) from error


def look(request: HttpRequest, preview: Preview) -> dict[str, Any]:
    """What the page shows of a preview, in whatever state it is."""
    frame = frame_of(request)
    server = preview.server
    frame.turn_to(server)
    row = frame.installed
    choice = Choice.from_json(preview.choice)
    profile = frame.health.beside(row.profile) if row else None
    stored = make_plan(profile, choice, load_catalogue()) if profile else None
    answer = Plan.from_json(preview.plan) if preview.plan else None
    plan = answer or stored
    if plan is not None and profile is not None:
        plan = plan.seen_now(profile)
    related = list(
        Change.objects.filter(
            Q(server=server, state__in=ACTIVE_STATES)
            | Q(preview=preview, state__in=(State.SUCCEEDED, State.RESTORED))
        ).order_by("-pk")[:10]
    )
    moved = answer is not None and row is not None and answer.base_digest != row.digest
    return {
        "preview": preview,
        "server": server,
        "choice": choice,
        "plan": plan,
        "shown": shown_findings(server, plan) if plan else [],
        "pending": preview.state == Preview.State.PENDING,
        "failed": preview.state == Preview.State.FAILED,
        "error": spoken(preview.error or {}),
        "answered": answer is not None,
        "weight": weight_of(Transaction.from_json(preview.transaction or {})),
        "moved": moved,
        "busy": next((one for one in related if one.active), None),
        "applied": next((one for one in related if one.preview_id == preview.pk), None),
        "differences": differences(stored, answer) if stored and answer and not moved else (),
        "satisfied": plan is not None and profile is not None and satisfied(plan, profile),
        "query": query_of(server, choice),
        "capacity_codes": TOLD_BY,
        "doctor_codes": DOCTORS,
    }


@may_read
@require_GET
def review(request: HttpRequest, uuid: str) -> HttpResponse:
    preview = preview_or_404(uuid)
    typed = request.session.get(TYPED, {})
    kept = typed["fields"] if typed.get("preview") == preview.uuid else {}
    return _page(request, preview, ConfirmForm(initial={**kept, "digest": preview.digest}))


def _page(
    request: HttpRequest,
    preview: Preview,
    form: ConfirmForm,
    *,
    trouble: Refused | None = None,
    status: int = 200,
) -> HttpResponse:
    context = look(request, preview)
    prediction = predicted(context["server"])
    context |= {
        "form": form,
        "trouble": trouble,
        "prediction": prediction,
        "duration": usual_time(prediction),
    }
    return show(request, "mpm/review.html", context, status=status)


@may_read
@require_GET
def answer(request: HttpRequest, uuid: str) -> HttpResponse:
    """The part of the page that waits for the server; asked for every half second."""
    preview = preview_or_404(uuid)
    if preview.state == Preview.State.PENDING:
        return HttpResponse(status=204)
    return show(request, "mpm/_review_answer.html", look(request, preview))


@may_change
@require_POST
def again(request: HttpRequest, uuid: str) -> HttpResponse:
    """Ask the same question again: the server had not answered, or has moved since."""
    old = preview_or_404(uuid)
    # What was typed on this page stands on the next one again.
    fields = {name: request.POST[name][:LONGEST] for name in KEPT if request.POST.get(name)}
    try:
        preview = request_preview(old.server, Choice.from_json(old.choice), actor_of(request))
    except Refused as refused:
        form = ConfirmForm(initial={**fields, "digest": old.digest})
        return _page(request, old, form, trouble=refused, status=refused.status)
    request.session[TYPED] = {"preview": preview.uuid, "fields": fields}
    return redirect("review", uuid=preview.uuid)


@may_change
@require_POST
def confirm(request: HttpRequest, uuid: str) -> HttpResponse:
    preview = preview_or_404(uuid)
    form = ConfirmForm(request.POST)
    if not form.is_valid():
        return _page(request, preview, form, status=422)
    not_before, not_after = form.window()
    try:
        change = request_change(
            preview.server,
            Choice.from_json(preview.choice),
            actor=actor_of(request),
            digest=form.cleaned_data["digest"],
            preview=preview,
            reason=form.cleaned_data["reason"],
            ticket=form.cleaned_data["ticket"],
            not_before=not_before,
            not_after=not_after,
        )
    except Refused as refused:
        status = 409 if refused.status == 200 else refused.status
        return _page(request, preview, form, trouble=refused, status=status)
    return redirect("change", pk=change.pk)
