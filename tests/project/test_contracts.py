"""What keeps the house in order beside the contracts of import-linter in ``pyproject.toml``."""

from __future__ import annotations

import ast
import graphlib
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
from django.apps import apps
from django.urls import get_resolver

TOP = Path(__file__).resolve().parent.parent.parent
SIDES = ("easyapache/ea4", "easyapache/agent")
PANEL_APPS = {"mpm", "mpm.servers"}


@cache
def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("easyapache", "mpm", "lab", "demo")


def layers_contracts() -> Iterator[dict[str, Any]]:
    text = (TOP / "pyproject.toml").read_text("utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    return (contract for contract in contracts if contract["type"] == "layers")


def layered() -> set[str]:
    """The full name of every module or package that a layers contract lists."""
    return {
        f"{container}.{name.strip(' ()')}"
        for contract in layers_contracts()
        for container in contract["containers"]
        for layer in contract["layers"]
        for name in re.split(r"[:|]", layer)
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = import_graph()
    arrows = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"A circle: {' <- '.join(error.args[1])}")


def test_every_module_is_in_a_layer() -> None:
    known = layered()
    outside = [
        name
        for name in sorted(import_graph().modules)
        if not any(name == one or name.startswith(f"{one}.") for one in known)
        and not any(one.startswith(f"{name}.") for one in known)
    ]
    assert outside == [], "List each in a layers contract of pyproject.toml."


def test_every_layers_contract_fails_for_a_module_that_it_does_not_list() -> None:
    assert [one["name"] for one in layers_contracts() if one.get("exhaustive") is not True] == []


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a module that is not a docstring, with its line."""
    tree = ast.parse(path.read_text("utf-8"))
    said = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


def names_of_the_panel() -> re.Pattern[str]:
    """Matches a module, a template, a permission or an address of the panel, by its name."""
    nouns = sorted(path.stem for path in (TOP / "mpm").iterdir() if not path.name.startswith("_"))
    templates = [
        path.relative_to(TOP / "templates").as_posix()
        for path in sorted((TOP / "templates").rglob("*.html"))
    ]
    labels = [app.label for app in apps.get_app_configs() if app.name in PANEL_APPS]
    assert nouns
    assert templates
    assert len(labels) == len(PANEL_APPS)
    parts = [
        rf"\bmpm\.(?:{'|'.join(map(re.escape, nouns))})\b",
        rf"(?:^|[\s/'\"])(?:{'|'.join(map(re.escape, templates))})\b",
        rf"\b(?:{'|'.join(labels)})\.(?:add|change|delete|view)_\w+",
        r"\bDJANGO_SETTINGS_MODULE\b",
        r"\beasyapache\.(?:settings|urls|celery|wsgi|asgi|database)\b",
    ]
    return re.compile("|".join(parts))


def named_routes() -> set[str]:
    """Names of addresses that cannot be a word of another matter (``change``, ``profile``)."""
    names = {name for name in get_resolver().reverse_dict if isinstance(name, str)}
    return {name for name in names if "-" in name and not name.startswith("mpm")}


@pytest.mark.parametrize("side", SIDES)
def test_neither_what_is_pure_nor_the_agent_names_the_panel_by_string(side: str) -> None:
    panel, routes = names_of_the_panel(), named_routes()
    assert {"change-cancel", "token-rotate"} <= routes
    found = [
        f"{path.relative_to(TOP)}:{line}: {text[:80]!r}"
        for path in sorted((TOP / side).rglob("*.py"))
        for line, text in strings(path)
        if panel.search(text) or text in routes
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "mpm.servers.models",
        "easyapache/no_server.html",
        "mpm.change_change",
        "easyapache.view_server",
        "easyapache.settings",
    ],
)
def test_a_name_of_the_panel_is_recognized(text: str) -> None:
    assert names_of_the_panel().search(text)


def test_a_word_of_apache_is_no_name_of_the_panel() -> None:
    for text in ("mpm.conf", "/etc/apache2/conf.d/mpm.conf", "easyapache.agent.worker", "changes"):
        assert not names_of_the_panel().search(text)
