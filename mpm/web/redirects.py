"""Redirects for requests that can't be answered: the session has expired, or the URL does not
accept the method. The page they lead to shows what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.translation import gettext as _

from mpm.web.responses import page_above, page_before, page_of, wants_fragment

GetResponse = Callable[[HttpRequest], HttpResponseBase]

READING = ("GET", "HEAD")
UNSENT = "unsent"
"""The query of the sign-in page after a form was lost."""


class SignInFirst(LoginRequiredMiddleware):
    """Redirects to the sign-in page, and from there to a page: the requested one, the one with the
    form, or the one that contains the fragment."""

    def handle_no_permission(
        self, request: HttpRequest, view_func: Callable[..., Any]
    ) -> HttpResponseRedirect:
        reading = request.method in READING
        if wants_fragment(request):
            back = _page_with(request) or page_of(request)
        elif reading:
            back = request.get_full_path()
        else:
            back = page_before(request) or "/"
        query = {self.get_redirect_field_name(view_func): back}
        if not reading:
            query[UNSENT] = "1"
        login = resolve_url(self.get_login_url(view_func))
        return HttpResponseRedirect(f"{login}?{urlencode(query, safe='/')}")


WHOLE = {"mpm-plan": "mpm"}
"""Fragments with the same query as their page."""


def _page_with(request: HttpRequest) -> str:
    """The page with the requested fragment, "" if only the current page has it."""
    match = request.resolver_match
    page = WHOLE.get(match.view_name) if match else None
    query = request.META.get("QUERY_STRING", "")
    return f"{reverse(page)}?{query}" if page and query else ""


def wrong_method(get_response: GetResponse) -> GetResponse:
    """An address that only takes a form leads who opens it to the page the form belongs to: a
    form that was refused leaves its own address in the browser, to be opened again some day.
    What else an address does not take is refused in the house's words."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        # The API writes its own refusals.
        if not isinstance(response, HttpResponseNotAllowed) or response.content:
            return response
        if wants_fragment(request):
            refusal = HttpResponse(
                _("This page doesn’t accept that request. Nothing was changed."),
                content_type="text/plain; charset=utf-8",
            )
        elif request.method in READING:
            return redirect(page_above(request.path))
        else:
            refusal = render(request, "405.html", {"above": page_above(request.path)})
        refusal.status_code = response.status_code
        refusal.headers["Allow"] = response.headers["Allow"]
        return refusal

    return handle
