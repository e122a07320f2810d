"""Sign-in from the WHM of a server, and its key.

A ticket arrives in the body of a form from another site, so without this site's cookies. It is
redeemed, and the browser is redirected to a second URL with its own secret: only there the panel
sees whether the user is signed in already, and keeps that session.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from mpm.access.roles import actor_of, can_read, may_change
from mpm.access.services.actor import Refused
from mpm.access.services.whm import (
    ENTER_WITHIN,
    TicketRefused,
    enter,
    register_key,
    remove_key,
    set_may_change,
    spend,
    use_ticket,
)
from mpm.access.throttle import wrong_tickets
from mpm.access.whm_sessions import BACKEND, LASTS, only_server
from mpm.servers.models import Server
from mpm.web.address import client_address, own_origin
from mpm.web.translation import in_words

log = logging.getLogger(__name__)

COOKIE = "whm_entry"


@csrf_exempt  # what proves that the form is meant is the signature in it
@login_not_required
@never_cache
@require_POST
def arrive(request: HttpRequest) -> HttpResponse:
    """Redeem a ticket, whether or not it leads to a sign-in."""
    address, own = client_address(request), own_origin(request)
    if not wrong_tickets(address, failed=False).allowed:
        return _refused("wait")
    if not own:
        log.warning("No ticket can be accepted: set PANEL_URL to the https address of this panel.")
        return _refused("address")
    try:
        entry = use_ticket(
            request.POST.get("ticket", ""),
            audiences=frozenset({own}),
            actor=actor_of(request),
        )
    except TicketRefused as refused:
        wrong_tickets(address, failed=True)
        log.warning("ticket from %s refused: %s", address or "a local socket", refused)
        return _refused(refused.code)
    answer = _see(reverse("whm-enter"))
    answer.set_cookie(
        COOKIE,
        entry.secret,
        max_age=int(ENTER_WITHIN.total_seconds()),
        path=reverse("whm"),
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )
    return answer


@login_not_required
@never_cache
@require_GET
def entered(request: HttpRequest) -> HttpResponse:
    """The page behind the ticket: always the MPM page of its server."""
    secret, user = request.COOKIES.get(COOKIE, ""), request.user
    try:
        if user.is_authenticated and only_server(user) is None and can_read(user):
            server = spend(secret)
            if server is None:
                raise TicketRefused("expired", "there is no ticket to enter with")
        else:
            account, server = enter(secret, actor_of(request))
            login(request, account, backend=BACKEND)
            request.session.set_expiry(timezone.now() + timedelta(seconds=LASTS))
    except TicketRefused as refused:
        log.warning("no entry from WHM: %s", refused)
        answer: HttpResponse = _refused(refused.code)
    else:
        answer = redirect(f"{reverse('mpm')}?{urlencode({'server': server.name})}")
    answer.delete_cookie(COOKIE, path=reverse("whm"))
    return answer


def refusals() -> dict[str, str]:
    """The sign-in page's message for each reason in ``mpm.access.services.whm.REASONS``."""
    return {
        "invalid": _("This sign-in from WHM isn’t valid. Open the panel from WHM again."),
        "expired": _(
            "This sign-in from WHM has expired: it works for one minute. Open the panel from WHM "
            "again."
        ),
        "used": _("This sign-in from WHM was already used. Open the panel from WHM again."),
        "early": _(
            "The clock of this server is ahead of the panel’s. Set both clocks, then open the "
            "panel from WHM again."
        ),
        "audience": _(
            "This sign-in from WHM is for another address of the panel. On the server, run ea4-mpm "
            "whm install --panel with the address of this page."
        ),
        "address": _(
            "The panel doesn’t know its own address, so it can’t accept sign-ins from WHM. An "
            "administrator can set PANEL_URL to its https address."
        ),
        "unknown": _(
            "The panel doesn’t accept sign-ins from this server’s WHM. An administrator can "
            "register the server’s key."
        ),
        "disabled": _("This WHM user may not sign in to the panel."),
        "wait": _("Too many sign-ins from WHM were refused. Try again in a minute."),
    }


def _refused(code: str) -> HttpResponse:
    return _see(f"{reverse('login')}?{urlencode({'whm': code})}")


def _see(address: str) -> HttpResponse:
    """303: the next request is a GET."""
    answer = HttpResponseRedirect(address)
    answer.status_code = 303
    return answer


@may_change
@require_POST
def key(request: HttpRequest, name: str) -> HttpResponse:
    """Register, remove or show the key of a server."""
    server = Server.objects.filter(name=name).first()
    if server is None:
        raise Http404(_("Unknown server."))
    actor, action = actor_of(request), request.POST.get("action", "")
    try:
        if action == "register":
            register_key(server, request.POST.get("key", "")[:200], actor)
            messages.success(request, _("Sign-in from WHM is enabled."))
        elif action == "remove":
            remove_key(server, actor)
            messages.success(request, _("Sign-in from WHM is disabled."))
        elif action in ("change", "read"):
            set_may_change(server, action == "change", actor)
            messages.success(request, _("Permissions updated."))
    except Refused as refused:
        messages.error(request, in_words(refused.message))
    return redirect("server", name=server.name)
