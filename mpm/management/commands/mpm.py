"""``manage.py mpm``: the same services as the pages and the APIs, from a shell.

Exit status: 0 done, 1 failed, 2 refused by a rule or bad arguments, 4 no database or broker to
work with, 130 interrupted, 141 nobody read on. With ``--json`` exactly one JSON value is written to
standard output.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from easyapache.command_line import UNAVAILABLE
from easyapache.ea4.mpm import BadChoice
from easyapache.unavailable import why
from mpm import VERSION
from mpm.access.services.actor import BadRequest, Refused, Unanswered
from mpm.cli.local.terminal import (
    FAILED,
    INTERRUPTED,
    REFUSED,
    UNREAD,
    Terminal,
    interrupted,
)

GROUPS = ("plans", "changing", "showing", "doctor", "keeping", "tokens", "webhooks")
"""Modules of mpm.cli.local, in the order of the help."""


class Command(BaseCommand):
    help = "Show, plan and change the MPM of servers; read and verify the history."
    requires_system_checks = []

    def get_version(self) -> str:
        return VERSION

    def add_arguments(self, parser: CommandParser) -> None:
        common = argparse.ArgumentParser(add_help=False)
        common.add_argument("--json", action="store_true", help="one JSON value for a program")
        commands = parser.add_subparsers(
            dest="command", required=True, parser_class=argparse.ArgumentParser
        )
        for name in GROUPS:
            module = importlib.import_module(f"mpm.cli.local.{name}")
            module.register(commands, common)

    def handle(self, *_args: Any, **options: Any) -> None:
        terminal = Terminal(self.stdout, self.stderr, as_json=options["json"])
        try:
            status = _ran(terminal, options)
            self.stdout.flush()
        except BrokenPipeError:
            # Whoever read has had enough. Nobody is told what the interpreter cannot write either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = UNREAD
        except KeyboardInterrupt:
            terminal.refuse(interrupted(terminal.begun), "Stopped")
            status = INTERRUPTED
        if status:
            raise SystemExit(status)


def _ran(terminal: Terminal, options: dict[str, Any]) -> int:
    """The exit status of a subcommand; what was refused has been told."""
    try:
        status: int = options["run"](terminal, options)
        return status
    except BadChoice as error:
        terminal.refuse(BadRequest(str(error), code="bad_choice"))
    except Unanswered as unanswered:
        terminal.refuse(unanswered, "Failed")
        return UNAVAILABLE if unanswered.code == "no_broker" else FAILED
    except Refused as refused:
        terminal.refuse(refused)
    except DatabaseError as error:
        if not (sentence := why(error)):
            raise
        terminal.refuse(Refused(sentence, code="no_database"), "Failed")
        return UNAVAILABLE
    return REFUSED
