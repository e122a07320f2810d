"""What every request and every answer carries: a request id, a content security policy, and
how it is compressed."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

GetResponse = Callable[[HttpRequest], HttpResponseBase]

current_request_id: ContextVar[str] = ContextVar("request_id", default="-")
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from elsewhere."""


def request_id(get_response: GetResponse) -> GetResponse:
    """Give each request an id: ``request.id``, the log, the history and ``X-Request-Id``.

    An id the client sends is taken over when it is harmless text, so that a caller can
    follow its own request through the panel.
    """

    def handle(request: HttpRequest) -> HttpResponseBase:
        sent = request.headers.get("X-Request-Id", "")
        identity = sent if _ACCEPTABLE.match(sent) else secrets.token_hex(8)
        request.id = identity  # type: ignore[attr-defined]
        token = current_request_id.set(identity)
        try:
            response = get_response(request)
        finally:
            current_request_id.reset(token)
        response["X-Request-Id"] = identity
        return response

    return handle


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
    """Puts the id of the request being served on every line of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id.get()
        return True
