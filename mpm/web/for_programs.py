"""The short way of requests by programs, which have no session, no language and no forms.

Most requests are of programs that ask again and again, and the middleware of pages would take them
as long as the rest of their answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, resolve
from django.utils import translation

from mpm.web.middleware import note_change

GetResponse = Callable[[HttpRequest], HttpResponseBase]
View = TypeVar("View", bound=Callable[..., Any])

PLACES = ("/api/v1/", "/json-api/", "/xml-api/")
"""Where the addresses of programs begin. Others, as those of ``/cpsess…/json-api/``, go the way of
pages, with the same answer."""


def for_programs(view: View) -> View:
    """Marks a view that needs nothing of the middleware after ``straight_to_programs``: it
    authenticates each request itself, never by a cookie, and answers in English."""
    view.for_programs = True  # type: ignore[attr-defined]
    return view


def straight_to_programs(get_response: GetResponse) -> GetResponse:
    """Middleware: calls a view that is marked with ``for_programs`` without the middleware after
    it. A bad host name is refused here, as CommonMiddleware would."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PLACES):
            return get_response(request)
        match = _resolved(settings.ROOT_URLCONF, request.path_info)
        view = match.func
        if not getattr(view, "for_programs", False):
            return get_response(request)
        request.get_host()
        translation.activate(settings.LANGUAGE_CODE)
        request.resolver_match = match
        note_change(match)
        response: HttpResponseBase = view(request, *match.args, **match.kwargs)
        if not response.streaming and not response.has_header("Content-Length"):
            response.headers["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
        return response

    return handle


@lru_cache(maxsize=512)
def _resolved(_urlconf: str, path: str) -> ResolverMatch:
    """Programs ask for the same few addresses, which never lead elsewhere. Raises Resolver404."""
    return resolve(path)
