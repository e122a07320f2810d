"""``manage.py mpm``: the commands of ``ea4mpm``, in process, and what only this machine can do."""

from __future__ import annotations

import argparse
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connection

from easyapache.ea4.mpm import BadChoice
from easyapache.ea4.sentences import plain
from easyapache.unavailable import why
from mpm.access.services.actor import Refused
from mpm.cli.commands.definition import parser_of
from mpm.cli.commands.running import Problem, Program, execute
from mpm.cli.commands.statuses import UNAVAILABLE, USAGE, Json
from mpm.cli.commands.statuses import Refused as RefusedByPanel
from mpm.cli.local.in_process import connect
from mpm.cli.local.panel_only import PANEL_ONLY
from mpm.history.diagnosis import of_the_panel
from mpm.history.models.search_index import MISSING, REMEDY, indexed

NAME = "manage.py mpm"


def problem_of(error: Exception) -> Problem:
    """The problem that REST would return, if a service refused. Raises other exceptions."""
    if isinstance(error, BadChoice):
        return USAGE, {"code": "bad_choice", "detail": str(error)}
    if isinstance(error, Refused):
        problem: Json = {
            "code": error.code,
            "detail": str(error.message),
            "remedy": str(error.remedy),
            "findings": [plain(finding.as_json()) for finding in error.findings],
        }
        return RefusedByPanel(error.status, problem).exit_status, problem
    if isinstance(error, DatabaseError) and (sentence := why(error)):
        return UNAVAILABLE, {"code": "no_database", "detail": sentence}
    raise error


def notices(alone: bool) -> list[str]:
    """``alone``: without Diagnostics of a server, which include problems of the panel."""
    found = [] if indexed(connection) else [f"{MISSING} {REMEDY[connection.vendor]}"]
    if alone:
        found += [f"{item.title}: {item.cause} {item.fix}" for item in of_the_panel()]
    return found


PROGRAM = Program(
    NAME,
    connect=lambda _options: connect(),
    panel_only=PANEL_ONLY,
    notices=notices,
    errors=(BadChoice, Refused, DatabaseError),
    problem_of=problem_of,
)


class Command(BaseCommand):
    help = "Show, plan and change the MPM of EasyApache 4 servers."
    requires_system_checks = []

    def create_parser(self, *_names: str, **_kwargs: Any) -> CommandParser:
        """A parser without Django's own options, except those that ``manage.py`` itself reads."""
        parser = parser_of(NAME, remote=False)
        for option in ("--settings", "--pythonpath"):
            parser.add_argument(option, help=argparse.SUPPRESS)
        for option in ("--traceback", "--no-color", "--force-color"):
            parser.add_argument(option, action="store_true", help=argparse.SUPPRESS)
        return cast(CommandParser, parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        for stream in (self.stdout, self.stderr):
            stream.ending = ""  # the output has its own line ends
        out, err = cast(TextIO, self.stdout), cast(TextIO, self.stderr)
        status = execute(PROGRAM, argparse.Namespace(**options), out, err)
        if status:
            raise SystemExit(status)
