"""Completes the description of the API: an example of every schema, the headers of every response,
and the media type of problems."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mpm.api.examples import EXAMPLES, RESPONSE_EXAMPLES
from mpm.api.problems import MEDIA_TYPE
from mpm.api.shapes import ProblemDetails
from mpm.schemas.notification import NotificationBody, TestBody

Json = dict[str, Any]
KEY = "Idempotency-Key"

_TEXT: Json = {"type": "string"}
_ADDRESS: Json = {"type": "string", "format": "uri-reference"}
_TRUE: Json = {"type": "string", "enum": ["true"]}
LIMITS: Mapping[str, tuple[str, Json, str]] = {
    "RateLimit-Policy": (
        "The policy that was applied: q requests in w seconds.",
        _TEXT,
        '"token";q=600;w=60',
    ),
    "RateLimit": (
        "r requests are left. The limit resets in t seconds.",
        _TEXT,
        '"token";r=598;t=41',
    ),
    "RateLimit-Limit": ("Requests per minute.", _TEXT, "600"),
    "RateLimit-Remaining": ("Requests left.", _TEXT, "598"),
    "RateLimit-Reset": ("Seconds until the limit resets.", _TEXT, "41"),
}
HEADERS: Mapping[str, tuple[str, Json, str]] = {
    "X-Request-Id": (
        "The id of this request, also in the log and the history.",
        _TEXT,
        "5f0c6a2b9d3e4f10",
    ),
    **LIMITS,
    "Retry-After": ("Seconds to wait before the next request.", _TEXT, "5"),
    "WWW-Authenticate": ("What to send.", _TEXT, 'Bearer realm="ea4-mpm-panel"'),
    "Location": (
        "The URL of what was created, or of what to wait for.",
        _ADDRESS,
        "/api/v1/changes/1284",
    ),
    "Link": (
        'The next page of a list (rel="next"), or the change in the way (rel="related").',
        _TEXT,
        '</api/v1/changes/1284>; rel="related"',
    ),
    "Idempotency-Replayed": (
        f"This is the answer to an earlier request with the same {KEY}.",
        _TRUE,
        "true",
    ),
    "ETag": (
        "The state of the server. A tag that starts with W/ never matches If-Match.",
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
    ("listChanges", 200): ("Link",),
    ("listDeliveries", 200): ("Link",),
    ("listEvents", 200): ("Link", "Retry-After"),
    ("listRepairs", 200): ("Link",),
    ("listServers", 200): ("Link",),
    ("listTokens", 200): ("Link",),
    ("listWebhooks", 200): ("Link",),
    ("createPlan", 202): ("Location", "Retry-After"),
    ("createToken", 201): ("Location",),
    ("createWebhook", 201): ("Location",),
    ("createRepair", 202): ("Location",),
    ("rollBackChange", 202): ("Location",),
    ("updateMpm", 202): ("Location",),
}


TAGS: Mapping[str, str] = {
    "servers": "EasyApache 4 servers, their MPM and their packages.",
    "plans": "What a selection would change.",
    "changes": "The history, running changes and their logs.",
    "diagnostics": "Known problems of a server and their repairs.",
    "events": "Everything that happens, as a stream.",
    "webhooks": "Notifications for other programs.",
    "tokens": "API tokens and their permissions.",
}
_BODIES: Mapping[str, tuple[type[BaseModel], str]] = {
    "event": (NotificationBody, "An event that the webhook receives"),
    "test": (TestBody, "The webhook was tested"),
}
_SIGNED: Mapping[str, str] = {
    "webhook-id": "The id of the delivery: the same for all attempts.",
    "webhook-timestamp": "Seconds since 1970. Reject messages older than five minutes.",
    "webhook-signature": "One or more `v1,` and base64 of HMAC-SHA256 over id.timestamp.body.",
}
_COMPONENTS = "#/components/schemas/"


_PROBLEM = {"$ref": f"{_COMPONENTS}{ProblemDetails.__name__}"}


def complete(schema: Json) -> None:
    """Add to a description, in place."""
    components = schema["components"]
    _add_shapes(components["schemas"], ProblemDetails)
    schema["servers"] = [{"url": "/", "description": "This panel"}]
    schema["info"]["contact"] = {"name": "The administrator of this panel"}
    schema["info"]["license"] = {"name": "MIT", "identifier": "MIT"}
    schema["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    schema["webhooks"] = _webhooks(components["schemas"])
    for shape in components["schemas"].values():
        _without_defaults(shape)
        shape.pop("title", None)
        for field in shape.get("properties", {}).values():
            field.pop("title", None)
    for name, shape in components["schemas"].items():
        shape["examples"] = [EXAMPLES[name]]
    components["headers"] = {
        name: {"description": text, "schema": kind, "example": example}
        for name, (text, kind, example) in HEADERS.items()
    }
    for operations in schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
                parameter["schema"].pop("title", None)
                if parameter["schema"].get("default") == "":
                    del parameter["schema"]["default"]
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    response["content"] = {MEDIA_TYPE: {"schema": _PROBLEM}}
                if example := RESPONSE_EXAMPLES.get((operation["operationId"], int(status))):
                    next(iter(response["content"].values()))["example"] = example
                headers = response.setdefault("headers", {})
                for name in _headers(operation, int(status)):
                    headers[name] = {"$ref": f"#/components/headers/{name}"}


def _add_shapes(schemas: Json, *models: type[BaseModel]) -> None:
    """Of answers and messages, and of what they are made of."""
    made: list[tuple[type[BaseModel], Any]] = [(model, "serialization") for model in models]
    _, found = models_json_schema(made, ref_template=f"{_COMPONENTS}{{model}}")
    for name, shape in found["$defs"].items():
        schemas.setdefault(name, shape)


def _webhooks(schemas: Json) -> Json:
    """What the panel itself sends. Their shapes go into ``schemas``."""
    _add_shapes(schemas, *(model for model, _ in _BODIES.values()))
    headers = [
        {"name": name, "in": "header", "required": True, "schema": _TEXT, "description": text}
        for name, text in _SIGNED.items()
    ]
    return {
        name: {
            "post": {
                "operationId": f"receive{name.title()}",
                "summary": summary,
                "description": "Sent to the URL of a webhook in the format `generic`.",
                "tags": ["webhooks"],
                "security": [],
                "parameters": headers,
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": f"{_COMPONENTS}{model.__name__}"}}
                    },
                },
                "responses": {
                    "2XX": {"description": "Delivered. Anything else is retried for 30 hours."},
                    "410": {"description": "The panel disables the webhook."},
                },
            }
        }
        for name, (model, summary) in _BODIES.items()
    }


def _without_null(shape: Json) -> Json:
    """Of a parameter, which is left out and never null."""
    others = [one for one in shape.get("anyOf", ()) if one != {"type": "null"}]
    if len(others) != 1:
        return shape
    return {**others[0], **{name: value for name, value in shape.items() if name != "anyOf"}}


def _without_defaults(shape: Json) -> None:
    """Move the default of a member to its description: client generators treat a member with a
    ``default`` as required."""
    required = set(shape.get("required", ()))
    for name, field in shape.get("properties", {}).items():
        default = field.pop("default", None)
        if name in required or default in (None, "", []):
            continue
        note = f"Default: {json.dumps(default)}."
        field["description"] = f"{field['description']} {note}" if "description" in field else note


def _headers(operation: Json, status: int) -> Iterator[str]:
    yield "X-Request-Id"
    yield from LIMITS
    yield from BY_STATUS.get(status, ())
    yield from OF_OPERATIONS.get((operation["operationId"], status), ())
    if any(parameter["name"] == KEY for parameter in operation.get("parameters", ())):
        yield "Idempotency-Replayed"
