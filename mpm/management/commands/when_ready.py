"""``manage.py when_ready -- COMMAND …``: start a part of the panel once there is a panel for it.

Waits until the database answers and has all of this version's tables, then becomes COMMAND. Nothing
else has to start the parts in an order. Exit status: 4 when the time is up.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import REMAINDER
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from easyapache.command_line import UNAVAILABLE
from easyapache.unavailable import wait_for, why


class Command(BaseCommand):
    help = "Wait until the database is there and up to date, then become COMMAND."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--within",
            type=int,
            default=600,
            metavar="SECONDS",
            help="how long to wait (600)",
        )
        parser.add_argument("argv", nargs=REMAINDER, metavar="COMMAND", help="what to become")

    def handle(self, *_: Any, **options: Any) -> None:
        argv = [word for at, word in enumerate(options["argv"]) if at or word != "--"]
        if not argv:
            raise CommandError("Name the command to become.", returncode=2)
        self._wait(options["within"])
        connection.close()
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            os.execvp(argv[0], argv)  # noqa: S606
        except OSError as error:
            raise CommandError(f"{argv[0]} can't be started: {error.strerror}") from error

    def _wait(self, seconds: int) -> None:
        ends, reported = time.monotonic() + seconds, False
        try:
            wait_for(connection, seconds, self.stderr.write)
            while not _up_to_date():
                if time.monotonic() >= ends:
                    raise CommandError(
                        f"The tables weren't up to date within {seconds} seconds. "
                        "Run manage.py prepare.",
                        returncode=UNAVAILABLE,
                    )
                if not reported:
                    self.stderr.write("Waiting for manage.py prepare to update the tables.")
                    reported = True
                connection.close()
                time.sleep(1)
        except DatabaseError as error:
            sentence = why(error)
            if not sentence:
                raise
            raise CommandError(sentence, returncode=UNAVAILABLE) from error


def _up_to_date() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())
