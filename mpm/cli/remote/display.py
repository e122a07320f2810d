"""How answers look in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

MARKS = {
    "block": ("✗", "red"),
    "warn": ("!", "yellow"),
    "note": ("·", "blue"),
    "gain": ("+", "green"),
}
COLOURS = {
    "succeeded": "green",
    "restored": "yellow",
    "not_started": "yellow",
    "failed": "red",
    "canceled": "dim",
}
Json = dict[str, Any]


def side(value: Json) -> str:
    name = value.get("mpm") or "?"
    return f"{name} with ITK" if value.get("itk") else str(name)


def observation(value: Json | None) -> str:
    if value is None:
        return "unknown"
    name = " + ".join(value["mpms"]) or "none"
    return f"{name} with ITK" if value["itk"] else name


def servers(console: Console, items: Iterable[Json]) -> None:
    table = Table("server", "MPM", "kind", "last seen", "change", box=None, header_style="dim")
    for item in items:
        table.add_row(
            item["name"],
            side(item),
            item["kind"] + ("" if item["active"] else ", off"),
            (item["last_seen_at"] or "never")[:19].replace("T", " "),
            f"#{item['active_change']}" if item["active_change"] else "",
        )
    console.print(table)


def status(console: Console, body: Json) -> None:
    sound = "[green]sound[/]" if body["sound"] else "[red]the three disagree[/]"
    console.print(f"[bold]{escape(body['server'])}[/] {side(body)}, {sound}")
    for name in ("installed", "configured", "running"):
        console.print(f"  {name:11} {observation(body[name])}")
    advice = body["recommendation"]
    console.print(f"  {'recommended':11} {advice['mpm']}")
    for sentence in advice["why"]:
        console.print(f"  {'':11} {sentence}", style="dim", markup=False)
    console.print(f"  {'digest':11} {body['digest']}")


def plan(console: Console, body: Json) -> None:
    console.print(body["headline"], style="bold", markup=False)
    for key, word, colour in (("install", "+", "green"), ("remove", "-", "red")):
        for item in body[key]:
            line = Text(f"  {word} {item['name']} {item['evr']}", style=colour)
            console.print(line.append(f"  {item['reason']}", style="dim"))
    if body["nothing_to_do"] and not body["satisfied"]:
        console.print(
            "  This restarts Apache: the running MPM isn't the installed one.", style="yellow"
        )
    findings(console, body["findings"])
    expected = body["predicted_interruption"]
    if expected and expected["samples"]:
        console.print(
            f"Expected: longest wait {expected['longest_wait_ms']:.0f} ms, "
            f"{expected['refused']} refused (from {expected['samples']} changes before)."
        )
    if expected and expected["method"]:
        console.print(f"httpd is replaced by {expected['method']}: {expected['why']}", markup=False)
    console.print(f"digest {body['digest']} ({body['source']})", style="dim")


def findings(console: Console, items: Iterable[Json]) -> None:
    for item in items:
        mark, colour = MARKS.get(item["severity"], ("?", "white"))
        console.print(f"  [{colour}]{mark}[/] {escape(item['title'])} [dim]{item['code']}[/]")
        console.print(f"      {item['message']}", markup=False)
        if item["remedy"]:
            console.print(f"      → {item['remedy']}", markup=False)


def examination(console: Console, body: Json) -> None:
    if not body["findings"]:
        console.print(f"Nothing is known to be wrong with {body['server']}.", markup=False)
    for item in body["findings"]:
        console.print(f"[yellow]![/] {escape(item['title'])} [dim]{item['code']}[/]")
        for text in (item["cause"], f"Seen: {item['seen']}", f"→ {item['fix']}"):
            console.print(f"    {text}", markup=False)


def history(console: Console, items: Iterable[Json]) -> None:
    table = Table(
        "change", "asked for", "server", "from → to", "by", "result", box=None, header_style="dim"
    )
    for item in items:
        colour = COLOURS.get(item["state"], "cyan")
        table.add_row(
            f"#{item['id']}",
            item["requested_at"][:16].replace("T", " "),
            item["server"],
            f"{side(item['from'])} → {side(item['to'])}",
            escape(item["requested_by"]),
            f"[{colour}]{item['state']}[/]",
        )
    console.print(table)


def ending(console: Console, body: Json) -> None:
    colour = COLOURS.get(body["state"], "cyan")
    console.print(f"[{colour}]Change #{body['id']}: {body['state']}.[/] {escape(body['outcome'])}")
    if body["error"]:
        console.print(body["error"], style="red", markup=False)
    for item in body.get("diagnosis", ()):
        console.print(f"  {item.get('title', '')}: {item.get('message', '')}", markup=False)
        if item.get("remedy"):
            console.print(f"  → {item['remedy']}", markup=False)
    if body.get("refused") is not None:
        console.print(
            f"Visitors: {body['refused']} refused, longest wait {body['longest_wait_ms']:.0f} ms."
        )


def problem(console: Console, body: Json) -> None:
    console.print(str(body.get("detail", "Refused.")), style="red", markup=False)
    findings(console, body.get("findings", ()))
    if body.get("remedy"):
        console.print(f"→ {body['remedy']}", markup=False)
    if body.get("plan"):
        console.print(f"As it is now: {body['plan']['headline']}", markup=False)
        console.print(f"  confirm it with --digest {body['plan']['digest']}", markup=False)
    if body.get("request_id"):
        console.print(f"request {body['request_id']}", style="dim")


def tokens(console: Console, items: Iterable[Json]) -> None:
    table = Table("key", "name", "may", "servers", "used", "state", box=None, header_style="dim")
    for item in items:
        table.add_row(
            item["id"],
            escape(item["name"]),
            ", ".join(item["scopes"]),
            ", ".join(item["servers"]) or "all",
            (item["last_used_at"] or "never")[:16].replace("T", " "),
            item["state"],
        )
    console.print(table)
