"""What the description of the API says beyond what its operations say themselves: an example of
every shape, the headers of every answer, and that problems are not plain JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mpm.api.examples import EXAMPLES, OF_ANSWERS
from mpm.api.problems import MEDIA_TYPE

Json = dict[str, Any]
KEY = "Idempotency-Key"

_TEXT: Json = {"type": "string"}
_ADDRESS: Json = {"type": "string", "format": "uri-reference"}
_TRUE: Json = {"type": "string", "enum": ["true"]}
LIMITS: Mapping[str, tuple[str, Json, str]] = {
    "RateLimit-Policy": ("Of the token: q requests in w seconds.", _TEXT, '"token";q=600;w=60'),
    "RateLimit": ("r are left, and all of them again in t seconds.", _TEXT, '"token";r=598;t=41'),
    "RateLimit-Limit": ("Requests a minute.", _TEXT, "600"),
    "RateLimit-Remaining": ("Requests that are left.", _TEXT, "598"),
    "RateLimit-Reset": ("Seconds until all are there again.", _TEXT, "41"),
}
HEADERS: Mapping[str, tuple[str, Json, str]] = {
    "X-Request-Id": ("Of this request: in history and in the log.", _TEXT, "5f0c6a2b9d3e4f10"),
    **LIMITS,
    "Retry-After": ("Seconds after which asking again is worth it.", _TEXT, "5"),
    "WWW-Authenticate": ("What to send.", _TEXT, 'Bearer realm="ea4-mpm-panel"'),
    "Location": ("Of what was made or is awaited.", _ADDRESS, "/api/v1/changes/1284"),
    "Link": ("The change in the way.", _TEXT, '</api/v1/changes/1284>; rel="related"'),
    "Idempotency-Replayed": (f"What was answered before to the same {KEY}.", _TRUE, "true"),
    "ETag": (
        "Of the state of the server; one that begins with W/ is not fit for If-Match.",
        _TEXT,
        '"7c1f0a3b5d9e8f6a1b2c3d4e5f60718a"',
    ),
}
"""What each is for, its schema and an example."""

BY_STATUS: Mapping[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    409: ("Link", "Retry-After"),
    412: ("ETag",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
OF_OPERATIONS: Mapping[tuple[str, int], tuple[str, ...]] = {
    ("getChange", 200): ("Retry-After",),
    ("getLog", 200): ("Retry-After",),
    ("getMpm", 200): ("ETag",),
    ("getMpm", 304): ("ETag",),
    ("getProfile", 200): ("ETag",),
    ("getProfile", 304): ("ETag",),
    ("getPlan", 202): ("Location", "Retry-After"),
    ("getRepair", 200): ("Retry-After",),
    ("listEvents", 200): ("Retry-After",),
    ("createPlan", 202): ("Location", "Retry-After"),
    ("createToken", 201): ("Location",),
    ("createWebhook", 201): ("Location",),
    ("createRepair", 202): ("Location",),
    ("rollBackChange", 202): ("Location",),
    ("updateMpm", 202): ("Location",),
}


def complete(schema: Json) -> None:
    """Add to a description, in place."""
    components = schema["components"]
    for name, shape in components["schemas"].items():
        shape["examples"] = [EXAMPLES[name]]
    components["headers"] = {
        name: {"description": text, "schema": kind, "example": example}
        for name, (text, kind, example) in HEADERS.items()
    }
    for operations in schema["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400 and "content" in response:
                    response["content"] = {MEDIA_TYPE: next(iter(response["content"].values()))}
                if example := OF_ANSWERS.get((operation["operationId"], int(status))):
                    next(iter(response["content"].values()))["example"] = example
                headers = response.setdefault("headers", {})
                for name in _headers(operation, int(status)):
                    headers[name] = {"$ref": f"#/components/headers/{name}"}


def _headers(operation: Json, status: int) -> Iterator[str]:
    yield "X-Request-Id"
    yield from LIMITS
    yield from BY_STATUS.get(status, ())
    yield from OF_OPERATIONS.get((operation["operationId"], status), ())
    if any(parameter["name"] == KEY for parameter in operation.get("parameters", ())):
        yield "Idempotency-Replayed"
