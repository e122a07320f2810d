"""Preferences from the user's browser: zone, dates, colors, and whether it requests a fragment."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from contextlib import nullcontext
from urllib.parse import unquote

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils import timezone
from django.utils.cache import patch_vary_headers

from mpm.web import dates
from mpm.web.responses import wants_fragment

GetResponse = Callable[[HttpRequest], HttpResponseBase]

THEMES = ("auto", "light", "dark")
ZONES = frozenset(zoneinfo.available_timezones())


def theme_of(request: HttpRequest) -> str:
    theme = request.COOKIES.get("theme", "auto")
    return theme if theme in THEMES else "auto"


def zone_of(request: HttpRequest) -> str:
    """The zone the browser (or its reader) chose, "" when none or one that does not exist."""
    zone = unquote(request.COOKIES.get("zone_chosen") or request.COOKIES.get("zone", ""))
    return zone if zone in ZONES else ""


def style_of(request: HttpRequest) -> dates.Style:
    """How the reader wants dates and times; the usual way for what does not exist."""
    order, clock = request.COOKIES.get("dates", ""), request.COOKIES.get("clock", "")
    return dates.Style(
        order if order in dates.ORDERS else dates.USUAL,
        clock if clock in dates.CLOCKS else dates.USUAL,
    )


def reader_zone(get_response: GetResponse) -> GetResponse:
    """Times are written in the reader's own zone, by the server, from the second page on, and in
    the reader's own way."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        zone = zone_of(request)
        in_zone = timezone.override(zoneinfo.ZoneInfo(zone)) if zone else nullcontext()
        with in_zone, dates.override(style_of(request)):
            return get_response(request)

    return handle


def fragments(get_response: GetResponse) -> GetResponse:
    """Keep pages and fragments apart in every cache, and an expired session out of a fragment.

    A fragment that would be redirected to the sign-in page sends the whole browser there.
    """

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if not isinstance(response, HttpResponse) or "html" not in response.headers.get(
            "Content-Type", ""
        ):
            return response
        patch_vary_headers(response, ("HX-Request",))
        response.headers.setdefault("Cache-Control", "no-store")
        login = resolve_url(settings.LOGIN_URL)
        location = response.headers.get("Location", "")
        if wants_fragment(request) and location.split("?")[0] == login:
            answer = HttpResponse(status=204)
            answer.headers["HX-Redirect"] = location
            answer.headers["Cache-Control"] = "no-store"
            patch_vary_headers(answer, ("HX-Request", "Cookie"))
            return answer
        return response

    return handle
