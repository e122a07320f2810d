"""API tokens: made for a purpose, shown once, rotated with overlap, revoked at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mpm.access import tokens
from mpm.access.roles import actor_of, may_change
from mpm.access.scopes import Scope
from mpm.access.services.actor import Refused
from mpm.models import Token
from mpm.servers.models import Server
from mpm.web.form_page import FormPage
from mpm.web.responses import show
from mpm.web.shown_once import keep, take
from mpm.web.translation import in_words

CREATED = "token"
SCOPES = (
    (Scope.READ.value, gettext_lazy("Read: servers, changes, history")),
    (Scope.PLAN.value, gettext_lazy("Plan: preview changes")),
    (Scope.CHANGE.value, gettext_lazy("Change: change the MPM, cancel, restart Apache")),
    (Scope.ROLLBACK.value, gettext_lazy("Roll back: undo a change")),
    (Scope.ADMIN.value, gettext_lazy("Admin: everything, including tokens and webhooks")),
)
LIFETIMES = (
    ("30", gettext_lazy("30 days")),
    ("90", gettext_lazy("90 days")),
    ("365", gettext_lazy("One year")),
    ("", gettext_lazy("Never")),
)
IMPLIED = gettext_lazy(
    "A call with install= alone also removes the packages that can’t stay with the new MPM. "
    "Otherwise, each must be named with uninstall=."
)
OVERLAPS = (
    ("0", gettext_lazy("immediately")),
    ("24", gettext_lazy("in 1 day")),
    ("168", gettext_lazy("in 7 days")),
)


class EditedToken(forms.Form):
    """The editable fields of a token; the others never change."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=100,
        help_text=gettext_lazy("Name of the program that uses the token. Shown in the history."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    purpose = forms.CharField(label=gettext_lazy("Purpose"), max_length=300, required=False)
    implied_removals = forms.BooleanField(
        label=gettext_lazy("WHM API: implied removals"),
        required=False,
        help_text=IMPLIED,
    )


class NewToken(EditedToken):
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Permissions"),
        choices=SCOPES,
        widget=forms.CheckboxSelectMultiple,
        initial=[Scope.READ.value],
    )
    servers = forms.MultipleChoiceField(
        label=gettext_lazy("Servers"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None selected = all servers."),
    )
    networks = forms.CharField(
        label=gettext_lazy("Allowed networks"),
        required=False,
        max_length=2000,
        help_text=gettext_lazy("One per line, such as 198.51.100.0/24. Leave empty to allow all."),
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )
    expires = forms.ChoiceField(
        label=gettext_lazy("Expires after"), choices=LIFETIMES, initial="90", required=False
    )
    per_minute = forms.IntegerField(
        label=gettext_lazy("Requests per minute"),
        required=False,
        min_value=1,
        max_value=100_000,
        help_text=gettext_lazy("Leave empty to use the panel’s limit."),
    )
    sandbox = forms.BooleanField(
        label=gettext_lazy("Sandbox: simulated servers only"), required=False
    )
    field_order = (
        *("name", "purpose", "scopes", "servers", "networks", "expires", "per_minute", "sandbox"),
        "implied_removals",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = Server.objects.order_by("name").values_list("name", "hostname")
        servers = self.fields["servers"]
        if isinstance(servers, forms.MultipleChoiceField):
            servers.choices = [(name, f"{name} ({host})" if host else name) for name, host in names]

    def grants(self) -> dict[str, Any]:
        """What mpm.access.tokens.issue takes."""
        values = self.cleaned_data
        days = values["expires"]
        return {
            "name": values["name"],
            "purpose": values["purpose"],
            "scopes": values["scopes"],
            "servers": values["servers"],
            "networks": values["networks"].replace(",", " ").split(),
            "sandbox": values["sandbox"],
            "implied_removals": values["implied_removals"],
            "per_minute": values["per_minute"],
            "expires_at": timezone.now() + timedelta(days=int(days)) if days else None,
        }


@may_change
@require_GET
def listing(request: HttpRequest) -> HttpResponse:
    issued = take(request, CREATED)
    now = timezone.now()
    rows = [
        {"token": token, "state": token.state(now)}
        for token in Token.objects.select_related("replaces").order_by("-pk")[:500]
    ]
    rows.sort(key=lambda row: row["state"] != "active")
    context = {"rows": rows, "issued": issued, "overlaps": OVERLAPS}
    response = show(request, "tokens/tokens.html", context)
    if issued:
        response["Cache-Control"] = "no-store"
    return response


@may_change
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """The secret is on the next page and nowhere else."""
    page = FormPage(
        title=_("Create token"),
        button=_("Create token"),
        action=reverse("token-add"),
        above=((reverse("tokens"), _("API tokens")),),
        hint=_("The token is shown only once."),
    )
    if request.method != "POST":
        return page.show(request, NewToken())
    form = NewToken(request.POST)
    if form.is_valid():
        try:
            issued = tokens.issue(actor_of(request), **form.grants())
        except Refused as refused:
            _explain(form, refused)
        else:
            return _created(request, issued)
    return page.show(request, form, status=422)


@may_change
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, key_id: str) -> HttpResponse:
    """Edit name, purpose and implied removals; permissions never change."""
    token = get_object_or_404(Token, key_id=key_id)
    initial = {name: getattr(token, name) for name in EditedToken.base_fields}
    page = FormPage(
        title=_("Edit %(name)s") % {"name": token.name},
        button=_("Save"),
        action=reverse("token-edit", args=[key_id]),
        above=((reverse("tokens"), _("API tokens")),),
    )
    if request.method != "POST":
        return page.show(request, EditedToken(initial=initial))
    form = EditedToken(request.POST, initial=initial)
    if form.is_valid():
        try:
            updated = tokens.update(token, actor_of(request), **form.cleaned_data)
        except Refused as refused:
            _explain(form, refused)
        else:
            messages.success(request, _("%(name)s was updated.") % {"name": updated.name})
            return redirect("tokens")
    return page.show(request, form, status=422)


def _explain(form: forms.Form, refused: Refused) -> None:
    """Beside the field that was refused, above the form where it was none."""
    form.add_error(
        refused.field if refused.field in form.fields else None, in_words(refused.message)
    )


def _created(request: HttpRequest, issued: tokens.Issued) -> HttpResponse:
    keep(request, CREATED, {"name": issued.token.name, "text": issued.text})
    return redirect("tokens")


@may_change
@require_POST
def rotate(request: HttpRequest, key_id: str) -> HttpResponse:
    token = get_object_or_404(Token, key_id=key_id)
    hours = request.POST.get("overlap", "24")
    overlap = timedelta(hours=int(hours) if hours in dict(OVERLAPS) else 24)
    try:
        issued = tokens.rotate(token, actor_of(request), overlap)
    except Refused as refused:
        messages.error(request, in_words(refused.message))
        return redirect("tokens")
    return _created(request, issued)


@may_change
@require_POST
def revoke(request: HttpRequest, key_id: str) -> HttpResponse:
    token = get_object_or_404(Token, key_id=key_id)
    if tokens.revoke(token, actor_of(request)):
        messages.success(request, _("%(name)s was revoked.") % {"name": token.name})
    return redirect("tokens")
