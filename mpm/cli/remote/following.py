"""A change while it happens: its steps as a live list, for a terminal; lines, for a file."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from mpm.cli.remote.connection import Connection
from mpm.cli.remote.display import side

SIGNS = {
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
}
Json = dict[str, Any]


def follow(connection: Connection, console: Console, change: str) -> Json:
    """Show the change until it has ended, and return it."""
    body: Json = {}
    if not console.is_terminal:
        told = 0
        for body in connection.moments(change):
            for step in body["steps"][told:]:
                console.print(f"{step['at'][11:19]} {step['step']} {step['status']}")
            told = len(body["steps"])
        return body
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        for body in connection.moments(change):
            live.update(picture(body))
    return body


def picture(body: Json) -> Group:
    """The change in one line, and a line for each step."""
    latest: dict[str, Json] = {}
    for step in body["steps"]:
        latest[step["step"]] = step
    title = f"#{body['id']} {body['server']}: {side(body['from'])} → {side(body['to'])}"
    lines: list[Any] = [Text(title, style="bold")]
    for name, step in latest.items():
        if step["status"] == "started" and not body["finished"]:
            lines.append(Spinner("dots", Text(f"{name} {step['detail']}".rstrip())))
        else:
            sign, colour = SIGNS.get(step["status"], ("·", "white"))
            lines.append(Text(f"{sign} {name} {step['detail']}".rstrip(), style=colour))
    if not latest:
        lines.append(Spinner("dots", Text(body["state"])))
    return Group(*lines)
