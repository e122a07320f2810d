"""``manage.py pulse control --within 90``: did this part of the panel work recently?

For health checks. The pulse is written when a message has passed through the broker, so a worker
that runs but no longer consumes has none. Exit status 0 yes, 1 no, 4 no database.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from mpm.servers.models import Pulse
from mpm.web.background_parts import dropped_messages


class Command(BaseCommand):
    help = "Check that a part of the panel (control or beat) worked recently. For health checks."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=("control", "beat"))
        parser.add_argument("--within", type=int, default=90, metavar="SECONDS")

    def handle(self, *_: Any, **options: Any) -> None:
        pulse = Pulse.objects.filter(name=options["name"]).first()
        if pulse is None:
            raise CommandError(f"{options['name']} has never reported")
        age = (timezone.now() - pulse.at).total_seconds()
        if age > options["within"]:
            raise CommandError(f"{options['name']} last reported {age:.0f} s ago")
        count, last = dropped_messages() if options["name"] == "control" else (0, None)
        dropped = f"; {count} messages dropped so far, the last {last}" if last else ""
        self.stdout.write(f"{options['name']}: {age:.0f} s ago{dropped}")
