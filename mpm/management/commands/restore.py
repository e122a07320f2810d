"""``manage.py restore FILE``: restore a backup of ``manage.py backup``, and verify the history.

Exit status: 0 done, 1 failed and nothing was changed, 3 restored but the history does not verify, 4
no database.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from mpm.backup.archive import BadBackup
from mpm.backup.whole import restore

DOES_NOT_VERIFY = 3


class Command(BaseCommand):
    help = "Bring back a backup: the database in its place, keys and configuration beside it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="what manage.py backup wrote")
        parser.add_argument(
            "--replace",
            action="store_true",
            help="also where there is a database already; SQLite’s is kept beside the new one",
        )
        parser.add_argument(
            "--passphrase-file",
            type=Path,
            metavar="FILE",
            help="the file with the passphrase of an encrypted backup",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            done = restore(
                options["file"],
                passphrase_file=options["passphrase_file"],
                replace=options["replace"],
                now=timezone.now(),
            )
        except (BadBackup, OSError) as error:
            raise CommandError(f"{error}\nNothing was changed.") from error
        self.stdout.write(f"Restored the backup of {done.made_at} (version {done.version}).")
        if done.kept is not None:
            self.stdout.write(f"The database that was here before: {done.kept}")
        self.stdout.write(f"Its keys: {done.keys}")
        if done.configuration is not None:
            self.stdout.write(f"Its configuration: {done.configuration}")
        if done.other_key:
            self.stderr.write(
                "SECRET_KEY here is another one than the backup's. Tokens and the secrets of "
                f"webhooks work only with the keys in {done.keys}: use them, then delete that file."
            )
        verdict = done.verdict
        if verdict.faults:
            raise CommandError(
                f"The history doesn't verify: {verdict.faults[0].message}",
                returncode=DOES_NOT_VERIFY,
            )
        self.stdout.write(
            f"The history verifies: {verdict.events} events in {len(verdict.heads)} chains."
        )
