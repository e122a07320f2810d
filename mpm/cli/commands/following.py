"""A change while it happens: its steps as a live list, for a terminal; lines, for a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from mpm.cli.commands.display import STATES, known, step_line, title, visible
from mpm.cli.commands.language import _
from mpm.cli.commands.running import Run
from mpm.cli.commands.statuses import Json

SIGNS = {
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
}


def follow(run: Run, change: str) -> Json:
    """Show the change until it has finished, or ``--timeout`` is over, and return it."""
    console = run.aside if run.options.json else run.console
    body: Json = {}
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            for body in moments(run, change):
                live.update(picture(body))
        return body
    printed = -1
    for body in moments(run, change):
        if printed < 0:
            console.print(title(body))
        for step in body["steps"][max(0, printed) :]:
            console.write_line(step_line(step))
        printed = len(body["steps"])
        console.file.flush()
    return body


def moments(run: Run, change: str) -> Iterator[Json]:
    """Yields the change after each progress. Prints once that its server's agent is offline."""
    offline = False
    for body in run.panel.moments(change, run.options.timeout):
        if body["silent_since"] and not offline:
            offline = True
            words = _("The agent of {server} is offline. The change continues on the server.")
            run.aside.write_line(words.format(server=body["server"]), "yellow")
        yield body


def picture(body: Json) -> Group:
    """The change in one line, and a line for each step."""
    latest: dict[str, Json] = {}
    for step in body["steps"]:
        latest[step["step"]] = step
    lines: list[Any] = [title(body)]
    for name, step in latest.items():
        text = visible(f"{name} {step['detail']}".rstrip())
        if step["status"] == "started" and not body["finished"]:
            lines.append(Spinner("dots", Text(text)))
        else:
            sign, colour = SIGNS.get(step["status"], ("·", "white"))
            lines.append(Text(f"{sign} {text}", style=colour))
    if not latest:
        lines.append(Spinner("dots", Text(known(STATES, body["state"])[0])))
    return Group(*lines)
