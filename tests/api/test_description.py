"""The description of the API: complete, unchanged unless meant, and readable without the world."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mpm.api.app import api

SNAPSHOT = Path(__file__).with_name("openapi.json")


def test_the_description_is_the_one_that_was_agreed(client: Client) -> None:
    """After a change that is meant: ``UPDATE_OPENAPI=1 pytest tests/api/test_description.py``."""
    told = json.loads(client.get("/api/v1/openapi.json").content)
    text = json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_OPENAPI"):
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text()


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    schema = api.get_openapi_schema()
    return [
        (method, path, operation)
        for path, found in schema["paths"].items()
        for method, operation in found.items()
    ]


def test_it_is_openapi_3_1_with_examples() -> None:
    schema = api.get_openapi_schema()
    assert schema["openapi"].startswith("3.1")
    shapes = schema["components"]["schemas"]
    for name in ("SwitchIn", "PlanOut", "ChangeOut", "ProblemOut", "ServerOut", "EventOut"):
        assert shapes[name]["examples"], name


@pytest.mark.parametrize(("method", "path", "operation"), operations())
def test_every_operation_says_what_can_happen(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    assert path.startswith("/api/v1/")
    assert operation["summary"]
    assert operation["security"]
    for status in (401, 403, 404, 422, 429):
        assert list(operation["responses"][status]["content"]) == ["application/problem+json"]


def test_the_documentation_needs_nothing_from_outside(client: Client) -> None:
    response = client.get("/api/docs")
    page = response.content.decode()
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)
    assert "<script" not in page
    assert "style=" not in page
    for _method, _path, operation in operations():
        assert f'id="{operation["operationId"]}"' in page
    assert 'id="problem-busy"' in page


def test_what_is_not_there_is_a_problem_too(client: Client) -> None:
    for path in ("", "nothing", "servers/", "changes/1/2/3"):
        answer = client.get(f"/api/v1/{path}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (
            404,
            "application/problem+json",
        ), path
    wrong = client.delete("/api/v1/servers")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET")
    assert wrong.headers["Content-Type"] == "application/problem+json"
    assert client.post("/api/v1/openapi.json").status_code == 405
