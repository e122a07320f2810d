"""Webhooks: who is told of what happens, and how telling them went."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from mpm.access.roles import actor_of, may_change
from mpm.access.services.actor import Refused
from mpm.models import Delivery, Webhook
from mpm.notify import webhooks
from mpm.servers.models import Server
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
PAGE = 25


class NewWebhook(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    url = forms.CharField(
        label=gettext_lazy("Endpoint URL"),
        max_length=500,
        help_text=gettext_lazy("For example https://example.com/hooks/ea4."),
        widget=forms.URLInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
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
            servers.choices = [(name, f"{name} ({host})" if host else name) for name, host in names]


@may_change
@require_GET
def listing(request: HttpRequest) -> HttpResponse:
    return _list(request, NewWebhook())


def _list(request: HttpRequest, form: NewWebhook, status: int = 200) -> HttpResponse:
    """Every webhook with how its latest delivery stands, in one query."""
    latest = Delivery.objects.filter(webhook=OuterRef("pk")).order_by("-pk")
    rows = Webhook.objects.order_by("name", "pk").annotate(
        latest_state=Subquery(latest.values("state")[:1]),
        latest_at=Subquery(latest.values("created_at")[:1]),
    )
    return show(request, "webhooks/webhooks.html", {"rows": rows, "form": form}, status=status)


@may_change
@require_POST
def make(request: HttpRequest) -> HttpResponse:
    """Leads to the new webhook's page, which shows its secret once."""
    form = NewWebhook(request.POST)
    if form.is_valid():
        try:
            made = webhooks.make(actor_of(request), **form.cleaned_data)
        except Refused as refused:
            form.add_error("url", in_words(refused.message))
        else:
            return _created(request, made, webhooks.secret(made))
    return _list(request, form, status=422)


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
    return redirect("webhook", uuid)


@may_change
@require_POST
def again(request: HttpRequest, uuid: str, delivery: str) -> HttpResponse:
    """Send one delivery once more."""
    found = get_object_or_404(Delivery, uuid=delivery, webhook__uuid=uuid)
    if webhooks.redeliver(found, actor_of(request)):
        messages.success(request, _("Redelivery requested."))
    else:
        messages.error(request, _("A delivery is already in progress."))
    return redirect("webhook", uuid)
