"""The API put together: routers, the shape of errors, and its own description."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, URLPattern, path, re_path, resolve
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from mpm.access.services.actor import Refused
from mpm.api import changes, doctor, events, plans, servers, switch, tokens, webhooks
from mpm.api.auth import operator_of
from mpm.api.bodies import BadBody, StrictParser
from mpm.api.description import complete
from mpm.api.parameters import learn
from mpm.api.problems import Problem, answer, from_refusal, from_validation
from mpm.web.for_programs import for_programs
from mpm.web.middleware import refused_body, without_body
from mpm.web.polling import TURNS, found_no_place

log = logging.getLogger(__name__)

SWITCH = switch.update_mpm
"""It registers itself with the router of servers, as it shares an address with a read."""

DESCRIPTION = """Change the MPM of EasyApache 4 servers, and read their history.

**The first token.** An administrator creates it in the panel under **API tokens » Create token**,
or as root on the panel's machine: `manage.py mpm token create deploy --scope change`. It is shown
once. Every request carries it as `Authorization: Bearer TOKEN`. A token with the permission `admin`
can create more with `POST /tokens`.

**Answers.** Every answer has an `X-Request-Id`, which is in the log of the panel and in the history
of what the request caused; send your own to follow it. Answers are JSON, whatever `Accept` says,
and times are UTC with milliseconds. Errors are `application/problem+json` with a stable `code`;
`errors` names each wrong value by a JSON pointer, a parameter or a header. The `RateLimit` headers
are those of the policy that was applied. `HEAD` works wherever `GET` does.

**Lists.** Every list takes `limit` and `cursor`. `next` is the cursor of the next page, and its
address is in `Link`. Parameters that do not exist, and empty ones, are refused with 422. In a
query, write a time as `2026-03-03T21:00:00Z`, or the `+` of its zone as `%2B`.

**Safe to repeat.** Create a plan, then send its `digest` with `PUT /servers/{server}/mpm` and an
`Idempotency-Key`. The same request with the same key gets the same answer, with
`Idempotency-Replayed: true`, also after a lost connection. `dry_run` checks everything and returns
`would_change`.

**Waiting.** `wait` holds an answer back until there is something new, for a few clients at a time.
When too many wait, the answer is sent immediately with `Retry-After`: repeat the request after so
many seconds.

**Versions.** This is version 1 of the API, whatever the version of the panel. Fields, values, kinds
of events and codes may be added: ignore those that you do not know. Nothing that is described here
is removed or renamed within `/api/v1`.
"""


class Api(NinjaAPI):
    """Describes itself in full. That is worked out once: it takes long, and needs no token."""

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
    parser=StrictParser(),
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
    detail = str(error.__cause__ if isinstance(error.__cause__, BadBody) else error)
    return answer(request, Problem(error.status_code, code, detail))


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
    return answer(request, Problem(400, "bad_request", "This request isn't valid."))


@api.exception_handler(OperationalError)
@api.exception_handler(InterfaceError)
def _unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    if operator_of(request) is not None:
        raise error  # a command reports the database problem and the fix
    log.warning("The database didn't answer: %s", error)
    return answer(
        request,
        Problem(
            503,
            "unavailable",
            "The database didn't answer in time. Nothing was changed. Try again.",
            headers={"Retry-After": "2"},
        ),
    )


@api.exception_handler(Exception)
def _internal(request: HttpRequest, error: Exception) -> HttpResponse:
    if operator_of(request) is not None:
        raise error
    log.error("Unexpected error: %r", error, exc_info=error)
    return answer(
        request,
        Problem(
            500,
            "internal",
            "Something went wrong in the panel. Look for the id of this request in its log.",
        ),
    )


View = Callable[..., HttpResponseBase]
NOTHING = "api-nothing"
"""The name of what answers where there is nothing."""


def finished(view: View) -> View:
    """Completes every response of the API: rate limits, no caching, Retry-After for a poll that
    could not wait, and HEAD and OPTIONS if the view does not have them."""

    @csrf_exempt
    @login_not_required
    @wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        found_no_place()
        if refused_body(request) == 411:
            detail = "Send the length of the body with it (Content-Length)."
            return answer(request, Problem(411, "length_required", detail))
        method = request.method
        if method == "HEAD":
            request.method = "GET"
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
        request.method = method
        return without_body(response) if method == "HEAD" else response

    run.bounds_its_body = True  # type: ignore[attr-defined]
    return for_programs(run)


def _method_not_allowed(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    methods = [name for name in response.headers.get("Allow", "").split(", ") if name]
    if "GET" in methods and "HEAD" not in methods:
        methods.append("HEAD")
    allowed = ", ".join(sorted(methods))
    if request.method == "OPTIONS":
        response = HttpResponse(status=204, headers={"Allow": f"{allowed}, OPTIONS"})
        del response["Content-Type"]  # there is no body that could be of a type
        return response
    detail = f"This address takes {allowed}." if allowed else "This method isn't allowed here."
    return answer(request, Problem(405, "method_not_allowed", detail, headers={"Allow": allowed}))


def nothing(request: HttpRequest) -> HttpResponse:
    """The response for all other addresses below ``/api``."""
    detail = (
        "There is nothing at this address. The API is at /api/v1, its description at /api/docs."
    )
    if request.path.endswith("/") and _is_there(request.path_info.rstrip("/")):
        detail = "There is nothing at this address. Remove the slash at its end."
    elif "//" in request.path_info and _is_there(re.sub("//+", "/", request.path_info)):
        detail = "There is nothing at this address. Replace the double slash by a single one."
    return answer(request, Problem(404, "not_found", detail))


def _is_there(path: str) -> bool:
    """Whether an operation, or a page of the API, has this address."""
    try:
        return resolve(path).url_name not in (NOTHING, None)
    except Resolver404:
        return False


def _state_at_once(view: View) -> View:
    """``GET /servers/{server}/mpm`` without ninja, which takes longer than the rest of this answer:
    monitoring asks for it all the time. What is out of the ordinary goes to ninja's ``view``."""

    @wraps(view)
    def run(request: HttpRequest, server: str) -> HttpResponseBase:
        tags = request.META.get("HTTP_IF_NONE_MATCH", "")
        if request.method != "GET" or len(tags) > servers.LONGEST_TAGS:
            return view(request, server=server)
        try:
            request.auth = servers.READS_STATE(request)  # type: ignore[attr-defined]
            return servers.get_mpm(request, server, tags)
        except Exception as error:  # noqa: BLE001 -- ninja knows what each becomes
            return api.on_exception(request, error)

    return run


def _patterns() -> list[URLPattern]:
    found = []
    for pattern in api.urls[0]:
        if isinstance(pattern, URLPattern) and pattern.name != "api-root":
            if str(pattern.pattern) == servers.STATE.replace("{", "<").replace("}", ">"):
                pattern.callback = _state_at_once(pattern.callback)
            pattern.callback = finished(pattern.callback)
            found.append(pattern)
    return [*found, re_path(r"", finished(nothing), name=NOTHING)]


def openapi(request: HttpRequest) -> HttpResponse:
    """The description, for programs. It needs no token: it has nothing about this installation."""
    if request.method != "GET":
        return HttpResponseNotAllowed(["GET"])
    return JsonResponse(api.get_openapi_schema())


urlpatterns = [path("openapi.json", finished(openapi), name="openapi"), *_patterns()]
