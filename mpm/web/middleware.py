"""What every request and every answer carries: a request id, a content security policy, and
how it is compressed; and how much of a request is taken in at all."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.template.loader import get_template
from django.urls import ResolverMatch

from easyapache.journal import current_changes
from mpm.web.address import client_address
from mpm.web.log_lines import current_change
from mpm.web.responses import page_above

GetResponse = Callable[[HttpRequest], HttpResponseBase]

current_request_id: ContextVar[str] = ContextVar("request_id", default="-")
access = logging.getLogger("ea4.access")
_OF_A_CHANGE = re.compile(r"history/<int:pk>|changes/<")
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from elsewhere."""


def request_id(get_response: GetResponse) -> GetResponse:
    """Give each request an id: ``request.id``, the log, the history and ``X-Request-Id``; and an
    answer to HEAD no body.

    An id the client sends is taken over when it is harmless text, so that a caller can
    follow its own request through the panel.
    """

    def handle(request: HttpRequest) -> HttpResponseBase:
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        identity = sent if _ACCEPTABLE.match(sent) else secrets.token_hex(8)
        request.id = identity  # type: ignore[attr-defined]
        began = time.perf_counter()
        token = current_request_id.set(identity)
        about = current_change.set("-")
        both = current_changes.set(())
        try:
            response = get_response(request)
            if settings.ACCESS_LOG:
                _note_access(request, response, time.perf_counter() - began)
        finally:
            current_changes.reset(both)
            current_change.reset(about)
            current_request_id.reset(token)
        response["X-Request-Id"] = identity
        return without_body(response) if request.method == "HEAD" else response

    def process_view(
        request: HttpRequest, _view: Callable[..., Any], _args: Any, _kwargs: Any
    ) -> None:
        if request.resolver_match:
            note_change(request.resolver_match)

    handle.process_view = process_view  # type: ignore[attr-defined]
    return handle


def without_body(response: HttpResponseBase) -> HttpResponseBase:
    """The headers of an answer, with the length that its body would have."""
    if isinstance(response, HttpResponse):
        response.headers.setdefault("Content-Length", str(len(response.content)))
        response.content = b""
    return response


def note_change(match: ResolverMatch) -> None:
    """Name the change that the address is about in the log lines of this request."""
    if _OF_A_CHANGE.search(match.route):
        number = match.kwargs.get("pk", match.kwargs.get("change", "-"))
        current_change.set(str(number)[:40])


def _note_access(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    """One log line per request, without its query, which may contain private data."""
    fields = {
        "method": str(request.method)[:20],
        "path": request.path[:500],
        "status": response.status_code,
        "ms": round(seconds * 1000, 1),
        "address": client_address(request),
    }
    access.info(
        "%(method)s %(path)s %(status)s in %(ms)s ms for %(address)s",
        fields,
        extra={"access": fields},
    )


def bounded_body(get_response: GetResponse) -> GetResponse:
    """Refuse a body that is too large, or does not say how large it is, before anything reads it.

    Otherwise anyone without an account could make the panel read any amount of data. A view with
    ``bounds_its_body`` answers in its own format.
    """

    def handle(request: HttpRequest) -> HttpResponseBase:
        return get_response(request)

    def process_view(
        request: HttpRequest, view: Callable[..., Any], _args: Any, _kwargs: Any
    ) -> HttpResponseBase | None:
        status = refused_body(request)
        if status is None or getattr(view, "bounds_its_body", False):
            return None
        context = {
            "status": status,
            "most": settings.LARGEST_BODY // 2**20,
            "above": page_above(request.path),
        }
        page = get_template("413.html").render(context | {"request": request})
        return HttpResponse(page, status=status)

    handle.process_view = process_view  # type: ignore[attr-defined]
    return handle


def refused_body(request: HttpRequest) -> int | None:
    """413 for a body that is too large, 411 for one of unknown length; None for any other."""
    if request.META.get("HTTP_TRANSFER_ENCODING"):
        return 411
    length = str(request.META.get("CONTENT_LENGTH") or "")
    return 413 if length.isdecimal() and int(length) > settings.LARGEST_BODY else None


def content_security_policy(get_response: GetResponse) -> GetResponse:
    def handle(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return handle


class Compression(GZipMiddleware):
    """Compresses what a client takes compressed, but for answers with a strong ETag: that one
    names the answer byte for byte and would no longer be fit for If-Match."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if response.headers.get("ETag", "").startswith('"'):
            return response
        return super().process_response(request, response)


class RequestIdFilter(logging.Filter):
    """Puts the id of the request being served on every line of the log, and the change it is about;
    and the request that a line is about, which Django writes after it has left the middleware."""

    def filter(self, record: logging.LogRecord) -> bool:
        about = getattr(getattr(record, "request", None), "id", None)
        record.request_id = about or current_request_id.get()
        record.change_id = current_change.get()
        return True
