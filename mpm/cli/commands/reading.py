"""Commands that change nothing: servers, status, plan, Diagnostics, and what happened."""

from __future__ import annotations

import codecs
import re
import time
from datetime import date, timedelta
from typing import Any

from mpm.cli.commands import display
from mpm.cli.commands.connection import POLL_SECONDS, address
from mpm.cli.commands.display import Terminal
from mpm.cli.commands.language import _
from mpm.cli.commands.running import Run
from mpm.cli.commands.statuses import DONE, FAILED, REFUSED, BadUsage, Json

SERVER_PATIENCE = 60.0
"""Seconds that a server has for a plan of its own. The panel gives it up after half of that."""
REPAIR_PATIENCE = 120.0


def servers(run: Run) -> int:
    run.answer(run.panel.pages("servers"), display.servers)
    return DONE


def server(run: Run) -> int:
    run.answer(run.panel.get(address("servers", run.options.name)), display.server)
    return DONE


def status(run: Run) -> int:
    """Fails where the MPM is out of sync: fit for monitoring."""
    name = run.server()
    body = run.panel.get(address("servers", name, "mpm"))

    def show(console: Terminal, body: Json) -> None:
        display.status(console, body, run.panel.get(address("servers", name)))
        if not body["sound"]:
            console.write_line(run.hint(f"doctor --server {name}"), "dim")

    run.answer(body, show)
    return DONE if body["sound"] else FAILED


def profile(run: Run) -> int:
    run.answer(run.panel.get(address("servers", run.server(), "profile")), display.profile)
    return DONE


def doctor(run: Run) -> int:
    """Fails where a problem needs attention, or the repair failed. Warnings and notes do not fail:
    they are no reason to wake somebody."""
    name = _examined(run)
    if run.options.repair:
        return _repair(run, name)
    body = run.panel.get(address("servers", name, "doctor"))

    def show(console: Terminal, body: Json) -> None:
        display.diagnostics(console, body)
        for item in body["findings"]:
            if item["repair"]:
                console.write_line(
                    run.hint(f"doctor --server {name} --repair {item['repair']}"), "dim"
                )

    run.answer(body, show)
    return FAILED if any(item["severity"] == "block" for item in body["findings"]) else DONE


def _examined(run: Run) -> str:
    """The examined server; prints problems of the panel itself first."""
    alone = True
    try:
        name = run.server()
        alone = False
    finally:
        for notice in run.program.notices(alone):
            run.aside.write_line(notice, "yellow")
    return name


def _repair(run: Run, name: str) -> int:
    path = address("servers", name, "repairs")
    body = run.panel.once("POST", path, {"action": run.options.repair})
    end = time.monotonic() + REPAIR_PATIENCE
    while body["ok"] is None and time.monotonic() < end:
        body = run.panel.get(address("servers", name, "repairs", body["id"]), wait=POLL_SECONDS)
        if body["ok"] is None:
            time.sleep(1)

    def show(console: Terminal, body: Json) -> None:
        if body["ok"] is None:
            words = _("{server} hasn't answered yet. The repair continues.")
            console.write_line(words.format(server=name))
        else:
            console.write_line(body["message"], "green" if body["ok"] else "red")

    run.answer(body, show)
    return DONE if body["ok"] else FAILED


def choice(run: Run, name: str) -> Json:
    """The choice in the arguments. Without an option, ITK is kept if the MPM allows it."""
    options = run.options
    itk = options.itk
    if itk is None:
        kept = options.mpm == "prefork"
        itk = kept and bool(run.panel.get(address("servers", name))["itk"])
    return {"mpm": options.mpm, "itk": itk, "add": options.add, "keep": options.keep}


def plan(run: Run) -> int:
    if run.options.profile:
        if run.options.server or run.options.source != "stored":
            raise BadUsage(_("--server and --source can't be combined with --profile."))
        return run.program.panel_only["plan --profile"](run)
    name = run.server()
    if run.options.source == "server":
        body = run.panel.plan_of_server(name, choice(run, name), SERVER_PATIENCE)
    else:
        body = run.panel.plan(name, choice(run, name))
    return planned(run, body)


def planned(run: Run, body: Json) -> int:
    """Show a plan, or that it has not arrived."""
    if "digest" not in body:
        run.answer(body, display.pending)
        return FAILED
    run.answer(body, display.plan)
    return REFUSED if body["blocked"] else DONE


def show(run: Run) -> int:
    run.answer(run.panel.get(address("changes", change_number(run))), display.change)
    return DONE


def change_number(run: Run) -> str:
    """``7`` of ``7`` or ``#7``."""
    return str(run.options.change).removeprefix("#")


def log(run: Run) -> int:
    """With ``-f`` the exit status is that of the change's outcome."""
    options, number = run.options, change_number(run)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = ""
    for piece in run.panel.log(number, follow=options.follow):
        text += decoder.decode(piece)
        if not options.json:
            run.console.raw(display.visible(text))
            text = ""
    body = run.panel.get(address("changes", number))
    if options.json:
        answer = {"change": body["id"], "state": body["state"], "log": text}
        run.answer(answer, lambda _console, _value: None)
    elif options.follow:
        display.ending(run.aside, body)
    return ended(body) if options.follow else DONE


def ended(change: Json) -> int:
    return DONE if change["state"] == "succeeded" else FAILED


def filters(run: Run) -> Json:
    """The parameters of REST that the options of the history give."""
    options = run.options
    itk = {"yes": "true", "no": "false"}.get(options.itk, "")
    return {
        "server": options.server,
        "requested_by": options.user,
        "origin": options.origin,
        "state": options.state,
        "from": options.mpm_from,
        "to": options.mpm_to,
        "itk": itk,
        "ticket": options.ticket,
        "text": options.text,
        "since": moment("--since", options.since),
        "until": moment("--until", options.until, days=1),
    }


def moment(option: str, text: str, days: int = 0) -> str:
    """A day is its start in UTC, or ``days`` later; a time is unchanged."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return text
    try:
        return f"{date.fromisoformat(text) + timedelta(days=days)}T00:00:00Z"
    except (ValueError, OverflowError) as error:
        raise BadUsage(f"{option}: {error}") from error


def history(run: Run) -> int:
    options = run.options
    body = run.panel.pages("changes", options.limit, cursor=options.cursor, **filters(run))
    if not body["items"]:
        known(run)
    run.answer(body, display.history)
    _more(run, body["next"], "--cursor")
    return DONE


def known(run: Run) -> None:
    """Raises Refused for a server that neither exists nor has a history."""
    if run.options.server:
        run.panel.get(address("servers", run.options.server))


def _more(run: Run, following: Any, option: str) -> None:
    if following and not run.options.json:
        run.aside.write_line(
            _("More: {option} {value}").format(option=option, value=following), "dim"
        )


def events(run: Run) -> int:
    options = run.options
    wanted = {"server": options.server, "kind": options.kind, "limit": min(options.limit, 500)}
    cursor = options.cursor
    end = time.monotonic() + options.wait
    while True:
        wait = max(0, min(POLL_SECONDS, int(end - time.monotonic())))
        body = run.panel.get("events", cursor=cursor, wait=wait, **wanted)
        cursor = body["next"]
        if body["items"] or time.monotonic() >= end:
            break
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))
    if not body["items"]:
        known(run)
    run.answer(body, display.events)
    _more(run, body["next"], "--cursor")
    return DONE
