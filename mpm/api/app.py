"""The API put together: routers, the shape of errors, and its own description."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, re_path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from mpm.access.services.actor import Refused
from mpm.api import changes, doctor, events, plans, servers, switch, tokens, webhooks
from mpm.api.auth import operator_of
from mpm.api.description import complete
from mpm.api.parameters import learn
from mpm.api.problems import Problem, answer, from_refusal, from_validation
from mpm.web.middleware import refused_body
from mpm.web.polling import TURNS, found_no_place

log = logging.getLogger(__name__)

SWITCH = switch.put_mpm
"""It registers itself with the router of servers, as it shares an address with a read."""

DESCRIPTION = """Change the MPM of EasyApache 4 servers, and know what happened.

Every request carries `Authorization: Bearer <token>`. Every answer carries `X-Request-Id`, which
is also in the history of what the request caused; send your own to follow it. Errors are
`application/problem+json` with a stable `code`. Limits are told in the `RateLimit` headers.

A change that is safe to repeat: ask for a plan, then send its `digest` with `PUT
/servers/{server}/mpm` and an `Idempotency-Key`. Asking again with the same key gives the same
answer and `Idempotency-Replayed: true`, however often and at whatever moment the connection
broke.

`wait` holds an answer back until there is something new, for a few clients at a time. When too many
wait, the answer comes at once, with what there is and `Retry-After`: ask again after so many
seconds.
"""


class Api(NinjaAPI):
    """Describes itself in full, and works that out once: it takes long, and anybody may ask."""

    _described: OpenAPISchema | None = None
    _describing = threading.Lock()

    def get_openapi_schema(self, **_options: Any) -> OpenAPISchema:
        with self._describing:
            if self._described is None:
                schema = super().get_openapi_schema(path_prefix="api/v1/")
                complete(schema)
                self._described = schema
            return self._described


api = Api(
    title="EasyApache 4 MPM panel",
    version="1.0.0",
    description=DESCRIPTION,
    docs_url=None,
    openapi_url=None,
    urls_namespace="api-v1",
)
for router in (
    servers.router,
    plans.router,
    changes.router,
    doctor.router,
    events.router,
    webhooks.router,
    tokens.router,
):
    api.add_router("", router)
learn(api, "api/v1")


@api.exception_handler(Problem)
def _problem(request: HttpRequest, problem: Problem) -> HttpResponse:
    return answer(request, problem)


@api.exception_handler(Refused)
def _refused(request: HttpRequest, refused: Refused) -> HttpResponse:
    return answer(request, from_refusal(refused))


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return answer(request, from_validation(error.errors))


@api.exception_handler(HttpError)
def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    code = "bad_json" if error.status_code == 400 else "bad_request"
    return answer(request, Problem(error.status_code, code, str(error)))


@api.exception_handler(Http404)
def _not_found(request: HttpRequest, _error: Http404) -> HttpResponse:
    return answer(request, Problem(404, "not_found", "There is nothing at this address."))


@api.exception_handler(SuspiciousOperation)
def _suspicious(request: HttpRequest, error: SuspiciousOperation) -> HttpResponse:
    if isinstance(error, RequestDataTooBig):
        longest = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // (1024 * 1024)
        return answer(
            request, Problem(413, "too_large", f"A request may have at most {longest} MiB.")
        )
    return answer(request, Problem(400, "bad_request", "This request cannot be meant."))


@api.exception_handler(OperationalError)
@api.exception_handler(InterfaceError)
def _unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    if operator_of(request) is not None:
        raise error  # a command says what is wrong with the database, and what to do
    log.warning("The database did not answer: %s", error)
    return answer(
        request,
        Problem(
            503,
            "unavailable",
            "The database did not answer in time. Nothing was changed; try again.",
            headers={"Retry-After": "2"},
        ),
    )


@api.exception_handler(Exception)
def _internal(request: HttpRequest, error: Exception) -> HttpResponse:
    if operator_of(request) is not None:
        raise error
    log.error("An error that nobody foresaw: %r", error, exc_info=error)
    return answer(
        request,
        Problem(
            500,
            "internal",
            "Something went wrong in the panel. Its log says what, under the id of this request.",
        ),
    )


View = Callable[..., HttpResponseBase]


def finished(view: View) -> View:
    """What every answer of the API has, whoever made it: the limits, no cache, and when to ask
    again where a poll could not wait."""

    @csrf_exempt
    @login_not_required
    @wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        found_no_place()
        if refused_body(request) == 411:
            detail = "Send the length of the body with it (Content-Length)."
            return answer(request, Problem(411, "length_required", detail))
        with TURNS.answering() as turn:
            response = view(request, *args, **kwargs)
            if found_no_place() and response.status_code < 400:
                response.headers.setdefault("Retry-After", str(turn()))
        if response.status_code == 405:
            response = _method_not_allowed(request, response)
        verdict = getattr(request, "rate_limit", None)
        if verdict is not None:
            for name, value in verdict.headers.items():
                response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Vary", "Authorization")
        return response

    run.bounds_its_body = True  # type: ignore[attr-defined]
    return run


def _method_not_allowed(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    allowed = response.headers.get("Allow", "")
    detail = f"This address takes {allowed}." if allowed else "Not with this method."
    return answer(request, Problem(405, "method_not_allowed", detail, headers={"Allow": allowed}))


def _nothing(request: HttpRequest) -> HttpResponse:
    return answer(request, Problem(404, "not_found", "There is nothing at this address."))


def _patterns() -> list[URLPattern]:
    found = []
    for pattern in api.urls[0]:
        if isinstance(pattern, URLPattern) and pattern.name != "api-root":
            pattern.callback = finished(pattern.callback)
            found.append(pattern)
    return [*found, re_path(r"", finished(_nothing))]


def openapi(request: HttpRequest) -> HttpResponse:
    """The description, for programs. Needs no token: it tells nothing of this installation."""
    if request.method not in ("GET", "HEAD"):
        return answer(
            request,
            Problem(405, "method_not_allowed", "Only GET.", headers={"Allow": "GET, HEAD"}),
        )
    return JsonResponse(api.get_openapi_schema())


urlpatterns = [path("openapi.json", finished(openapi), name="openapi"), *_patterns()]
