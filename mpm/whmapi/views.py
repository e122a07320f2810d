"""``/json-api/<function>``: reads the call, finds who and where, answers as WHM does."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import (
    HttpRequest,
    HttpResponse,
    JsonResponse,
    UnreadablePostError,
)
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.csrf import csrf_exempt

from mpm.access.scopes import Scope
from mpm.access.services.actor import Refused
from mpm.web.middleware import refused_body
from mpm.whmapi import actions, httpd, packages, profiles
from mpm.whmapi.access import AccessDenied, Caller, TooMany, caller_of, server_meant
from mpm.whmapi.call import FUNCTIONS, Call
from mpm.whmapi.envelope import Failed, bridged, denied, failed, succeeded, unknown
from mpm.whmapi.output import controlled
from mpm.whmapi.parameters import (
    MAX_BODY,
    BadParameters,
    Parameters,
    from_body,
    from_parts,
    from_query,
)

log = logging.getLogger(__name__)
ROOMS = (actions, httpd, packages, profiles)
"""Imported for what they register."""


@csrf_exempt
@login_not_required
def json_api(request: HttpRequest, function: str) -> HttpResponse:
    """GET or POST, form or JSON. HTTP 200 with the outcome in ``metadata.result``; 403 where
    the credentials are not good, 429 where too many requests came."""
    methods = _methods_of(function)
    if request.method not in methods:
        allowed = ", ".join(methods)
        response = _answer(request, failed(function, f"This function takes {allowed}."), 405)
        response["Allow"] = allowed
        return response
    try:
        return _called(request, function)
    except Exception as error:  # noqa: BLE001 -- such a client reads nothing but the envelope
        return _answer(request, failed(function, _mishap(error)))


json_api.bounds_its_body = True  # type: ignore[attr-defined]


def _methods_of(function: str) -> tuple[str, ...]:
    """Whoever asks for the head of an answer changes nothing, so that only reading functions have
    one. What ``cpanel`` calls is in its parameters."""
    known = FUNCTIONS.get(function)
    changes = function == "cpanel" or (known is not None and known.scope is not Scope.READ)
    return ("GET", "POST") if changes else ("GET", "HEAD", "POST")


def _mishap(error: Exception) -> str:
    """What a caller reads of an error that is not its own; the log has the rest."""
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("The database did not answer: %s", error)
        return "The database did not answer in time. Nothing was changed; try again."
    log.error("An error that nobody foresaw: %r", error, exc_info=error)
    return "Something went wrong in the panel. Its log says what, under the id of this request."


def _called(request: HttpRequest, function: str) -> HttpResponse:
    try:
        caller = caller_of(request)
    except AccessDenied:
        return _answer(request, denied(), 403)
    except TooMany as error:
        response = _answer(request, failed(function, str(error)), 429)
        for name, value in error.headers.items():
            response[name] = value
        return response
    try:
        parameters = _parameters(request)
    except BadParameters as error:
        return _answer(request, failed(function, str(error)))
    if function == "cpanel":
        return _answer(request, _bridge(request, caller, parameters))
    return _answer(request, perform(request, caller, function, parameters))


def perform(
    request: HttpRequest, caller: Caller, name: str, parameters: Parameters
) -> dict[str, Any]:
    """Call one function and put what came of it into the envelope."""
    version = parameters.text("api.version", "1") or "1"
    known = FUNCTIONS.get(name)
    if known is None or version != "1":
        return unknown(name[:100], version)
    try:
        caller.must_have(known.scope, name)
        call = Call(server_meant(request, parameters, caller), caller, parameters)
        data, about = controlled(known.work(call), parameters)
    except Failed as error:
        answer = failed(name, str(error))
        return {"data": error.data, **answer} if error.data else answer
    except BadParameters as error:
        return failed(name, str(error))
    except Refused as error:
        return failed(name, f"{error.message} {error.remedy}".strip())
    except Exception as error:  # noqa: BLE001 -- and in the shape the caller knows
        return failed(name, _mishap(error))
    return succeeded(name, data, about)


def _bridge(request: HttpRequest, caller: Caller, parameters: Parameters) -> dict[str, Any]:
    """``/json-api/cpanel``: clients of cPanel API 2 can only name a function in a parameter.

    WHM would run it as an account's function. Accounts are not this panel's matter, so the
    function named there is one of ours, and the answer has the shape such a client reads.
    """
    name = parameters.text("cpanel_jsonapi_func")
    rest = Parameters(
        tuple(pair for pair in parameters.pairs if not pair[0].startswith("cpanel_jsonapi_"))
    )
    answer = perform(request, caller, name, rest)
    return bridged(parameters.text("cpanel_jsonapi_module"), name, answer)


def _parameters(request: HttpRequest) -> Parameters:
    """Query and body together. Raises BadParameters."""
    pairs = from_query(request.META.get("QUERY_STRING", ""))
    if request.method == "POST":
        pairs += _sent(request)
    if any(not _is_text(part) for pair in pairs for part in pair):
        raise BadParameters("The request holds characters that are no text.")
    return Parameters(pairs)


def _is_text(value: str) -> bool:
    """Whether every database and every answer can hold it."""
    return "\0" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value)


def _sent(request: HttpRequest) -> tuple[tuple[str, str], ...]:
    """What the body of a POST holds. Raises BadParameters."""
    if refused_body(request) == 411:
        raise BadParameters("Send the length of the request with it (Content-Length).")
    length = str(request.META.get("CONTENT_LENGTH", ""))
    if length.isdecimal() and int(length) > MAX_BODY:
        raise BadParameters("The request is too large.")
    try:
        if request.content_type == "multipart/form-data":
            return from_parts(request.POST.lists(), request.FILES)
        return from_body(request.headers.get("Content-Type", ""), request.body)
    except (BadRequest, MultiPartParserError, SuspiciousOperation, UnreadablePostError) as error:
        raise BadParameters("The request cannot be read, or is too large.") from error


def _answer(request: HttpRequest, body: dict[str, Any], status: int = 200) -> HttpResponse:
    response = JsonResponse(body, status=status)
    response["Cache-Control"] = "no-store"
    verdict = getattr(request, "rate_limit", None)
    if verdict is not None:
        for name, value in verdict.headers.items():
            response[name] = value
    return response
