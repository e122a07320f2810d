"""Prints answers for people. Nothing is wrapped here: a terminal does that, and a pipe must not.

Times are marked as UTC, so that the panel's machine, the servers' logs and this one agree.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from mpm.cli.commands.language import _, marked, ngettext
from mpm.cli.commands.statuses import Json

LEVELS: Mapping[str, tuple[str, str]] = {
    "block": (marked("Blocker"), "red"),
    "warn": (marked("Warning"), "yellow"),
    "note": (marked("Note"), "blue"),
    "gain": (marked("Benefit"), "green"),
}
STATES: Mapping[str, tuple[str, str]] = {
    "scheduled": (marked("Scheduled"), "cyan"),
    "queued": (marked("Queued"), "cyan"),
    "running": (marked("Running"), "cyan"),
    "canceling": (marked("Canceling"), "cyan"),
    "succeeded": (marked("Succeeded"), "green"),
    "restored": (marked("Failed, rolled back"), "yellow"),
    "not_started": (marked("Not started"), "yellow"),
    "failed": (marked("Needs attention"), "red"),
    "canceled": (marked("Canceled"), "dim"),
}
HEALTH: Mapping[str, tuple[str, str]] = {
    "healthy": (marked("Healthy"), "green"),
    "unknown": (marked("Not checked yet"), "dim"),
    "warning": (marked("Warning"), "yellow"),
    "critical": (marked("Needs attention"), "red"),
}
METHODS: Mapping[str, str] = {
    "overlap": marked("Overlapping"),
    "graceful-stop": marked("Stop and start"),
    "script": marked("Script"),
}
_DIRECTIONS = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])
Cell = str | tuple[str, str]
"""Text, or text and its style."""


class Terminal(Console):
    """A console that prints text unchanged: no markup, no highlighting, no wrapping."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(file=file, soft_wrap=True, markup=False, emoji=False, highlight=False)

    def write_line(self, text: str = "", style: str = "", end: str = "\n") -> None:
        self.print(Text(visible(text), style), end=end)

    def raw(self, text: str) -> None:
        """As it is: JSON, a script, a log."""
        self.file.write(text)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def visible(text: str) -> str:
    """``text`` with invisible characters as codes, except line ends and tabs: an answer may contain
    text of servers or people, which must not control the terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def _escaped(sign: str) -> str:
    hidden = unicodedata.category(sign) in ("Cc", "Cs") and sign not in "\n\t"
    if hidden or unicodedata.bidirectional(sign) in _DIRECTIONS:
        return f"\\x{ord(sign):02x}" if ord(sign) < 256 else f"\\u{ord(sign):04x}"
    return sign


Column = tuple[str, str | Callable[[Json], Cell]]
"""A column's title, and a field of an item or a function of it."""


def table(console: Terminal, items: Iterable[Json], *columns: Column) -> None:
    """Columns as wide as their contents; the last one is not padded."""
    rows = [[_cell(_value(item, wanted)) for _title, wanted in columns] for item in items]
    head = [(title, "bold") for title, _wanted in columns]
    widths = [
        max(cell_len(text) for text, _style in column) for column in zip(head, *rows, strict=True)
    ]
    for row in (head, *rows):
        line = Text()
        for (text, style), width in zip(row, widths, strict=True):
            line.append(text, style).append(" " * (width - cell_len(text) + 2))
        line.rstrip()
        console.print(line)


def _value(item: Json, wanted: str | Callable[[Json], Cell]) -> Cell:
    return str(item[wanted]) if isinstance(wanted, str) else wanted(item)


def _cell(item: Cell) -> tuple[str, str]:
    text, style = item if isinstance(item, tuple) else (item, "")
    return visible(text).replace("\n", " ").replace("\t", " "), style


def facts(console: Terminal, rows: Iterable[tuple[str, Cell]]) -> None:
    """Names and values, one per line; empty values are left out."""
    lines = [(name, _cell(item)) for name, item in rows]
    lines = [(name, cell) for name, cell in lines if cell[0]]
    width = max((cell_len(name) for name, _item in lines), default=0)
    for name, (text, style) in lines:
        line = Text(f"  {name}", "dim").append(" " * (width - cell_len(name) + 2))
        console.print(line.append(text, style))


def time_of(text: str | None) -> str:
    """``2026-03-03 21:04:05 UTC``; empty for none."""
    if not text:
        return ""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def known(words: Mapping[str, tuple[str, str]], code: str) -> tuple[str, str]:
    """The label and style of a code; an unknown code of a newer panel is its own label."""
    word, style = words.get(code, (code, ""))
    return _(word), style


def number(change: int | None) -> str:
    return f"#{change}" if change else ""


def side(value: Json) -> str:
    name = value.get("mpm") or "?"
    return f"{name} + ITK" if value.get("itk") else str(name)


def observation(value: Json | None) -> str:
    if value is None:
        return _("unknown")
    name = " + ".join(value["mpms"]) or _("none")
    return f"{name} + ITK" if value["itk"] else name


def all_or(names: Sequence[str]) -> str:
    return ", ".join(names) or _("all")


# -- servers ----------------------------------------------------------------------------------


def servers(console: Terminal, body: Json) -> None:
    if not body["items"]:
        console.write_line(_("No server has been added yet."))
        return
    table(
        console,
        body["items"],
        (_("Server"), "name"),
        ("MPM", side),
        (_("Status"), _health),
        (_("Kind"), "kind"),
        (_("Change"), lambda item: number(item["active_change"])),
        (_("Last seen"), lambda item: time_of(item["last_seen_at"]) or _("never")),
    )


def _health(item: Json) -> Cell:
    if not item["active"]:
        return _("Disabled"), "dim"
    return known(HEALTH, item["health"]["state"])


def server(console: Terminal, body: Json) -> None:
    console.write_line(body["name"], "bold")
    facts(
        console,
        (
            ("MPM", side(body)),
            (_("Status"), _health(body)),
            *(("", problem["message"]) for problem in body["health"]["problems"]),
            (_("Host name"), body["hostname"]),
            (_("Kind"), body["kind"]),
            (_("Note"), body["note"]),
            (_("Digest required"), _("yes") if body["require_digest"] else _("no")),
            (_("Change"), number(body["active_change"])),
            (_("Last seen"), time_of(body["last_seen_at"]) or _("never")),
            (_("Digest"), body["digest"] or ""),
        ),
    )


def status(console: Terminal, body: Json, server: Json) -> None:
    synced = (_("In sync"), "green") if body["sound"] else (_("Out of sync"), "red")
    advice = body["recommendation"]
    console.write_line(f"{body['server']}: {side(body)}", "bold")
    facts(
        console,
        (
            (_("MPM status"), synced),
            (_("Installed"), observation(body["installed"])),
            (_("Configured"), observation(body["configured"])),
            (_("Running"), observation(body["running"])),
            (_("Recommended"), advice["mpm"] if advice["fits"] else advice["headline"]),
            *(("", (sentence, "dim")) for sentence in advice["why"]),
            (_("Status"), _health(server)),
            *(("", problem["message"]) for problem in server["health"]["problems"]),
            (_("Change"), number(server["active_change"])),
            (_("Last seen"), time_of(server["last_seen_at"]) or _("never")),
            (_("Digest"), body["digest"]),
        ),
    )


def profile(console: Terminal, body: Json) -> None:
    table(
        console,
        body["packages"],
        (_("Package"), "name"),
        (_("Version"), lambda item: f"{item['version']}-{item['release']}"),
        (_("Architecture"), "arch"),
    )
    many = len(body["packages"])
    count = ngettext("{count} package", "{count} packages", many).format(count=many)
    console.write_line(f"{count}, {_('Last checked')}: {time_of(body['confirmed_at'])}", "dim")


# -- plans and Diagnostics --------------------------------------------------------------------


def plan(console: Terminal, body: Json) -> None:
    console.write_line(body["headline"], "bold")
    ways = (("install", _("Install"), "green"), ("remove", _("Remove"), "red"))
    width = max(cell_len(word) for _key, word, _colour in ways)
    for key, word, colour in ways:
        for item in body[key]:
            line = Text("  ").append(word + " " * (width - cell_len(word)), colour)
            line.append(visible(f"  {item['name']} {item['evr']}".rstrip()))
            console.print(line.append(visible(f"  {item['reason']}"), "dim"))
    if body["nothing_to_do"] and not body["satisfied"] and not body["blocked"]:
        console.write_line(
            "  " + _("This restarts Apache: the running MPM isn't the installed one."), "yellow"
        )
    findings(console, body["findings"])
    expected = body["predicted_interruption"]
    if expected and expected["samples"]:
        console.write_line(
            _(
                "Expected visitor impact: longest wait {wait} ms, {refused} refused "
                "({samples} measured changes)."
            ).format(
                wait=f"{expected['longest_wait_ms']:.0f}",
                refused=expected["refused"],
                samples=expected["samples"],
            )
        )
    if expected and expected["method"]:
        method = _(METHODS.get(expected["method"], expected["method"]))
        console.write_line(f"{_('Restart method')}: {method}. {expected['why']}".rstrip())
    source = _("Confirmed by server") if body["source"] == "server" else _("Estimated")
    console.write_line(f"{source}. {_('Digest')}: {body['digest']}", "dim")


def pending(console: Terminal, body: Json) -> None:
    console.write_line(
        _("The server hasn't answered yet. Its plan will be at {address}").format(
            address=body["href"]
        )
    )


def findings(console: Terminal, items: Iterable[Json]) -> None:
    for item in items:
        word, colour = known(LEVELS, item["severity"])
        line = Text("  ").append(word, colour).append(visible(f": {item['title']}"))
        console.print(line.append(visible(f" [{item['code']}]"), "dim"))
        console.write_line(f"    {item['message']}")
        remedy(console, item, "    ")


def remedy(console: Terminal, item: Json, indent: str = "") -> None:
    if item.get("remedy"):
        console.write_line(f"{indent}→ {item['remedy']}")


def diagnostics(console: Terminal, body: Json) -> None:
    if not body["findings"]:
        console.write_line(
            _("No problems found on {server}.").format(server=body["server"]), "green"
        )
    for item in body["findings"]:
        line = Text(visible(item["title"]), "yellow")
        console.print(line.append(visible(f" [{item['code']}]"), "dim"))
        console.write_line(f"    {item['cause']}")
        for line_seen in item["seen"].splitlines():
            console.write_line(f"    {line_seen}", "dim")
        console.write_line(f"    → {item['fix']}")


# -- changes ----------------------------------------------------------------------------------


def history(console: Terminal, body: Json) -> None:
    if not body["items"]:
        console.write_line(_("No changes found."))
        return
    table(
        console,
        body["items"],
        (_("Change"), lambda item: number(item["id"])),
        (_("Requested"), lambda item: time_of(item["requested_at"])),
        (_("Server"), "server"),
        ("MPM", move),
        (_("State"), lambda item: known(STATES, item["state"])),
        (_("Requested by"), "requested_by"),
        (_("Ticket"), "ticket"),
        (_("Reason"), lambda item: item["reason"][:60]),
    )


def move(body: Json) -> str:
    before, after = side(body["from"]), side(body["to"])
    if before == after:
        return _("packages of {mpm}").format(mpm=after)
    return f"{before} → {after}"


def title(body: Json) -> Text:
    word, colour = known(STATES, body["state"])
    line = Text(visible(f"#{body['id']} {body['server']}: {move(body)}: "), "bold")
    return line.append(word, colour)


def change(console: Terminal, body: Json) -> None:
    console.print(title(body))
    for sentence in body["story"]:
        console.write_line(sentence)
    for entry in body["timeline"]:
        text = f"{time_of(entry['at'])}  {entry['title']} {entry['status']} {entry['detail']}"
        console.write_line(f"  {text}".rstrip(), "dim")
    _diagnosis(console, body)


def step_line(step: Json) -> str:
    return f"{time_of(step['at'])}  {step['step']} {step['status']} {step['detail']}".rstrip()


def ending(console: Terminal, body: Json) -> None:
    """One change as it is now: how it ended, or that it has not."""
    console.print(title(body))
    if body["outcome"]:
        console.write_line(body["outcome"])
    if body["error"] and body["error"] != body["outcome"]:
        console.write_line(body["error"], "red")
    _diagnosis(console, body)
    if body.get("refused") is not None:
        console.write_line(
            _("Visitor impact: {refused} refused, longest wait {wait} ms.").format(
                refused=body["refused"], wait=f"{body['longest_wait_ms'] or 0:.0f}"
            )
        )


def _diagnosis(console: Terminal, body: Json) -> None:
    for item in body.get("diagnosis", ()):
        console.write_line(f"  {item.get('title', '')}: {item.get('message', '')}", "yellow")
        remedy(console, item, "    ")


def detail(console: Terminal, body: Json) -> None:
    console.write_line(body["detail"])


def events(console: Terminal, body: Json) -> None:
    if not body["items"]:
        console.write_line(_("No new events."))
        return
    table(
        console,
        body["items"],
        (_("Time"), lambda item: time_of(item["at"])),
        (_("Event"), "kind"),
        (_("Server"), lambda item: item["server"] or ""),
        (_("Change"), lambda item: number(item["change"])),
        (_("User"), lambda item: item["actor"]["name"]),
    )


def problem(console: Terminal, body: Json) -> None:
    console.write_line(str(body.get("detail") or body.get("title") or _("Refused.")), "red")
    for error in body.get("errors") or ():
        where = str(error.get("parameter") or error.get("header") or error.get("pointer") or "")
        text = f"{where.removeprefix('#/')}: {error.get('detail', '')}".removeprefix(": ")
        if text != body.get("detail"):
            console.write_line(f"  {text}")
    findings(console, body.get("findings") or ())
    remedy(console, body)
    if body.get("plan"):
        console.write_line(
            _("The plan is now: {headline}").format(headline=body["plan"]["headline"])
        )
        console.write_line(
            _("Confirm it with --digest {digest}").format(digest=body["plan"]["digest"])
        )
    if body.get("request_id") and body.get("status", 0) >= 500:
        # The panel's log has details under this id.
        console.write_line(_("Request {id}").format(id=body["request_id"]), "dim")


# -- tokens and webhooks ----------------------------------------------------------------------


def tokens(console: Terminal, body: Json) -> None:
    table(
        console,
        body["items"],
        (_("Key"), "id"),
        (_("Name"), "name"),
        (_("Permissions"), lambda item: ", ".join(item["scopes"])),
        (_("Servers"), lambda item: all_or(item["servers"])),
        (_("State"), "state"),
        (_("Last used"), lambda item: time_of(item["last_used_at"]) or _("never")),
        (_("Expires"), lambda item: time_of(item["expires_at"]) or _("never")),
    )


def token(console: Terminal, body: Json) -> None:
    console.write_line(body["name"], "bold")
    facts(
        console,
        (
            (_("Key"), body["id"]),
            (_("State"), body["state"]),
            (_("Purpose"), body["purpose"]),
            (_("Permissions"), ", ".join(body["scopes"])),
            (_("Servers"), all_or(body["servers"])),
            (_("Networks"), all_or(body["networks"])),
            (_("Sandbox"), _("yes") if body["sandbox"] else ""),
            (_("Implied removals"), _("yes") if body["implied_removals"] else ""),
            (_("Requests per minute"), str(body["per_minute"] or "")),
            (_("Created by"), body["created_by"]),
            (_("Expires"), time_of(body["expires_at"]) or _("never")),
            (_("Last used"), time_of(body["last_used_at"]) or _("never")),
            (_("Replaces"), body["replaces"] or ""),
        ),
    )


def webhooks(console: Terminal, body: Json) -> None:
    table(
        console,
        body["items"],
        (_("Webhook"), "id"),
        (_("Name"), "name"),
        (_("State"), _active),
        (_("Events"), lambda item: all_or(item["kinds"])),
        (_("Servers"), lambda item: all_or(item["servers"])),
        (_("Endpoint URL"), "url"),
    )


def _active(item: Json) -> Cell:
    return (_("Enabled"), "green") if item["active"] else (_("Disabled"), "dim")


def webhook(console: Terminal, body: Json) -> None:
    console.write_line(body["name"], "bold")
    facts(
        console,
        (
            (_("Webhook"), body["id"]),
            (_("State"), _active(body)),
            (_("Endpoint URL"), body["url"]),
            (_("Format"), body["format"]),
            (_("Events"), all_or(body["kinds"])),
            (_("Servers"), all_or(body["servers"])),
            (_("Created by"), body["created_by"]),
        ),
    )


def deleted(console: Terminal, body: Json) -> None:
    console.write_line(_("{name} was deleted.").format(name=body["name"]))


def delivery(console: Terminal, body: Json) -> None:
    deliveries(console, {"items": [body]})


def deliveries(console: Terminal, body: Json) -> None:
    table(
        console,
        body["items"],
        (_("Delivery"), "id"),
        (_("Event"), "kind"),
        (_("State"), "state"),
        (_("Attempts"), "attempts"),
        (_("Created"), lambda item: time_of(item["created_at"])),
        (_("Answer"), lambda item: _answer(item["log"])),
    )


def _answer(attempts: Sequence[Json]) -> str:
    last = attempts[-1] if attempts else {}
    return str(last.get("error") or last.get("status") or "")
