"""``switch``, ``rollback``, ``cancel``, ``recover``, ``adopt``: what changes a server."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from easyapache.ea4.plan import Plan
from mpm.access.services.actor import BadRequest, NothingToDo, UnderWay
from mpm.changes.services.cancel import cancel
from mpm.changes.services.fresh_look import on_a_fresh_look
from mpm.changes.services.lookup import change_numbered
from mpm.changes.services.outside import adopt
from mpm.changes.services.planning import plan_for, profile_of
from mpm.changes.services.request import Terms, refuse_at_once, refuse_if_unfinished, request_change
from mpm.changes.services.rollback import roll_back
from mpm.changes.services.sweep import recover
from mpm.cli.local.plans import add_choice
from mpm.cli.local.showing import change_as_json
from mpm.cli.local.terminal import (
    DONE,
    Terminal,
    actor,
    chosen,
    chosen_server,
    of_a_server,
    refuse_unused,
    show_plan,
)
from mpm.cli.local.waiting import follow, server_preview
from mpm.models import Change
from mpm.servers.inventory import observed_mpm
from mpm.servers.models import Server


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    switch = commands.add_parser("switch", parents=[common], help="change the MPM or ITK")
    of_a_server(switch)
    add_choice(switch)
    _why(switch)
    switch.add_argument("--digest", help="refuse unless the plan is the one with this digest")
    switch.add_argument(
        "--stored",
        action="store_true",
        help="do not ask the server first; its agent compares before it acts all the same",
    )
    switch.add_argument("--not-before", metavar="TIME", help="ISO 8601 with zone")
    switch.add_argument("--not-after", metavar="TIME", help="ISO 8601 with zone")
    switch.set_defaults(run=run_switch)

    rollback = commands.add_parser("rollback", parents=[common], help="undo a change")
    rollback.add_argument("change")
    _why(rollback)
    rollback.set_defaults(run=run_rollback)

    stop = commands.add_parser("cancel", parents=[common], help="cancel a change")
    stop.add_argument("change")
    stop.set_defaults(run=run_cancel)

    stuck = commands.add_parser("recover", parents=[common], help="help a change that seems stuck")
    stuck.add_argument("change")
    stuck.add_argument(
        "--close", action="store_true", help="end it as failed when its agent is silent"
    )
    stuck.set_defaults(run=run_recover)

    accept = commands.add_parser("adopt", parents=[common], help="accept a change made outside")
    accept.add_argument("change")
    accept.set_defaults(run=run_adopt)


def _why(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="")
    parser.add_argument("--ticket", default="")
    parser.add_argument("--wait", action="store_true", help="follow it until it has ended")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="wait no longer")


def run_switch(terminal: Terminal, options: dict[str, Any]) -> int:
    server = chosen_server(options)
    terms: Terms = {
        "digest": options["digest"],
        "reason": options["reason"],
        "ticket": options["ticket"],
        "not_before": _moment("--not-before", options["not_before"]),
        "not_after": _moment("--not-after", options["not_after"]),
    }

    def switched() -> Change:
        return _switched(server, options, terms)

    return _begun(terminal, options, lambda: on_a_fresh_look(server, switched))


def _switched(server: Server, options: dict[str, Any], terms: Terms) -> Change:
    """Raises what request_change does, and Unanswered."""
    profile = profile_of(server)
    choice = chosen(options, observed_mpm(profile).itk)
    # Before its server is asked anything, and before anything is said of its state.
    refuse_if_unfinished(server, choice, terms)
    refuse_at_once(plan_for(server, choice), profile, asking=not options["stored"])
    if options["stored"]:
        return request_change(server, choice, actor=actor(), **terms)
    preview = server_preview(server, choice)
    meant: Terms = {**terms, "preview": preview, "digest": terms["digest"] or preview.digest}
    return request_change(server, choice, actor=actor(), **meant)


def _begun(terminal: Terminal, options: dict[str, Any], request: Callable[[], Change]) -> int:
    """Request a change, or meet the one that already does the same, and follow it if asked to."""
    if not options["wait"]:
        refuse_unused(options, "without --wait", timeout=None)
    try:
        change = terminal.begun = request()
    except UnderWay as same:
        terminal.begun = same.change
        terminal.say(same.message)
        return _ended(terminal, same.change, options)
    except NothingToDo as nothing:
        terminal.say(nothing.message)
        terminal.answer({"change": None, "message": nothing.message})
        return DONE
    show_plan(terminal, Plan.from_json(change.plan))
    return _ended(terminal, change, options)


def _ended(terminal: Terminal, change: Change, options: dict[str, Any]) -> int:
    terminal.say(f"Change #{change.pk} of {change.server_name}: {change.state}")
    status = follow(terminal, change, options["timeout"]) if options["wait"] else DONE
    change.refresh_from_db()
    terminal.answer(change_as_json(change))
    return status


def _moment(name: str, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise BadRequest(f"{name} {text[:40]!r} is no time; write 2026-03-03T21:00:00Z.")
    return moment


def run_rollback(terminal: Terminal, options: dict[str, Any]) -> int:
    change = change_numbered(options["change"])

    def back() -> Change:
        return roll_back(change, actor(), options["reason"], ticket=options["ticket"])

    return _begun(terminal, options, lambda: on_a_fresh_look(change.server, back))


def run_cancel(terminal: Terminal, options: dict[str, Any]) -> int:
    return _report(terminal, cancel(change_numbered(options["change"]), actor()))


def run_recover(terminal: Terminal, options: dict[str, Any]) -> int:
    change = change_numbered(options["change"])
    return _report(terminal, recover(change, actor(), close=options["close"]))


def run_adopt(terminal: Terminal, options: dict[str, Any]) -> int:
    return _report(terminal, adopt(change_numbered(options["change"]), actor()))


def _report(terminal: Terminal, change: Change) -> int:
    change.refresh_from_db()
    terminal.say(f"Change #{change.pk} of {change.server_name}: {change.state} {change.sentence}")
    terminal.answer(change_as_json(change))
    return DONE
