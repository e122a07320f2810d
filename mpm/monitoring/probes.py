"""``/healthz``, ``/readyz`` and ``/metrics``: answered before checks of host name, session or TLS,
because a monitoring system has none of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from prometheus_client.exposition import choose_encoder

from mpm.access.scopes import Scope, scopes_of
from mpm.access.token_auth import Throttled, admit
from mpm.access.tokens import Denied
from mpm.monitoring.figures import PARTS, registry
from mpm.servers.agents import broker_is_up
from mpm.servers.models import Pulse
from mpm.web.address import client_address, passed_an_unknown_proxy

GetResponse = Callable[[HttpRequest], HttpResponseBase]

SEEN_WITHIN = timedelta(seconds=90)
"""Each part gives a sign every 20 seconds at the latest."""


def probes(get_response: GetResponse) -> GetResponse:
    """Middleware that answers the three addresses and passes on every other request."""
    views = {"/healthz": alive, "/readyz": ready, "/metrics": metrics}

    def handle(request: HttpRequest) -> HttpResponseBase:
        view = views.get(request.path_info)
        if view is None:
            return get_response(request)
        if request.method not in ("GET", "HEAD"):
            refused = _plain("This address takes GET and HEAD.", 405)
            refused.headers["Allow"] = "GET, HEAD"
            return refused
        response = view(request)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return handle


def alive(_request: HttpRequest) -> HttpResponse:
    """This process answers. Nothing else is checked: a panel without its database must keep
    running, not be restarted again and again."""
    return HttpResponse("alive\n", content_type="text/plain; charset=utf-8")


def ready(_request: HttpRequest) -> HttpResponse:
    """200 when database, broker and background parts work, else 503; in both cases which of them
    do, and nothing else."""
    parts: dict[str, bool] = {"database": False, "broker": False}
    pulses: dict[str, Any] = {}
    try:
        pulses = dict(Pulse.objects.filter(name__in=PARTS).values_list("name", "at"))
        parts["database"] = True
    except DatabaseError:
        pass  # the contents of the answer
    parts["broker"] = broker_is_up()
    now = timezone.now()
    for name in PARTS:
        parts[name] = name in pulses and now - pulses[name] <= SEEN_WITHIN
    whole = all(parts.values())
    return JsonResponse({"ready": whole, "parts": parts}, status=200 if whole else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    refusal = _refusal(request)
    if refusal is not None:
        return refusal
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    try:
        text = encode(registry(timezone.now()))
    except DatabaseError:
        return _plain("The database doesn’t respond.", 503)
    return HttpResponse(text, content_type=content_type)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """None for an allowed address, and for a token that may read every server."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if not text:
        if _allowed(request):
            return None
        refused = _plain("Send a token with the scope read, or ask from an allowed address.", 401)
        refused.headers["WWW-Authenticate"] = 'Bearer realm="ea4-mpm-panel"'
        return refused
    try:
        token = admit(request, text.strip()) if scheme.lower() == "bearer" else None
    except Throttled as error:
        throttled = _plain(str(error), 429)
        for name, value in error.verdict.headers.items():
            throttled.headers[name] = value
        return throttled
    except Denied as error:
        return _plain(str(error), 401)
    except DatabaseError:
        return _plain("The database doesn’t respond.", 503)
    if token is None:
        return _plain("Send Authorization: Bearer and a token.", 401)
    if Scope.READ not in scopes_of(token.scopes) or token.servers or token.sandbox:
        return _plain("This needs a token with the scope read for all servers.", 403)
    return None


def _allowed(request: HttpRequest) -> bool:
    """Whether the address is one of METRICS_ALLOWED_NETWORKS. Behind an unknown proxy the client's
    address is unknown, so none is allowed."""
    if passed_an_unknown_proxy(request) or "HTTP_FORWARDED" in request.META:
        return False
    try:
        address: Any = ipaddress.ip_address(client_address(request))
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    networks = settings.METRICS_ALLOWED_NETWORKS
    return any(address in ipaddress.ip_network(network) for network in networks)


def _plain(text: str, status: int) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
