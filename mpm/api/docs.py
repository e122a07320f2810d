"""``/api/docs``: the description of the API as a page to read, made of nothing from outside."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from mpm.api.app import api
from mpm.api.description import LIMITS
from mpm.api.problems import TITLES
from mpm.history.event_kinds import EVENT_KINDS
from mpm.schemas.event import TEST

Json = dict[str, Any]
_REF = "#/components/schemas/"
ALWAYS = {"X-Request-Id", *LIMITS, "Idempotency-Replayed"}
"""Headers that need not be named with every answer: the introduction does."""


@require_safe
@login_not_required
def page(request: HttpRequest) -> HttpResponse:
    """Every operation with its parameters, body, answers and an example that can be pasted."""
    schema: Json = dict(api.get_openapi_schema())
    components: Json = schema["components"]["schemas"]
    groups: dict[str, list[Json]] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            entry = _operation(path, method, operation, components)
            groups.setdefault(operation["tags"][0], []).append(entry)
    context = {
        "info": schema["info"],
        "paragraphs": _paragraphs(schema["info"]["description"]),
        "groups": groups.items(),
        "problems": sorted(TITLES.items()),
        "kinds": [*EVENT_KINDS.items(), (TEST, "Sent to a webhook when it is tested")],
        "server": request.build_absolute_uri("/").rstrip("/"),
    }
    return render(request, "api/docs.html", context)


@require_safe
@login_not_required
def without_slash(_request: HttpRequest) -> HttpResponse:
    return redirect("api-docs", permanent=True)


def _paragraphs(text: str) -> list[SafeString]:
    return [_marked(one) for one in text.strip().split("\n\n") if one]


def _marked(text: str) -> SafeString:
    """Text between backticks is code, between pairs of asterisks it is strong; descriptions use no
    more of Markdown."""
    pieces = enumerate(text.split("`"))
    code = (
        format_html("<code>{}</code>", piece) if at % 2 else _strong(piece) for at, piece in pieces
    )
    return format_html_join("", "{}", ((piece,) for piece in code))


def _strong(text: str) -> SafeString:
    pieces = enumerate(text.split("**"))
    marked = (format_html("<strong>{}</strong>" if at % 2 else "{}", piece) for at, piece in pieces)
    return format_html_join("", "{}", ((piece,) for piece in marked))


def _operation(path: str, method: str, operation: Json, components: Json) -> Json:
    content: Json = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = _resolved(content.get("schema", {}), components)
    example = next(iter(body.get("examples", [])), None)
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "description": _paragraphs(operation.get("description", "")),
        "parameters": [_parameter(item) for item in operation.get("parameters", ())],
        "fields": _fields(body, components),
        "answers": [
            _answer(status, response, components)
            for status, response in operation["responses"].items()
        ],
        "curl": _curl(method, path, example),
    }


def _parameter(item: Json) -> Json:
    return {
        "name": item["name"],
        "where": item["in"],
        "required": item.get("required", False),
        "type": _type(item["schema"]),
        "description": _marked(item.get("description", "")),
    }


def _answer(status: Any, response: Json, components: Json) -> Json:
    content: Json = next(iter(response.get("content", {}).values()), {})
    shape = _resolved(content.get("schema", {}), components)
    problem = int(status) >= 400
    return {
        "status": int(status),
        "description": _marked(response.get("description", "")),
        "problem": problem,
        "fields": [] if problem else _fields(shape, components),
        "headers": [name for name in response["headers"] if name not in ALWAYS],
        "example": None if problem else _example(content.get("example"), shape),
    }


def _fields(shape: Json, components: Json) -> list[Json]:
    required = set(shape.get("required", ()))
    return [
        {
            "name": name,
            "type": _type(field),
            "required": name in required,
            "description": _marked(field.get("description", "")),
            "default": json.dumps(field["default"]) if "default" in field else "",
        }
        for name, field in _resolved(shape, components).get("properties", {}).items()
    ]


def _example(own: Any, shape: Json) -> str | None:
    """That of the answer itself, else that of its shape."""
    example = own or next(iter(shape.get("examples", [])), None)
    return None if example is None else json.dumps(example, indent=2, ensure_ascii=False)


def _resolved(shape: Json, components: Json) -> Json:
    reference = shape.get("$ref", "")
    if reference.startswith(_REF):
        return dict(components[reference.removeprefix(_REF)])
    return shape


def _type(field: Json) -> str:
    """A JSON schema in a few words: ``list of text, at most 200``."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(item) for item in field["anyOf"]))
    if "$ref" in field:
        return str(field["$ref"]).rsplit("/", 1)[-1].removesuffix("Out")
    if "enum" in field:
        return " | ".join(json.dumps(item) for item in field["enum"])
    if "const" in field:
        return json.dumps(field["const"])
    kind = str(field.get("type", "any"))
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}"
    words = {"string": "text", "integer": "number", "boolean": "true or false", "null": "null"}
    named = str(field.get("format", "")) if kind == "string" else ""
    return {"date-time": "time", "uuid": "id"}.get(named, words.get(kind, kind))


def _curl(method: str, path: str, example: Any) -> str:
    lines = [f"curl -X {method.upper()} $PANEL{path}", '-H "Authorization: Bearer $TOKEN"']
    if method == "put":
        lines.append('-H "Idempotency-Key: deploy-2026-12-01-web03"')
    if example is not None:
        lines.append(f"--json '{json.dumps(example)}'")
    return " \\\n  ".join(lines)
