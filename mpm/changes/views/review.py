"""Review: the server's own plan, and the button to confirm it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from easyapache.ea4.rules.findings import Severity
from easyapache.ea4.sentences import with_sentences
from mpm.access.roles import actor_of, may_change, may_read
from mpm.access.services.actor import NotFound, Refused
from mpm.changes.services.lookup import preview_with
from mpm.changes.services.planning import request_preview
from mpm.changes.services.request import request_change, satisfied
from mpm.changes.views.capacity import CAPACITY_CODES
from mpm.changes.views.chooser import DOCTORS, findings_with_fixes, query_of
from mpm.history.prediction import predicted, restart_of, usual_time
from mpm.models import ACTIVE_STATES, Change, Preview, State
from mpm.servers.models import Server
from mpm.web.page_context import frame_of
from mpm.web.responses import show
from mpm.web.translation import in_words

LOCAL_FORM = "%Y-%m-%dT%H:%M"
TYPED = "review-typed"
KEPT = ("reason", "ticket", "when", "not_before", "not_after")
SENT = (*KEPT, "acknowledged", "digest")
MANY = 6
"""More packages than this are behind a line that opens."""
LONGEST = 1000
"""Characters of each that a session keeps; the form takes half of it."""


class Moment(forms.DateTimeField):
    """A time that may not exist in the reader's zone: in the year 1, or in 9999."""

    def to_python(self, value: Any) -> datetime | None:
        try:
            return super().to_python(value)
        except OverflowError as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error


class WindowForm(forms.Form):
    """When a scheduled change may begin. Times are typed and read in the reader's own zone."""

    not_before = Moment(
        label=gettext_lazy("Start after"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL_FORM),
        error_messages={"required": gettext_lazy("Enter a start time.")},
    )
    not_after = Moment(
        label=gettext_lazy("Don’t start after"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL_FORM),
    )


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
    acknowledged = forms.BooleanField(required=False)
    digest = forms.CharField(max_length=64)

    def __init__(self, *args: Any, warnings: int = 0, **named: Any) -> None:
        """``warnings``: how many the plan has, which are to be acknowledged."""
        super().__init__(*args, **named)
        self.warnings = warnings

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.warnings and not data.get("acknowledged"):
            self.add_error("acknowledged", _("Confirm that you have read the warnings."))
        if data.get("when") == "window" and not data.get("not_before") and not self.errors:
            self.add_error("not_before", _("Enter a start time."))
        return data

    def window(self) -> tuple[datetime | None, datetime | None]:
        if self.cleaned_data.get("when") != "window":
            return None, None
        return self.cleaned_data["not_before"], self.cleaned_data["not_after"]


@dataclass(frozen=True, slots=True)
class Weight:
    """The sizes of a change's packages in bytes, from the package manager: by name, the total
    download, and the change of used disk space (may be negative)."""

    install: Mapping[str, int]
    remove: Mapping[str, int]
    download: int
    disk: int

    @property
    def difference(self) -> int:
        return abs(self.disk)


def weight_of(transaction: Transaction) -> Weight | None:
    """None if the package manager reported no sizes."""
    installed, removed = (transaction.sizes.get(kind, {}) for kind in ("install", "remove"))
    if not installed and not removed:
        return None
    return Weight(
        install=installed,
        remove=removed,
        download=sum(transaction.sizes.get("download", {}).values()),
        disk=sum(installed.values()) - sum(removed.values()),
    )


def preview_or_404(uuid: str) -> Preview:
    try:
        return preview_with(uuid)
    except NotFound as error:
        raise Http404(error.message) from error


def look(request: HttpRequest, preview: Preview) -> dict[str, Any]:
    """The page's context for a preview in any state."""
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
        "shown": findings_with_fixes(server, plan) if plan else [],
        "warnings": warnings_of(plan),
        "restart": restart_of(server, plan),
        "many_packages": many_packages(plan),
        "pending": preview.state == Preview.State.PENDING,
        "failed": preview.state == Preview.State.FAILED,
        "error": with_sentences(preview.error or {}),
        "answered": answer is not None,
        "weight": weight_of(Transaction.from_json(preview.transaction or {})),
        "moved": moved,
        "busy": next((one for one in related if one.active), None),
        "applied": next((one for one in related if one.preview_id == preview.pk), None),
        "differences": differences(stored, answer) if stored and answer and not moved else (),
        "satisfied": plan is not None and profile is not None and satisfied(plan, profile),
        "query": query_of(server, choice),
        "capacity_codes": CAPACITY_CODES,
        "doctor_codes": DOCTORS,
    }


def warnings_of(plan: Plan | None) -> int:
    """How many findings are to be acknowledged before a plan is confirmed."""
    return sum(item.severity is Severity.WARN for item in plan.findings) if plan else 0


def many_packages(plan: Plan | None) -> int:
    """The number of packages in a plan, if too many to show at once; else 0."""
    count = len(plan.install) + len(plan.remove) if plan else 0
    return count if count > MANY else 0


# -- what was typed, from a form that was sent to the page that shows it again ---------------------


def keep_typed(
    request: HttpRequest, page: str, names: Sequence[str], refused: Refused | None = None
) -> None:
    """Keep the input of the form of ``page``, and why it was refused, for the page after the
    redirect, so that Back and reload send nothing again."""
    fields = {name: request.POST[name][:LONGEST] for name in names if request.POST.get(name)}
    kept: dict[str, Any] = {"page": page, "fields": fields}
    if refused is not None:
        change = getattr(refused, "change", None)
        kept["trouble"] = {
            "code": refused.code,
            "status": refused.status,
            "message": in_words(refused.message),
            "remedy": in_words(refused.remedy),
            "change": {"pk": change.pk} if change is not None else None,
        }
    request.session[TYPED] = kept


def keep_mistakes(request: HttpRequest, page: str) -> None:
    """The same for an incomplete form; the page shows what is missing."""
    fields = {name: request.POST[name][:LONGEST] for name in SENT if request.POST.get(name)}
    request.session[TYPED] = {"page": page, "fields": fields, "mistakes": True}


def typed_form(
    request: HttpRequest, page: str, digest: str, warnings: int
) -> tuple[ConfirmForm, Mapping[str, Any] | None]:
    """The form of ``page`` with its earlier input, and why that was refused. Errors are shown once;
    the input is kept."""
    typed = request.session.get(TYPED, {})
    if typed.get("page") != page:
        return ConfirmForm(initial={"digest": digest}, warnings=warnings), None
    fields = {**typed["fields"], "digest": digest}
    trouble, mistakes = typed.get("trouble"), typed.get("mistakes")
    if trouble or mistakes:
        request.session[TYPED] = {"page": page, "fields": typed["fields"]}
    if mistakes:
        return ConfirmForm(typed["fields"], warnings=warnings), None
    return ConfirmForm(initial=fields, warnings=warnings), trouble


@may_read
@require_GET
def review(request: HttpRequest, uuid: str) -> HttpResponse:
    preview = preview_or_404(uuid)
    context = look(request, preview)
    form, trouble = typed_form(request, preview.uuid, preview.digest, context["warnings"])
    context |= {"form": form, "trouble": trouble} | expected(context["server"], context["plan"])
    return show(request, "mpm/review.html", context)


def expected(server: Server, plan: Plan | None) -> dict[str, Any]:
    """The outcome and duration expected of ``plan``, by earlier changes of a server. One query."""
    prediction = predicted(server, plan)
    return {"prediction": prediction, "duration": usual_time(prediction)}


@may_read
@require_GET
def answer(request: HttpRequest, uuid: str) -> HttpResponse:
    """The part of the page that waits for the server; requested every half second."""
    preview = preview_or_404(uuid)
    if preview.state == Preview.State.PENDING:
        return HttpResponse(status=204)
    context = look(request, preview)
    context |= expected(preview.server, context["plan"])
    return show(request, "mpm/_review_answer.html", context | {"htmx_part": True})


@may_change
@require_POST
def again(request: HttpRequest, uuid: str) -> HttpResponse:
    """Request the plan again: the server did not answer, or has changed."""
    old = preview_or_404(uuid)
    try:
        preview = request_preview(old.server, Choice.from_json(old.choice), actor_of(request))
    except Refused as refused:
        keep_typed(request, old.uuid, KEPT, refused)
        return redirect("review", uuid=old.uuid)
    # The input of this page is shown on the next one.
    keep_typed(request, preview.uuid, KEPT)
    return redirect("review", uuid=preview.uuid)


@may_change
@require_POST
def confirm(request: HttpRequest, uuid: str) -> HttpResponse:
    preview = preview_or_404(uuid)
    plan = Plan.from_json(preview.plan) if preview.plan else None
    form = ConfirmForm(request.POST, warnings=warnings_of(plan))
    back = redirect("review", uuid=preview.uuid)
    if not form.is_valid():
        keep_mistakes(request, preview.uuid)
        back["Location"] += "#errors"
        return back
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
        keep_typed(request, preview.uuid, KEPT, refused)
        return back
    request.session.pop(TYPED, None)
    return redirect("change", pk=change.pk)
