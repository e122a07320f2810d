"""``manage.py backup FILE``: database, keys and configuration in one file.

Exit status: 0 done, 1 failed, 4 no database. The panel keeps running meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from mpm.backup.archive import BadBackup
from mpm.backup.whole import back_up


class Command(BaseCommand):
    help = "Write database, keys and configuration into one file. The panel keeps running."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the file to write; it must not exist")
        parser.add_argument(
            "--configuration",
            type=Path,
            action="append",
            default=[],
            metavar="PATH",
            help="a file or folder of the configuration to add; can be repeated",
        )
        parser.add_argument(
            "--passphrase-file",
            type=Path,
            metavar="FILE",
            help="encrypt the backup by GnuPG with the passphrase in this file",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            size = back_up(
                path, options["configuration"], options["passphrase_file"], timezone.now()
            )
        except (BadBackup, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{path}: {size} bytes")
        if options["passphrase_file"] is None:
            self.stderr.write(
                "The file isn't encrypted and holds the panel's keys. Keep it where only you can "
                "read it, or use --passphrase-file."
            )
