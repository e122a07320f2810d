"""``manage.py mpm``: the same services as the pages and the APIs, from a shell.

Exit status: 0 done, 1 failed, 2 refused by a rule or bad arguments, 4 no database or
broker to work with. With ``--json`` exactly one JSON value is written to standard output.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from easyapache.command_line import UNAVAILABLE
from easyapache.unavailable import why
from mpm.catalog import BadChoice
from mpm.management.groups.terminal import FAILED, REFUSED, Terminal
from mpm.services import BadRequest, Refused, Unanswered

GROUPS = ("plans", "changing", "showing", "doctor", "keeping", "tokens", "webhooks")
"""Modules of mpm.management.groups, in the order of the help."""


class Command(BaseCommand):
    help = "Show, plan and change the MPM of servers; read and verify the history."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        common = argparse.ArgumentParser(add_help=False)
        common.add_argument("--server", metavar="NAME", help="needed where there are several")
        common.add_argument("--json", action="store_true", help="one JSON value for a program")
        commands = parser.add_subparsers(
            dest="command", required=True, parser_class=argparse.ArgumentParser
        )
        for name in GROUPS:
            module = importlib.import_module(f"mpm.management.groups.{name}")
            module.register(commands, common)

    def handle(self, *_args: Any, **options: Any) -> None:
        terminal = Terminal(self.stdout, self.stderr, as_json=options["json"])
        try:
            status = options["run"](terminal, options)
        except BadChoice as error:
            terminal.refuse(BadRequest(str(error), code="bad_choice"))
            status = REFUSED
        except Unanswered as unanswered:
            terminal.refuse(unanswered, "Failed")
            status = UNAVAILABLE if unanswered.code == "no_broker" else FAILED
        except Refused as refused:
            terminal.refuse(refused)
            status = REFUSED
        except DatabaseError as error:
            if not (sentence := why(error)):
                raise
            terminal.refuse(Refused(sentence, code="no_database"), "Failed")
            status = UNAVAILABLE
        if status:
            raise SystemExit(status)
