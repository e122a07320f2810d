"""``doctor``: what is known to be wrong with a server, why, and the way out."""

from __future__ import annotations

import argparse
import time
from typing import Any

from django.conf import settings
from django.db import connection

from easyapache.ea4.conditions.repairs import REPAIR_LABELS
from mpm.access.services.actor import BadRequest, Refused
from mpm.changes.services.planning import profile_of
from mpm.changes.services.repairs import repair
from mpm.cli.local.terminal import DONE, FAILED, Terminal, actor, chosen_server, of_a_server
from mpm.cli.local.waiting import need_the_broker
from mpm.history.diagnosis import examined, of_the_panel
from mpm.history.models.search_index import MISSING, REMEDY, indexed
from mpm.models import Event

PAUSE = 0.2


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    doctor = commands.add_parser(
        "doctor", parents=[common], help="known failures of a server, and their repair"
    )
    of_a_server(doctor)
    doctor.add_argument(
        "--repair", metavar="CODE", help=f"one of {', '.join(sorted(REPAIR_LABELS))}"
    )
    doctor.set_defaults(run=run_doctor)


def run_doctor(terminal: Terminal, options: dict[str, Any]) -> int:
    """Status 0: nothing is known to be wrong (or the repair helped); 1: something is."""
    if not indexed(connection):
        terminal.warn(f"{MISSING} {REMEDY[connection.vendor]}")
    try:
        server = chosen_server(options)
    except Refused:
        for item in of_the_panel():
            terminal.warn(f"{item.title}: {item.cause} {item.fix}")
        raise
    if options["repair"]:
        return _repair(terminal, options["repair"], options)
    examination = examined(server, profile_of(server))
    found = examination.findings
    terminal.answer({"server": server.name, **examination.as_json()})
    for item in found:
        terminal.say(f"{item.title} [{item.code}]")
        terminal.say(f"  why   {item.cause}")
        terminal.say(f"  fix   {item.fix}")
        if item.repair:
            terminal.say(f"  run   manage.py mpm doctor --repair {item.repair}")
    if not found:
        terminal.say(f"Nothing is known to be wrong with {server.name}.")
    return FAILED if found else DONE


def _repair(terminal: Terminal, action: str, options: dict[str, Any]) -> int:
    if action not in REPAIR_LABELS:
        raise BadRequest(
            f"There is no repair {action[:40]!r}: {', '.join(sorted(REPAIR_LABELS))}.",
            code="bad_repair",
        )
    server = chosen_server(options)
    need_the_broker()
    number = repair(server, action, actor())
    ends = time.monotonic() + settings.PREVIEW_SECONDS * 4
    while time.monotonic() < ends:
        answers = Event.objects.filter(
            server_name=server.name, kind__in=("server.repaired", "server.repair_failed")
        ).order_by("-pk")[:5]
        for event in answers:
            if event.data.get("request") == number:
                terminal.say(str(event.data["message"]))
                terminal.answer({"repaired": event.kind == "server.repaired", **event.data})
                return DONE if event.kind == "server.repaired" else FAILED
        time.sleep(PAUSE)
    terminal.warn(f"{server} has not answered; look again later with: mpm status")
    return FAILED
