"""The one error shape of the API: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse

from easyapache.sentences import plain
from mpm.plan import Plan
from mpm.services.actor import Busy, Refused, Stale

MEDIA_TYPE = "application/problem+json"
DOCUMENTED = "/api/docs#problem-"

TITLES: Mapping[str, str] = {
    "bad_json": "The body is not JSON",
    "bad_request": "Not a request this API understands",
    "blocked": "A rule blocks this change",
    "busy": "Another change of this server has not finished",
    "digest_mismatch": "The server is no longer in the state you saw",
    "digest_required": "This server wants the digest of the plan",
    "inactive": "The server is switched off in this panel",
    "internal": "An error inside the panel",
    "invalid": "A value is not what it must be",
    "key_reused": "The Idempotency-Key belongs to another request",
    "method_not_allowed": "Not with this method",
    "no_profile": "The server has not been looked at yet",
    "not_allowed": "The token does not have the scope for this",
    "not_found": "Not here",
    "stale": "The plan has moved",
    "throttled": "Too many requests",
    "too_large": "The request is too large",
    "too_late": "Too late",
    "unauthorized": "No valid token",
    "unavailable": "The panel cannot answer at the moment",
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
            "type": DOCUMENTED + self.code,
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
