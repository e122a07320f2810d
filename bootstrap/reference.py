"""Writes docs/reference from the code itself: ``make docs``.

Settings are read from the source of easyapache/settings.py, commands from their parsers, REST from
its OpenAPI description, events and conditions from their catalogs. ``--check`` writes nothing and
fails where a page on the disk is another one.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
FOLDER = TOP / "docs" / "reference"
MADE = "Made from the code of this version by `make docs`."


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A table of Markdown; line breaks and bars in cells are escaped."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell(text) for text in row)} |"
    yield ""


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    return f"`{text}`" if text else ""


# -- settings ----------------------------------------------------------------------------------


def settings_page() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield f"{MADE} Settings come from the environment."
    yield "Each can also be given as `NAME_FILE`, the path of a file that holds the value."
    yield "A misspelled value stops the start."
    yield ""
    source = (TOP / "easyapache" / "settings.py").read_text("utf-8")
    yield from table(("Variable", "Default", "Meaning"), settings_of(source))
    yield "## The agent's configuration"
    yield ""
    yield "A TOML file that `EA4_AGENT_CONFIG` names. `server` and `spool` are required."
    yield ""
    source = (TOP / "easyapache" / "agent" / "config.py").read_text("utf-8")
    yield from table(("Key", "Type", "Default", "Meaning"), agent_settings_of(source))


TOML_TYPES = {
    "bool": "Boolean",
    "Path": "path",
    "tuple[str, ...]": "array of strings",
    "tuple[Mapping[str, str], ...]": "array of tables",
    "Mapping[str, str]": "table",
    "Path | None": "path",
}
"""What the types of Python are called in TOML. Every other is a string."""


def agent_settings_of(source: str) -> Iterator[tuple[str, str, str, str]]:
    """(key, type, default, meaning) of every field of HostConfig, in the order of the source."""
    body = next(
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == "HostConfig"
    )
    for position, node in enumerate(body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        annotation = ast.unparse(node.annotation)
        if annotation != "ClassVar":
            kind = TOML_TYPES.get(annotation, "string")
            meaning = text_below(body, position).replace("``", "`")
            yield code(node.target.id), kind, default_in_toml(node.value), meaning


def default_in_toml(value: ast.expr | None) -> str:
    if value is None:
        return "required"
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "Path":
        value = value.args[0]
    if isinstance(value, ast.Call):  # an empty table
        return ""
    found = ast.literal_eval(value)
    found = list(found) if isinstance(found, tuple) else found
    return code(json.dumps(found)) if found not in ([], None) else ""


def text_below(body: Sequence[ast.stmt], position: int) -> str:
    """The text below an assignment, or nothing."""
    after = body[position + 1] if position + 1 < len(body) else None
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
        return str(after.value.value)
    return ""


def settings_of(source: str) -> Iterator[tuple[str, str, str]]:
    """(variable, default, meaning) of every variable that is read, in the order of the source. The
    meaning is the text below the assignment."""
    body = ast.parse(source).body
    for position, node in enumerate(body):
        meaning = text_below(body, position)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and reads(call):
                    name = call.args[0]
                    assert isinstance(name, ast.Constant)
                    yield code(str(name.value)), code(default_of(call)), meaning.replace("``", "`")


def reads(call: ast.Call) -> bool:
    """Whether this is ``env.something("NAME", ...)``."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    named = call.args and isinstance(call.args[0], ast.Constant)
    many = isinstance(call.func, ast.Attribute) and call.func.attr == "files"
    return isinstance(owner, ast.Name) and owner.id == "env" and bool(named) and not many


def default_of(call: ast.Call) -> str:
    given = [word.value for word in call.keywords if word.arg == "default"] or call.args[1:2]
    if not given:
        return ""
    try:
        value = ast.literal_eval(given[0])
    except ValueError:
        return (
            ""
            if "SECRET" in ast.unparse(given[0])
            else "var" * ("BASE_DIR" in ast.unparse(given[0]))
        )
    if isinstance(value, list | tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


# -- commands ----------------------------------------------------------------------------------


def commands_page() -> Iterator[str]:
    from mpm.cli.commands.definition import parser_of

    yield "# Commands"
    yield ""
    yield MADE
    yield "`ea4mpm` runs them from anywhere, with a token of the panel. `manage.py mpm` runs them"
    yield "on the panel's machine, as the panel's user. Commands and options marked * are available"
    yield "on the panel's machine only; everything else is the same."
    yield ""
    yield "Every command takes `--json`: one JSON value on standard output, as the REST API has it."
    yield "`ea4mpm` also takes `--panel` `NAME` (a panel of its configuration file) and `--url`."
    yield ""
    yield from described("", subcommands(parser_of("ea4mpm", remote=True)))
    from easyapache.agent.__main__ import COMMANDS as BY_HAND

    yield "## python -m easyapache.agent"
    yield ""
    yield "For root, on the server, without panel, database or broker. `FOLDER` is the folder of a"
    yield "change in the agent's spool; `resume --all` takes the spool."
    yield ""
    yield from table(
        ("Command", "What it does"),
        (
            (code(f"python -m easyapache.agent {name} FOLDER"), inspect.getdoc(run) or "")
            for name, run in BY_HAND.items()
        ),
    )


EVERYWHERE = ("help", "json", "panel", "url")


def subcommands(parser: argparse.ArgumentParser) -> Mapping[str, tuple[str, Any]]:
    """{name: (help, parser)}; empty for a command that has none."""
    for action in parser._actions:  # noqa: SLF001 -- argparse shows them nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001
            return {name: (helps.get(name, ""), sub) for name, sub in action.choices.items()}
    return {}


def described(prefix: str, commands: Mapping[str, tuple[str, Any]]) -> Iterator[str]:
    for name, (_help, parser) in commands.items():
        below = subcommands(parser)
        if not below:
            panel_only = parser.get_default("panel_only")
            yield f"## {prefix}{name}{' *' if panel_only else ''}"
            yield ""
            yield parser.description
            yield ""
            every = parser._actions  # noqa: SLF001
            arguments = [argument(one) for one in every if one.dest not in EVERYWHERE]
            if arguments:
                yield from table(("Argument", "Meaning", "Default"), arguments)
        yield from described(f"{prefix}{name} ", below)


def argument(action: argparse.Action) -> tuple[str, str, str]:
    """The same on every version of Python, unlike argparse's own help."""
    value = ""
    if action.nargs != 0:
        value = str(
            action.metavar or (action.dest.upper() if action.option_strings else action.dest)
        )
        if action.choices:
            value = ", ".join(str(choice) for choice in action.choices)
    names = ", ".join(code(option) for option in action.option_strings)
    if not names:
        optional = " (optional)" if action.nargs == "?" else ""
        meaning = f"{action.help or ''}" if not action.choices else f"one of {value}"
        return code(action.dest) + optional, meaning, default_text(action.default)
    meaning = action.help or ""
    if action.choices:
        meaning = f"{meaning}; one of {value}" if meaning else f"one of {value}"
    elif value:
        names = f"{names} {code(value)}"
    if action.required:
        meaning = f"{meaning} (required)".strip()
    return names, meaning, default_text(action.default)


def default_text(default: Any) -> str:
    if default in (None, "", [], False) or default is argparse.SUPPRESS:
        return ""
    return code(str(default))


# -- REST --------------------------------------------------------------------------------------


def rest_page() -> Iterator[str]:
    from mpm.api.app import api

    schema = api.get_openapi_schema()
    yield "# REST API"
    yield ""
    yield f"{MADE} Every field is described, with examples,"
    yield "at [/api/docs](/api/docs) of your panel."
    yield ""
    operations = [
        (method.upper(), path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    yield from table(
        ("Operation", "Request", "What it does"),
        (
            (code(one["operationId"]), code(f"{method} {path}"), one.get("summary", ""))
            for method, path, one in operations
        ),
    )
    for method, path, one in operations:
        yield f"## {one['operationId']}"
        yield ""
        yield f"`{method} {path}`"
        yield ""
        if one.get("description"):
            yield one["description"].strip()
            yield ""
        if parameters := one.get("parameters"):
            yield from table(
                ("Parameter", "In", "Meaning"),
                ((code(item["name"]), item["in"], meaning_of(item)) for item in parameters),
            )
        answers = ", ".join(code(str(status)) for status in sorted(one["responses"], key=str))
        yield f"Answers with {answers}."
        yield ""


def meaning_of(parameter: Mapping[str, Any]) -> str:
    meaning = parameter.get("description", "")
    return f"{meaning} (required)".strip() if parameter.get("required") else meaning


# -- events, conditions, exit statuses ---------------------------------------------------------


def events_page() -> Iterator[str]:
    from mpm.history.event_kinds import EVENT_KINDS

    yield "# Events"
    yield ""
    yield f"{MADE} The kinds of events in the history, in `listEvents` and in webhooks."
    yield ""
    yield from table(
        ("Kind", "Meaning"),
        ((code(kind), meaning) for kind, meaning in sorted(EVENT_KINDS.items())),
    )


_SEVERITIES = {"block": "Blocker", "warn": "Warning", "note": "Note", "gain": "Benefit"}
_PLACES = {
    "plan": "plan",
    "preflight": "preflight",
    "change": "failed change",
    "diagnostics": "Diagnostics",
    "health": "health of the server",
}


def conditions_page() -> Iterator[str]:
    from easyapache.ea4.conditions import CATALOG
    from easyapache.ea4.conditions.repairs import REPAIR_LABELS

    def with_ellipses(text: str) -> str:
        return re.sub(r"\{\w+\}", "…", text)

    yield "# Conditions"
    yield ""
    yield (
        f"{MADE} Everything a plan, preflight, a failed change, and Diagnostics can show, by code. "
        "A code means the same on every page, in REST, in WHM, and on the command line."
    )
    yield ""
    yield from table(
        ("Code", "Severity", "Title", "Shown in"),
        (
            (
                f"[`{one.code}`](#{one.code})",
                _SEVERITIES[one.severity.value],
                with_ellipses(one.title),
                ", ".join(_PLACES[place.value] for place in one.places),
            )
            for one in sorted(CATALOG, key=lambda one: one.code)
        ),
    )
    for one in sorted(CATALOG, key=lambda one: one.code):
        yield f"## {one.code}"
        yield ""
        yield f"**{_SEVERITIES[one.severity.value]}: {with_ellipses(one.title)}.** {one.text}"
        yield ""
        yield f"Shown in: {', '.join(_PLACES[place.value] for place in one.places)}."
        if one.remedy:
            yield ""
            yield f"**Recommended action:** {with_ellipses(one.remedy)}"
        if one.repair:
            yield ""
            yield f"**Repair:** {REPAIR_LABELS[one.repair]} (`{one.repair}`)"
        yield ""


def exit_page() -> Iterator[str]:
    from easyapache.agent import __main__ as agent
    from mpm.cli.commands.statuses import EXIT_STATUSES

    yield "# Exit statuses"
    yield ""
    yield MADE
    yield ""
    yield "## ea4mpm and manage.py mpm"
    yield ""
    yield from statuses(EXIT_STATUSES)
    yield "## python -m easyapache.agent"
    yield ""
    yield from statuses(
        {
            agent.OVER: "the change has ended and the server is sound",
            agent.FAILED: "unfinished, or failed",
            agent.USAGE: "wrong arguments or configuration, or nothing to undo it with",
            agent.BUSY: "something else works on this change or on this server",
        }
    )


def statuses(known: Mapping[int, str]) -> Iterator[str]:
    return table(
        ("Status", "Meaning"), ((str(status), meaning) for status, meaning in known.items())
    )


# -- all of them -------------------------------------------------------------------------------

PAGES: Mapping[str, Callable[[], Iterator[str]]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "rest.md": rest_page,
    "events.md": events_page,
    "conditions.md": conditions_page,
    "exit-codes.md": exit_page,
}


def pages() -> dict[str, str]:
    """{name: text} of every page. Django must be set up."""
    return {name: "\n".join(lines()).rstrip() + "\n" for name, lines in PAGES.items()}


def stale() -> list[str]:
    """The pages on the disk that the code would write otherwise."""
    found = []
    for name, text in pages().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text("utf-8") != text:
            found.append(name)
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bootstrap.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where a page is stale")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
    os.environ.setdefault("DEBUG", "true")
    os.environ["LANGUAGE"] = "en"  # of the commands' help
    import django

    django.setup()
    if options.check:
        for name in stale():
            sys.stderr.write(f"docs/reference/{name} is stale: run make docs.\n")
        return 1 if stale() else 0
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
