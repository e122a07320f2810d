"""The one place that decides between a whole page and a fragment of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.template.loader import get_template
from django.urls import is_valid_path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _


def wants_fragment(request: HttpRequest) -> bool:
    """htmx requests a part of its page. Going back in the browser requests a whole page."""
    return (
        request.headers.get("HX-Request") == "true"
        and request.headers.get("HX-History-Restore-Request") != "true"
        and request.headers.get("HX-Boosted") != "true"
    )


def show(
    request: HttpRequest,
    page: str,
    context: Mapping[str, Any] | None = None,
    *,
    fragment: str | None = None,
    status: int = 200,
) -> HttpResponse:
    """Render ``page``, or ``fragment`` if the request is for a part only."""
    template = fragment if fragment and wants_fragment(request) else page
    return render(request, template, dict(context or {}), status=status)


def back_to(request: HttpRequest, fallback: str) -> HttpResponse:
    """Return to the page the form names, if it is one of ours, else to ``fallback``."""
    wanted = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure())
    return redirect(wanted if wanted and safe else fallback)


def page_of(request: HttpRequest) -> str:
    """Path and query of the page that requested a fragment, "/" if unknown."""
    return _ours(request, "HX-Current-URL") or "/"


def page_before(request: HttpRequest) -> str:
    """Path and query of the page a form was sent from, "" when that is not known."""
    return _ours(request, "Referer")


def _ours(request: HttpRequest, header: str) -> str:
    """The address in ``header`` if it is one of this host, else ""."""
    parts = urlsplit(request.headers.get(header, ""))
    # A path may begin with two slashes and then names another host.
    if parts.netloc != request.get_host() or not url_has_allowed_host_and_scheme(
        parts.path, allowed_hosts=None
    ):
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def page_above(path: str) -> str:
    """The nearest page above an address; of one that only takes a form, the page it is about."""
    while path != "/":
        path = f"{path.rstrip('/').rpartition('/')[0]}/"
        if is_valid_path(path):
            return path
    return path


def fault(request: HttpRequest) -> HttpResponse:
    """The page of a fault of the panel's own. It is made of nothing that may be broken too: no
    session, no database, nothing that other pages have around them."""
    page = get_template("500.html").render({"request": request})
    return HttpResponse(page, status=500)


def stale_form(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form whose secret is out of date: the session changed in another tab.

    A fragment gets one sentence, never a page inside a page.
    """
    del reason
    get_token(request)
    if wants_fragment(request):
        return HttpResponse(
            _("You signed in or out in another tab. Reload the page."),
            status=403,
            content_type="text/plain; charset=utf-8",
        )
    back = page_before(request) or reverse("home")
    return render(request, "403_csrf.html", {"back": back}, status=403)
