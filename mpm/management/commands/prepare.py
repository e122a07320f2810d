"""``manage.py prepare``: tables, static files, servers and first accounts. Safe to repeat.

Exit status: 0 done, 1 failed, 2 the wrong account or bad arguments, 4 no database to work with.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from easyapache.command_line import UNAVAILABLE
from easyapache.private_files import database_files, make_private, wrong_account
from easyapache.unavailable import unfit, wait_for, why
from mpm.servers.first_start import BadServer, first_accounts, register
from mpm.web.static_files import collect_static_files

WRONG_ACCOUNT = 2


class Command(BaseCommand):
    help = "Update the database, register servers, and create the first users."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--server",
            action="append",
            default=[],
            metavar="JSON",
            help='{"name": …, "kind": "real", "lab" or "simulated", "hostname": …, "note": …}',
        )
        parser.add_argument(
            "--first-accounts",
            action="store_true",
            help="if there are no users yet, create an administrator and a support user, and "
            "print their passwords once",
        )
        parser.add_argument("--no-static", action="store_true", help="don't collect static files")
        parser.add_argument("--json", action="store_true", help="print the users as JSON")
        parser.add_argument(
            "--wait",
            type=int,
            default=60,
            metavar="SECONDS",
            help="seconds to wait for the database (60)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        self._check_account(static=not options["no_static"])
        self._check_database(options["wait"])
        call_command("migrate", verbosity=0, interactive=False)
        files = []
        if connection.vendor == "sqlite":
            files = database_files(Path(connection.settings_dict["NAME"]))
        make_private([settings.VAR, *files])
        if not options["no_static"]:
            collect_static_files()
        for text in options["server"]:
            try:
                described = json.loads(text)
                if not isinstance(described, dict):
                    raise BadServer("a server must be a JSON object")
                register(described)
            except (json.JSONDecodeError, BadServer) as error:
                raise CommandError(f"--server {text}: {error}") from error
        accounts = first_accounts() if options["first_accounts"] else []
        if options["json"]:
            self.stdout.write(json.dumps([asdict(account) for account in accounts]))
            return
        for account in accounts:
            self.stdout.write(f"{account.name}  {account.password}  ({account.role})")
        if options["first_accounts"] and not accounts:
            self.stdout.write("Users already exist. None was created.")

    def _check_account(self, *, static: bool) -> None:
        """Files that this command creates must belong to the account that the panel runs as."""
        places = {Path(settings.STATIC_ROOT)} if static else set()
        if connection.vendor == "sqlite":
            places.add(Path(connection.settings_dict["NAME"]).parent)
        if places:
            places.add(Path(settings.VAR))
        for place in sorted(places):
            if sentence := wrong_account(place):
                raise CommandError(sentence, returncode=WRONG_ACCOUNT)
        if places and os.geteuid() == 0:
            self.stderr.write(
                f"Running as root: what is created in {settings.VAR} belongs to root, and the "
                "panel's processes must run as root as well. Give the panel an account of its "
                "own, and run this command as that account."
            )

    def _check_database(self, seconds: int) -> None:
        """Wait for the database, and refuse one that cannot hold the panel."""
        try:
            wait_for(connection, seconds, self.stderr.write)
            sentence = unfit(connection)
        except DatabaseError as error:
            sentence = why(error)
            if not sentence:
                raise
        if sentence:
            raise CommandError(sentence, returncode=UNAVAILABLE)
