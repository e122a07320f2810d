"""``manage.py prepare``: tables, static files, servers and first accounts. Safe to repeat."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from easyapache.first_start import BadServer, first_accounts, register


class Command(BaseCommand):
    help = "Bring the database up to date; register servers; make the first accounts."
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
            help="when nobody has an account yet: make one administrator and one support "
            "reader, and print their passwords, this once",
        )
        parser.add_argument("--no-static", action="store_true", help="leave static files alone")
        parser.add_argument("--json", action="store_true", help="print the accounts as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        if not options["no_static"]:
            call_command("collectstatic", verbosity=0, interactive=False)
        for text in options["server"]:
            try:
                described = json.loads(text)
                if not isinstance(described, dict):
                    raise BadServer("a server is described by a JSON object")
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
            self.stdout.write("There are accounts already; none was made.")
