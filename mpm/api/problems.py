"""The one error shape of the API: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse

from easyapache.ea4.plan import Plan
from easyapache.ea4.sentences import plain
from mpm.access.services.actor import Busy, Refused, Stale
from mpm.api.shapes import PATTERNS

MEDIA_TYPE = "application/problem+json"
DOCUMENTED = "/api/docs#problem"

TITLES: Mapping[str, str] = {
    "bad_destination": "This webhook URL isn't allowed",
    "bad_json": "The body is not JSON",
    "bad_request": "The request isn't valid",
    "being_sent": "The delivery is being sent right now",
    "blocked": "A rule blocks this change",
    "busy": "Another change is running on this server",
    "digest_mismatch": "The server changed",
    "digest_required": "The digest of the plan is required",
    "empty_window": "The maintenance window ends before it begins",
    "beyond_the_mpm": "The plan changes more than the MPM",
    "far_window": "The maintenance window is too far in the future",
    "past_window": "The maintenance window has passed",
    "inactive": "The server is disabled in this panel",
    "internal": "Internal error of the panel",
    "invalid": "A value isn't valid",
    "key_reused": "The Idempotency-Key was used for another request",
    "length_required": "Content-Length is required",
    "method_not_allowed": "Method not allowed",
    "name_control_characters": "The name contains control characters",
    "name_too_long": "The name is too long",
    "no_profile": "The server hasn't been scanned yet",
    "no_way_back": "The previous packages can't be restored",
    "no_zone": "A time needs its time zone",
    "not_allowed": "The token doesn't have the permission",
    "not_found": "Not found",
    "nothing_to_do": "No changes needed",
    "nothing_to_roll_back": "Nothing to roll back",
    "other_preview": "The plan is for another server or selection",
    "preview_failed": "The server couldn't make a plan",
    "preview_not_ready": "The server hasn't answered yet",
    "reason_control_characters": "The reason contains control characters",
    "reason_too_long": "The reason is too long",
    "refused": "The panel refused the request",
    "stale": "The server changed after this plan was made",
    "throttled": "Too many requests",
    "ticket_control_characters": "The ticket contains control characters",
    "ticket_too_long": "The ticket is too long",
    "too_large": "The request is too large",
    "too_late": "Too late",
    "unauthorized": "No valid token",
    "unavailable": "The panel can't answer right now",
    "unknown_change": "No such change",
    "unknown_kind": "No such kind of event",
    "unknown_preview": "No such plan",
    "unknown_repair": "No such repair",
    "unknown_server": "No such server",
    # In a plan requested from the server itself:
    "bad_checksum": "A repository contains a damaged file",
    "bad_signature": "A package or repository isn't signed correctly",
    "disk_full": "The server's disk is full",
    "no_broker": "The panel's broker isn't available",
    "no_answer": "The server didn't answer in time",
    "no_package_manager": "The server has no supported package manager",
    "no_such_package": "No repository of the server provides the package",
    "no_such_program": "A program is missing on the server",
    "not_supported": "The server's package manager is too old",
    "package_manager": "The server's package manager failed",
    "package_manager_busy": "The server's package manager is busy",
    "protected": "A package that must be kept would be removed",
    "repository": "A repository of the server can't be read",
    "repository_unreachable": "A repository of the server can't be reached",
    "rpm_database": "The server's package database can't be read",
    "transaction_failed": "A package transaction failed",
    "unsupported_media_type": "The body is not JSON",
    "unsatisfiable": "The packages conflict with each other",
}
"""By code. A code never changes once released; others have the title of their status."""


class Problem(Exception):
    """A request that ends with a problem. ``more`` are further members of the answer."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers, self.more = dict(headers or {}), more

    def as_json(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "type": f"{DOCUMENTED}-{self.code}" if self.code in TITLES else f"{DOCUMENTED}s",
            "title": TITLES.get(self.code, HTTPStatus(self.status).phrase),
            "status": self.status,
            "detail": self.detail,
            "instance": request.path,
            "code": self.code,
            "request_id": str(getattr(request, "id", "")),
            **{key: value for key, value in self.more.items() if value not in (None, "", [])},
        }


def from_refusal(refused: Refused) -> Problem:
    """The problem for a service's refusal, with the data the caller needs to continue: the blocking
    change, or the current plan."""
    more: dict[str, Any] = {
        "remedy": refused.remedy,
        "findings": [plain(finding.as_json()) for finding in refused.findings],
    }
    if refused.field:
        more["errors"] = [{"detail": str(refused.message), "pointer": pointer(refused.field)}]
    headers: dict[str, str] = {}
    if isinstance(refused, Busy):
        address = f"/api/v1/changes/{refused.change.pk}"
        more["change"] = {"id": refused.change.pk, "href": address, "state": refused.change.state}
        headers["Link"] = f'<{address}>; rel="related"'
        headers["Retry-After"] = "5"
    if isinstance(refused, Stale):
        more["plan"] = moved(refused.plan)
    status = refused.status if refused.status >= 400 else 409
    return Problem(status, refused.code, refused.message, headers=headers, **more)


def moved(plan: Plan) -> dict[str, Any]:
    """The difference as it would be now, and the digest that confirms it."""
    return {
        "digest": plan.digest,
        "base_digest": plan.base_digest,
        "headline": plan.headline,
        "install": [item.name for item in plan.install],
        "remove": [item.name for item in plan.remove],
    }


def answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    response = HttpResponse(
        json.dumps(problem.as_json(request)), content_type=MEDIA_TYPE, status=problem.status
    )
    for name, value in problem.headers.items():
        response[name] = value
    return response


def from_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Which values were wrong, and why; never the values themselves, which may be secret."""
    found = [_invalid(error) for error in errors[:50]]
    return Problem(
        422, "invalid", _in_a_line(found[0]) if found else "A value is wrong.", errors=found
    )


def invalid(detail: str, code: str = "invalid", status: int = 422, **where: str) -> Problem:
    """One wrong value. ``where``: its ``pointer``, ``parameter`` or ``header``."""
    found = {"detail": detail, **where}
    return Problem(status, code, _in_a_line(found), errors=[found])


def pointer(*parts: object) -> str:
    """A JSON pointer (RFC 6901) as a URI fragment: ``#/mpm``."""
    return "#" + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def _invalid(error: Mapping[str, Any]) -> dict[str, str]:
    place, *parts = error.get("loc", ("body",))
    message = _message(error)
    if place != "body":
        name = str(parts[0] if parts else place)[:200]
        return {"detail": message, "header" if place == "header" else "parameter": name}
    # The first part is the name of the argument, which clients don't know.
    inside = parts[1:]
    if not inside and error.get("type") == "missing":
        message = "A body is required."
    elif not inside and error.get("type") in ("dict_type", "model_type", "model_attributes_type"):
        message = "The body must be a JSON object."
    return {"detail": message, "pointer": pointer(*inside)[:200]}


_MESSAGES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is unknown",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_unicode": "has characters that aren't text",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "datetime_parsing": "must be a time with its zone, as 2026-03-03T21:00:00Z: {error}",
    "datetime_from_date_parsing": "must be a time with its zone, as 2026-03-03T21:00:00Z: {error}",
    "datetime_object_invalid": "must be a time with its zone, as 2026-03-03T21:00:00Z: {error}",
}
"""By pydantic's type of an error, whose own words are for programmers in Python."""


def _message(error: Mapping[str, Any]) -> str:
    kind, about = str(error.get("type", "")), error.get("ctx") or {}
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(str(about.get("pattern")), "isn't valid")
    if kind in _MESSAGES:
        return _MESSAGES[kind].format_map(about)[:300]
    return str(error.get("msg", "")).removeprefix("Value error, ")[:300]


def _in_a_line(found: Mapping[str, str]) -> str:
    where = next((text for name, text in found.items() if name != "detail"), "")
    where = where.removeprefix("#/").removeprefix("#")
    return f"{where}: {found['detail']}" if where else found["detail"]
