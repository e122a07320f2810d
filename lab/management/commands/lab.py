"""``manage.py lab up|down|reset|status``: a real server in a folder of this machine."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from demo.folder import data_folder
from lab.command import add_arguments, run_command
from lab.process import LabError


class Command(BaseCommand):
    help = "A real EasyApache 4-like server in a folder: packages, dnf and a running httpd."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser, data_folder() / "servers" / "lab")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            status = run_command(argparse.Namespace(**options), self.stdout.write)
        except LabError as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)
