"""Every code a problem can have is documented, at the address its ``type`` names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.test import Client, RequestFactory

from mpm.api.problems import TITLES, Problem

ROOT = Path(settings.BASE_DIR)
SERVICES = (
    "access/services/actor",
    *(f"changes/services/{name}" for name in ("cancel", "lookup", "planning", "request")),
    "changes/services/rollback",
    "history/services/text_checks",
)
SOURCES = (
    *(ROOT / "mpm/api").glob("*.py"),
    *(ROOT / f"mpm/{name}.py" for name in SERVICES),
    *(ROOT / f"mpm/{name}.py" for name in ("access/tokens", "notify/webhooks")),
    ROOT / "mpm/access/token_auth.py",
    # What a server answers that was asked for its own plan.
    *(ROOT / f"easyapache/agent/{name}.py" for name in ("packages/dnf", "packages/rpm", "runner")),
)
ELSEWHERE = {"no_server", "which_server", "kit", "not_started"}
"""Of manage.py, which need not be told a server; and of a change that is under way."""
PLACE = {"Problem": 1, "HostError": 0, "_Symptom": 1}
"""Which argument holds the code."""


def codes_in(path: Path) -> Iterator[str]:
    """``code="…"`` as an argument or a name, and the calls above."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        codes: list[ast.expr] = []
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
            codes = [node.value]
        elif isinstance(node, ast.Call):
            place = PLACE.get(getattr(node.func, "id", ""))
            codes = [item.value for item in node.keywords if item.arg == "code"]
            codes += node.args[place : place + 1] if place is not None else []
        codes = [value for value in codes if isinstance(value, ast.Constant | ast.IfExp)]
        for part in (part for value in codes for part in ast.walk(value)):
            text = part.value if isinstance(part, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(r"[a-z]+(_[a-z]+)*", text):
                yield text


def test_every_code_has_a_title() -> None:
    codes = {code for path in SOURCES for code in codes_in(path)}
    assert {"busy", "bad_json", "empty_window", "bad_destination", "disk_full"} <= codes
    assert codes - set(TITLES) - ELSEWHERE == set()


def test_the_type_of_a_problem_is_where_it_is_explained(client: Client) -> None:
    page, request = client.get("/api/docs").content.decode(), RequestFactory().get("/")
    for code in TITLES:
        place = Problem(409, code, "…").as_json(request)["type"].removeprefix("/api/docs#")
        assert place == f"problem-{code}"
        assert f'id="{place}"' in page
    other = Problem(422, "said_by_an_agent_of_tomorrow", "…").as_json(request)
    assert (other["type"], other["title"]) == ("/api/docs#problems", "Unprocessable Entity")
    assert 'id="problems"' in page
