"""``history`` and ``show``: what happened, and the proof that it was not altered since."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mpm.access.services.actor import BadRequest
from mpm.changes.log_bytes import LogText
from mpm.changes.services.lookup import change_numbered, server_known
from mpm.cli.local.terminal import (
    DONE,
    FAILED,
    Terminal,
    at_least_one,
    of_a_server,
    refuse_unused,
)
from mpm.history.export import as_csv, as_json, events_as_json
from mpm.history.filters import BadFilter, ChangeFilters
from mpm.history.pages import changes
from mpm.history.story import story, timeline
from mpm.history.verification.database import verify_database
from mpm.history.verification.export import BadExport, verify_export
from mpm.models import Change, LogChunk

_FILTERS = ("person", "origin", "result", "ticket", "since", "until", "text")


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    history = commands.add_parser(
        "history", parents=[common], help="changes, newest first; verify or export them"
    )
    history.add_argument("action", nargs="?", choices=["list", "verify", "export"], default="list")
    of_a_server(history, "only of this one")
    for name in _FILTERS:
        history.add_argument(f"--{name}", default="")
    history.add_argument("--from", dest="mpm_from", default="", metavar="MPM")
    history.add_argument("--to", dest="mpm_to", default="", metavar="MPM")
    history.add_argument("--itk", choices=["yes", "no"], default="")
    history.add_argument("--limit", type=at_least_one, default=20)
    history.add_argument("--cursor", default="")
    history.add_argument("--file", metavar="FILE", help="verify this export, without a database")
    history.add_argument(
        "--format", choices=["csv", "json", "events"], default="json", help="of an export"
    )
    history.set_defaults(run=run_history)

    verify = commands.add_parser("verify", parents=[common], help="the same as history verify")
    verify.add_argument("--file", metavar="FILE")
    verify.set_defaults(run=run_verify)

    show = commands.add_parser("show", parents=[common], help="one change, told")
    show.add_argument("change")
    show.add_argument("--log", action="store_true", help="print its log, byte for byte")
    show.set_defaults(run=run_show)


def change_as_json(change: Change) -> dict[str, Any]:
    return {
        "number": change.pk,
        "id": change.uuid,
        "server": change.server_name,
        "state": change.state,
        "step": change.step,
        "from": {"mpm": change.from_mpm, "itk": change.from_itk},
        "to": {"mpm": change.to_mpm, "itk": change.to_itk},
        "reason": change.reason,
        "ticket": change.ticket,
        "origin": change.origin,
        "person": change.actor_name,
        "requested_at": _iso(change.requested_at),
        "started_at": _iso(change.started_at),
        "finished_at": _iso(change.finished_at),
        "silent_since": _iso(change.silent_since),
        "sentence": change.sentence,
        "decided_by": change.decided_by,
        "refused": change.refused,
        "longest_wait_ms": change.longest_wait_ms,
        "rollback_of": change.rollback_of_id,
    }


def _iso(moment: Any) -> str | None:
    return moment.isoformat() if moment else None


def _refuse_unused(options: dict[str, Any]) -> None:
    action = options["action"]
    beside = f"with history {action}"
    filters: dict[str, Any] = dict.fromkeys((*_FILTERS, "itk"), "")
    ends: dict[str, Any] = {"from": "mpm_from", "to": "mpm_to"}
    if action == "verify" or options["format"] == "events":
        refuse_unused(options, beside, **filters)
        named = {option: options[name] for option, name in ends.items()}
        refuse_unused(named, beside, **dict.fromkeys(ends, ""))
    if action == "verify":
        refuse_unused(options, beside, server=None)
    else:
        refuse_unused(options, beside, file=None)
    if action != "list":
        refuse_unused(options, beside, limit=20, cursor="")
    if action != "export":
        refuse_unused(options, beside, format="json")


def run_history(terminal: Terminal, options: dict[str, Any]) -> int:
    _refuse_unused(options)
    if options["action"] == "verify":
        return run_verify(terminal, options)
    if options["server"]:
        server_known(options["server"])
    names = (*_FILTERS, "mpm_from", "mpm_to", "itk", "server")
    try:
        filters = ChangeFilters.parse({name: options[name] or "" for name in names})
        if options["action"] == "export":
            return _export(terminal, filters, options)
        page = changes(filters, options["cursor"], options["limit"])
    except BadFilter as error:
        raise BadRequest(f"--{error.name.replace('_', '-')}: {error}", code="bad_filter") from error
    terminal.answer(
        {
            "changes": [change_as_json(change) for change in page.items],
            "next_cursor": page.next_cursor,
            "previous_cursor": page.previous_cursor,
        }
    )
    for change in page.items:
        move = (
            f"{_label(change.from_mpm, change.from_itk)} → {_label(change.to_mpm, change.to_itk)}"
        )
        terminal.say(
            f"#{change.pk:<6} {change.requested_at:%Y-%m-%d %H:%M} {change.server_name:15} "
            f"{move:24} {change.state:12} {change.actor_name:15} {change.reason[:60]}"
        )
    if not page.items:
        terminal.say("No change fits.")
    if page.next_cursor:
        terminal.say(f"More: --cursor {page.next_cursor}")
    return DONE


def _label(mpm: str, itk: bool) -> str:
    return (mpm or "?") + ("+itk" if itk else "")


def _export(terminal: Terminal, filters: ChangeFilters, options: dict[str, Any]) -> int:
    if options["format"] == "events":
        pieces = events_as_json(options["server"] or None)
    else:
        pieces = (as_csv if options["format"] == "csv" else as_json)(filters)
    for piece in pieces:
        terminal.write(piece)
    return DONE


def run_verify(terminal: Terminal, options: dict[str, Any]) -> int:
    try:
        path = options.get("file")
        verdict = verify_export(Path(path)) if path else verify_database()
    except BadExport as error:
        raise BadRequest(str(error), code="bad_export") from error
    terminal.answer(verdict.as_json())
    for fault in verdict.faults:
        terminal.say(f"{fault.server_name or 'panel'}/{fault.seq}: {fault.message}")
    if path:
        # Whoever could rewrite the whole file could rewrite its end as well: but not the panel.
        for name, (seq, sealed) in verdict.heads.items():
            terminal.say(f"{name or 'panel'} ends with event {seq}, {sealed}")
    found = "nothing was altered."
    if verdict.faults:
        found = "altered." if verdict.complete else "incomplete."
    terminal.say(f"{verdict.events} events in {verdict.chains} chains: {found}")
    return FAILED if verdict.faults else DONE


def run_show(terminal: Terminal, options: dict[str, Any]) -> int:
    change = change_numbered(options["change"])
    told, entries = story(change), timeline(change)
    terminal.answer(
        {
            **change_as_json(change),
            "story": told,
            "plan": change.plan,
            "diagnosis": change.diagnosis,
            "moved": change.moved,
            "interruption": change.interruption,
            "timeline": [
                {
                    "at": entry.at.isoformat(),
                    "kind": entry.kind,
                    "title": entry.title,
                    "detail": entry.detail,
                    "status": entry.status,
                }
                for entry in entries
            ],
        }
    )
    terminal.say(f"Change #{change.pk} of {change.server_name}: {change.state}")
    terminal.say(" ".join(told))
    for entry in entries:
        terminal.say(f"  {entry.at:%H:%M:%S} {entry.title} {entry.status} {entry.detail}".rstrip())
    for finding in change.diagnosis:
        terminal.say(f"  ! {finding.get('title')}: {finding.get('message')}")
        if finding.get("remedy"):
            terminal.say(f"    → {finding['remedy']}")
    if options["log"]:
        text = LogText()
        for chunk in LogChunk.objects.filter(change=change).iterator(chunk_size=20):
            if not terminal.as_json:
                terminal.write(text.more(bytes(chunk.data)))
    return DONE
