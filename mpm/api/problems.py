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

MEDIA_TYPE = "application/problem+json"
DOCUMENTED = "/api/docs#problem"

TITLES: Mapping[str, str] = {
    "bad_destination": "A webhook may not go there",
    "bad_json": "The body is not JSON",
    "bad_request": "Not a request this API understands",
    "being_sent": "It is being sent at this moment",
    "blocked": "A rule blocks this change",
    "busy": "Another change of this server has not finished",
    "digest_mismatch": "The server is no longer in the state you saw",
    "digest_required": "This server wants the digest of the plan",
    "empty_window": "The window ends before it begins",
    "beyond_the_mpm": "More than a change of the MPM",
    "far_window": "The window lies too far ahead",
    "past_window": "The window has passed",
    "inactive": "The server is switched off in this panel",
    "internal": "An error inside the panel",
    "invalid": "A value is not what it must be",
    "key_reused": "The Idempotency-Key belongs to another request",
    "length_required": "The length of the body is missing",
    "method_not_allowed": "Not with this method",
    "name_control_characters": "The name holds control characters",
    "name_too_long": "The name is too long",
    "no_profile": "The server has not been looked at yet",
    "no_way_back": "No packages lead back to how the server was",
    "no_zone": "A time without its zone",
    "not_allowed": "The token may not do this",
    "not_found": "Not here",
    "nothing_to_do": "The server is so already",
    "nothing_to_roll_back": "There is nothing to go back from",
    "other_preview": "The preview is of another server or choice",
    "preview_failed": "The server could not say what it would do",
    "preview_not_ready": "The server has not answered yet",
    "reason_control_characters": "The reason holds control characters",
    "reason_too_long": "The reason is too long",
    "refused": "The panel does not do this",
    "stale": "The plan has moved",
    "throttled": "Too many requests",
    "ticket_control_characters": "The ticket holds control characters",
    "ticket_too_long": "The ticket is too long",
    "too_large": "The request is too large",
    "too_late": "Too late",
    "unauthorized": "No valid token",
    "unavailable": "The panel cannot answer at the moment",
    "unknown_change": "There is no such change",
    "unknown_kind": "There is no such kind of event",
    "unknown_preview": "There is no such plan",
    "unknown_repair": "There is no such repair",
    "unknown_server": "There is no such server",
    # In a plan that was asked of the server itself:
    "bad_checksum": "A repository holds a damaged file",
    "bad_signature": "A package or repository is not signed as it must be",
    "disk_full": "The disk of the server is full",
    "no_answer": "The server did not answer in time",
    "no_package_manager": "The server has no package manager this panel knows",
    "no_such_package": "No repository of the server offers a package",
    "no_such_program": "A program is missing on the server",
    "not_supported": "The package manager of the server is too old",
    "package_manager": "The package manager of the server failed",
    "package_manager_busy": "The package manager of the server is at work",
    "protected": "A package that must stay would leave",
    "repository": "A repository of the server cannot be read",
    "repository_unreachable": "A repository of the server cannot be reached",
    "rpm_database": "The package database of the server cannot be read",
    "transaction_failed": "A package transaction failed",
    "unsupported_media_type": "The body is not JSON",
    "unsatisfiable": "The packages cannot be together",
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
    """What a service refused, with what the caller needs to go on: the change in the way, or
    the plan as it is now and how it differs from nothing."""
    more: dict[str, Any] = {
        "remedy": refused.remedy,
        "findings": [plain(finding.as_json()) for finding in refused.findings],
    }
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
    told = [
        {
            "where": ".".join(str(part) for part in error.get("loc", ()))[:200],
            "message": str(error.get("msg", ""))[:300],
        }
        for error in errors
    ]
    first = f"{told[0]['where']}: {told[0]['message']}" if told else "A value is wrong."
    return Problem(422, "invalid", first, errors=told)
