"""Pages of webhooks and their deliveries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mpm.access.roles import actor_of, may_change
from mpm.access.services.actor import Refused
from mpm.models import Delivery, Webhook
from mpm.notify import webhooks
from mpm.servers.models import Server
from mpm.web.form_page import FormPage
from mpm.web.responses import show
from mpm.web.shown_once import keep, take
from mpm.web.translation import in_words

CREATED = "webhook secret"
KINDS = (
    ("change.queued", gettext_lazy("A change was requested")),
    ("change.running", gettext_lazy("A change started")),
    ("change.succeeded", gettext_lazy("A change succeeded")),
    ("change.restored", gettext_lazy("A change failed and was rolled back")),
    ("change.not_started", gettext_lazy("A change was not started")),
    ("change.failed", gettext_lazy("A change failed")),
    ("change.canceled", gettext_lazy("A change was canceled")),
    ("change.external", gettext_lazy("A server was changed outside this panel")),
)
"""What most receivers want. By REST every kind of event can be named."""
FORMATS = (
    (Webhook.Format.GENERIC, gettext_lazy("Generic: signed JSON")),
    (Webhook.Format.SLACK, gettext_lazy("Slack: incoming webhook")),
    (Webhook.Format.TEAMS, gettext_lazy("Microsoft Teams: workflow")),
    (Webhook.Format.EMAIL, gettext_lazy("E-mail")),
)
PAGE = 25


OWN_NETWORK = gettext_noop(
    "URLs inside the panel’s own network are rejected unless WEBHOOK_ALLOWED_NETWORKS allows them."
)


class WebhookForm(forms.Form):
    """The fields of a webhook. ``initial``: the current values of an edited one: values set by REST
    that are no choice of this page are kept."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    url = forms.CharField(
        label=gettext_lazy("Endpoint URL"),
        max_length=500,
        help_text=gettext_lazy(
            "For example https://example.com/hooks/ea4, or mailto:ops@example.com for e-mail."
        ),
        widget=forms.URLInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    format = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=FORMATS,
        initial=Webhook.Format.GENERIC,
        help_text=gettext_lazy("What the endpoint understands."),
    )
    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        choices=KINDS,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None selected = all events."),
    )
    servers = forms.MultipleChoiceField(
        label=gettext_lazy("Servers"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None selected = all servers."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = Server.objects.order_by("name").values_list("name", "hostname")
        servers = self.fields["servers"]
        if isinstance(servers, forms.MultipleChoiceField):
            known = [(name, f"{name} ({host})" if host else name) for name, host in names]
            servers.choices = _beside(known, self.initial.get("servers", ()))
        kinds = self.fields["kinds"]
        if isinstance(kinds, forms.MultipleChoiceField):
            kinds.choices = _beside(KINDS, self.initial.get("kinds", ()))


def _beside(choices: Iterable[tuple[str, Any]], chosen: Iterable[str]) -> list[tuple[str, Any]]:
    """``choices``, and what else is chosen already."""
    known = list(choices)
    return [*known, *((one, one) for one in chosen if one not in dict(known))]


@may_change
@require_GET
def listing(request: HttpRequest) -> HttpResponse:
    """Every webhook with the state of its latest delivery, in one query."""
    latest = Delivery.objects.filter(webhook=OuterRef("pk")).order_by("-pk")
    rows = Webhook.objects.order_by("name", "pk").annotate(
        latest_state=Subquery(latest.values("state")[:1]),
        latest_at=Subquery(latest.values("created_at")[:1]),
    )
    return show(request, "webhooks/webhooks.html", {"rows": rows})


@may_change
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Leads to the new webhook's page, which shows its secret once."""
    page = FormPage(
        title=_("Create webhook"),
        button=_("Create webhook"),
        action=reverse("webhook-add"),
        above=((reverse("webhooks"), _("Webhooks")),),
        hint=_(OWN_NETWORK),
    )
    if request.method != "POST":
        return page.show(request, WebhookForm())
    form = WebhookForm(request.POST)
    if form.is_valid():
        try:
            made = webhooks.make(actor_of(request), **form.cleaned_data)
        except Refused as refused:
            _explain(form, refused)
        else:
            return _created(request, made, webhooks.secret(made))
    return page.show(request, form, status=422)


def _explain(form: WebhookForm, refused: Refused) -> None:
    """Beside the field that was refused, above the form where it was none."""
    form.add_error(
        refused.field if refused.field in form.fields else None, in_words(refused.message)
    )


@may_change
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, uuid: str) -> HttpResponse:
    """Edit a webhook. Its secret and its deliveries are kept."""
    webhook = get_object_or_404(Webhook, uuid=uuid)
    initial = {name: getattr(webhook, name) for name in WebhookForm.base_fields}
    page = FormPage(
        title=_("Edit %(name)s") % {"name": webhook.name},
        button=_("Save"),
        action=reverse("webhook-edit", args=[uuid]),
        above=(
            (reverse("webhooks"), _("Webhooks")),
            (reverse("webhook", args=[uuid]), webhook.name),
        ),
        hint=_(OWN_NETWORK),
    )
    if request.method != "POST":
        return page.show(request, WebhookForm(initial=initial))
    form = WebhookForm(request.POST, initial=initial)
    if form.is_valid():
        changed = {name: form.cleaned_data[name] for name in form.changed_data}
        try:
            if changed:
                webhook = webhooks.change(webhook, actor_of(request), changed)
        except Refused as refused:
            _explain(form, refused)
        else:
            messages.success(request, _("%(name)s was updated.") % {"name": webhook.name})
            return redirect("webhook", uuid)
    return page.show(request, form, status=422)


@may_change
@require_GET
def one(request: HttpRequest, uuid: str) -> HttpResponse:
    return _one(request, get_object_or_404(Webhook, uuid=uuid))


def _created(request: HttpRequest, webhook: Webhook, secret: str) -> HttpResponse:
    keep(request, CREATED, {"webhook": str(webhook.uuid), "secret": secret})
    return redirect("webhook", webhook.uuid)


def _one(request: HttpRequest, webhook: Webhook) -> HttpResponse:
    """A webhook and its deliveries, newest first; and its secret, where that was just created."""
    kept = take(request, CREATED) or {}
    secret = kept.get("secret", "") if kept.get("webhook") == str(webhook.uuid) else ""
    rows = webhook.deliveries.order_by("-pk")
    before = request.GET.get("before", "")
    if before.isascii() and before.isdecimal() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows[: PAGE + 1])
    context = {
        "webhook": webhook,
        "kinds": [dict(KINDS).get(kind, kind) for kind in webhook.kinds],
        "deliveries": found[:PAGE],
        "older": str(found[PAGE - 1].pk) if len(found) > PAGE else "",
        "secret": secret,
    }
    response = show(request, "webhooks/webhook.html", context)
    if secret:
        response["Cache-Control"] = "no-store"
    return response


@may_change
@require_POST
def alter(request: HttpRequest, uuid: str) -> HttpResponse:
    """``action``: test, on, off, rotate or remove."""
    webhook, actor = get_object_or_404(Webhook, uuid=uuid), actor_of(request)
    action = request.POST.get("action", "")
    if action == "rotate":
        return _created(request, webhook, webhooks.rotate(webhook, actor))
    if action == "remove":
        webhooks.remove(webhook, actor)
        messages.success(request, _("%(name)s was removed.") % {"name": webhook.name})
        return redirect("webhooks")
    if action == "test":
        webhooks.send_test(webhook, actor)
        messages.success(request, _("Test sent."))
    elif action in ("on", "off"):
        webhooks.change(webhook, actor, {"active": action == "on"})
        message = _("%(name)s is enabled.") if action == "on" else _("%(name)s is disabled.")
        messages.success(request, message % {"name": webhook.name})
    return redirect("webhook", uuid)


@may_change
@require_POST
def again(request: HttpRequest, uuid: str, delivery: str) -> HttpResponse:
    """Send one delivery again."""
    found = get_object_or_404(Delivery, uuid=delivery, webhook__uuid=uuid)
    if webhooks.redeliver(found, actor_of(request)):
        messages.success(request, _("Redelivery requested."))
    else:
        messages.error(request, _("A delivery is already in progress."))
    return redirect("webhook", uuid)
