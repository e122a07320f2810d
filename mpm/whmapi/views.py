"""``/json-api/<function>`` and ``/xml-api/<function>``: reads the call, finds who and where, and
answers as WHM does."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
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
from django.views.defaults import bad_request as default_bad_request

from mpm.access.scopes import Scope
from mpm.access.services.actor import Refused
from mpm.servers.models import Server
from mpm.web.for_programs import for_programs
from mpm.web.middleware import refused_body
from mpm.whmapi import actions, httpd, packages, profiles, system
from mpm.whmapi.access import AccessDenied, Caller, TooMany, caller_of, server_meant
from mpm.whmapi.call import FUNCTIONS, Call
from mpm.whmapi.envelope import Answer, Failed, bridged, denied, failed, to_xml, unknown
from mpm.whmapi.output import controlled
from mpm.whmapi.parameters import (
    MAX_BODY,
    BadParameters,
    Parameters,
    from_body,
    from_parts,
    from_query,
)
from mpm.whmapi.system import of_accounts

log = logging.getLogger(__name__)
ROOMS = (actions, httpd, packages, profiles, system)
"""Imported for what they register."""
MOST_COMMANDS = 100
"""Of one batch."""
IN_THE_LOG = "Something went wrong in the panel. Look for the id of this request in its log."
XML = "text/xml; charset=utf-8"
CLIENT_PATH = re.compile(r"/+(?:cpsess\w{0,64}/+)?(?P<form>json|xml)-api/*(?P<function>[^/]*)")


@for_programs
@csrf_exempt
@login_not_required
def whm_api(request: HttpRequest, form: str, function: str = "") -> HttpResponse:
    """GET or POST, form or JSON. HTTP 200 with the outcome in the answer; 403 for invalid
    credentials, 429 for too many requests."""
    name = function.strip("/")
    methods = _methods_of(name)
    if request.method not in methods:
        allowed = ", ".join(methods)
        answer = failed(name, f"This function takes {allowed}.", _version_in_query(request))
        response = _answer(request, form, answer, 405)
        response["Allow"] = allowed
        return response
    try:
        return _called(request, form, name)
    except Exception as error:  # noqa: BLE001 -- such a client reads only the envelope
        answer = failed(name, _mishap(error), _version_in_query(request))
        return _answer(request, form, answer)


whm_api.bounds_its_body = True  # type: ignore[attr-defined]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A request that never reached a view, as one for a host that is not the panel's: a client of
    WHM reads only answers in WHM's shape."""
    match = CLIENT_PATH.match(request.path_info)
    if match is None:
        return default_bad_request(request, exception)
    reason = "The request can't be read, or this host name isn't in the panel's ALLOWED_HOSTS."
    answer = failed(match["function"] or "", reason, _version_in_query(request))
    return _answer(request, match["form"], answer, 400)


def server_error(request: HttpRequest) -> HttpResponse | None:
    """A fault outside of the view; None if the address is not one of WHM's."""
    match = CLIENT_PATH.match(request.path_info)
    if match is None:
        return None
    answer = failed(match["function"] or "", IN_THE_LOG, _version_in_query(request))
    return _answer(request, match["form"], answer, 500)


def _methods_of(function: str) -> tuple[str, ...]:
    """HEAD must change nothing, so only reading functions have it. The functions called by
    ``cpanel`` and ``batch`` are in their parameters."""
    known = FUNCTIONS.get(function)
    indirect = function in ("cpanel", "batch")
    changes = indirect or (known is not None and known.scope is not Scope.READ)
    return ("GET", "POST") if changes else ("GET", "HEAD", "POST")


def _mishap(error: Exception) -> str:
    """What a caller reads of an error that is not its own; the log has the rest."""
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("The database didn't answer: %s", error)
        return "The database didn't answer in time. Nothing was changed. Try again."
    log.error("Unexpected error: %r", error, exc_info=error)
    return IN_THE_LOG


def _called(request: HttpRequest, form: str, function: str) -> HttpResponse:
    try:
        caller = caller_of(request)
    except AccessDenied:
        return _sent_as(form, denied(), 403)
    except TooMany as error:
        answer = failed(function, str(error), _version_in_query(request))
        response = _answer(request, form, answer, 429)
        for name, value in error.headers.items():
            response[name] = value
        return response
    try:
        parameters = _parameters(request)
    except BadParameters as error:
        answer = failed(function, str(error), _version_in_query(request))
        return _answer(request, form, answer)
    if function == "cpanel":
        return _limited(request, _sent_as(form, _bridge(request, caller, parameters), 200))
    return _answer(request, form, perform(request, caller, function, parameters))


def perform(request: HttpRequest, caller: Caller, name: str, parameters: Parameters) -> Answer:
    """Call one function. Without ``api.version`` it is API 0's, as in WHM."""
    version = version_of(parameters)
    if version is None or version > 1:
        return unknown(name[:100], version or 0)
    if name == "batch" and version == 1:
        return _batch(request, caller, parameters)
    try:
        refusal = of_accounts(name)
        if refusal is not None:
            raise refusal
        known = FUNCTIONS.get(name)
        if known is None:
            return unknown(name[:100], version)
        caller.must_have(known.scope, name)
        meant = _meant(request, caller, parameters, anywhere=known.anywhere)
        host = request.get_host().partition(":")[0]
        call = Call(meant, caller, parameters, host)
        data, about = controlled(known.work(call), parameters)
    except Failed as error:
        return Answer(name, version, ok=False, reason=str(error), data=error.data)
    except BadParameters as error:
        return failed(name, str(error), version)
    except Refused as error:
        return failed(name, f"{error.message} {error.remedy}".strip(), version)
    except Exception as error:  # noqa: BLE001 -- and in the caller's format
        return failed(name, _mishap(error), version)
    return Answer(name, version, ok=True, data=data, about=about)


def version_of(parameters: Parameters) -> int | None:
    """The version of the API that is called; None where it is no number."""
    text = parameters.text("api.version", "0") or "0"
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _version_in_query(request: HttpRequest) -> int:
    """For answers that are made before, or because, the parameters cannot be read."""
    return 1 if request.GET.get("api.version") == "1" else 0


def _meant(
    request: HttpRequest, caller: Caller, parameters: Parameters, *, anywhere: bool
) -> Server | None:
    """Raises Failed where no server is meant, unless the function works without one."""
    try:
        return server_meant(request, parameters, caller)
    except Failed:
        if not anywhere or parameters.text("server"):
            raise
        return None


def _batch(request: HttpRequest, caller: Caller, parameters: Parameters) -> Answer:
    """Several functions in one call, in order, each with its own answer."""
    commands = [value for name, value in parameters.pairs if name == "command"]
    commands += [value for value in parameters.many("command") if value not in commands]
    if not commands:
        return failed("batch", "Provide the “command” argument.")
    if len(commands) > MOST_COMMANDS:
        return failed("batch", f"A batch can have at most {MOST_COMMANDS} commands.")
    try:
        stops = parameters.flag("abort_on_error")
    except BadParameters as error:
        return failed("batch", str(error))
    answers: list[Answer] = []
    for command in commands:
        name, _, query = command.partition("?")
        answers.append(_one_of_batch(request, caller, name, query))
        if stops and not answers[-1].ok:
            break
    wrong = [answer for answer in answers if not answer.ok]
    data = {"result": [answer.as_json() for answer in answers]}
    if not wrong:
        return Answer("batch", 1, ok=True, data=data)
    reason = f"{wrong[0].function}: {wrong[0].reason}"
    return Answer("batch", 1, ok=False, reason=reason, data=data)


def _one_of_batch(request: HttpRequest, caller: Caller, name: str, query: str) -> Answer:
    if name in ("batch", "cpanel"):
        return failed(name, f"“{name}” can't be called in a batch.")
    try:
        pairs = tuple(pair for pair in from_query(query) if pair[0] != "api.version")
    except BadParameters as error:
        return failed(name, str(error))
    return perform(request, caller, name, Parameters((*pairs, ("api.version", "1"))))


def _bridge(request: HttpRequest, caller: Caller, parameters: Parameters) -> dict[str, Any]:
    """``/json-api/cpanel``: clients of cPanel API 2 can only name a function in a parameter.

    WHM would run it as an account's function. Accounts are not this panel's matter, so the
    function named there is one of ours, and the answer has the shape such a client reads.
    """
    name = parameters.text("cpanel_jsonapi_func")
    rest = Parameters(
        (
            *(
                pair
                for pair in parameters.pairs
                if not pair[0].startswith("cpanel_jsonapi_") and pair[0] != "api.version"
            ),
            ("api.version", "1"),
        )
    )
    answer = perform(request, caller, name, rest)
    return bridged(parameters.text("cpanel_jsonapi_module"), answer)


def _parameters(request: HttpRequest) -> Parameters:
    """Query and body together. Raises BadParameters."""
    pairs = from_query(request.META.get("QUERY_STRING", ""))
    if request.method == "POST":
        pairs += _sent(request)
    if any(not _is_text(part) for pair in pairs for part in pair):
        raise BadParameters("The request contains characters that aren't text.")
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
        raise BadParameters("The request can't be read, or is too large.") from error


def _answer(request: HttpRequest, form: str, answer: Answer, status: int = 200) -> HttpResponse:
    if form == "xml":
        response = HttpResponse(answer.as_xml(), content_type=XML, status=status)
    else:
        response = JsonResponse(answer.as_json(), status=status)
    response["Cache-Control"] = "no-store"
    return _limited(request, response)


def _sent_as(form: str, body: Mapping[str, Any], status: int) -> HttpResponse:
    """A body that has one key, which in XML is the root."""
    response: HttpResponse
    if form == "xml":
        ((root, inner),) = body.items()
        response = HttpResponse(to_xml(root, inner), content_type=XML, status=status)
    else:
        response = JsonResponse(body, status=status)
    response["Cache-Control"] = "no-store"
    return response


def _limited(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    verdict = getattr(request, "rate_limit", None)
    if verdict is not None:
        for name, value in verdict.headers.items():
            response[name] = value
    return response
