"""What the measurement of waiting needs, in a process with that panel's settings.

``python -m bench.waiting_site prepare N`` adds a server, a change of it that has not ended, and N
tokens, and prints ``{"change", "tokens", "cursor"}``, where ``cursor`` is the end of the events;
``… end NUMBER`` cancels that change.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta


def prepare(count: int) -> dict[str, object]:
    from django.utils import timezone

    from bench.api_site import prepare as add_server
    from easyapache.ea4.mpm import Choice
    from mpm.access.services.actor import Actor
    from mpm.access.tokens import issue
    from mpm.changes.services.request import request_change
    from mpm.history.event_cursor import last_id
    from mpm.servers.models import Server

    first = add_server()
    actor = Actor(name="bench", role="administrator", origin="cli")
    server = Server.objects.get(name="web")
    change = request_change(
        server,
        Choice.parse("worker"),
        actor=actor,
        reason="bench",
        not_before=timezone.now() + timedelta(hours=1),  # it is not announced before
    )
    others = [issue(actor, name=f"b{n}", scopes=["read"]).text for n in range(count - 1)]
    return {"change": change.pk, "tokens": [first, *others], "cursor": f"{last_id():x}"}


def end(number: int) -> None:
    from mpm.access.services.actor import Actor
    from mpm.changes.services.cancel import cancel
    from mpm.models import Change

    cancel(Change.objects.get(pk=number), Actor(name="bench", role="administrator", origin="cli"))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
    import django

    django.setup()
    what, number = sys.argv[1], int(sys.argv[2])
    if what == "end":
        end(number)
    else:
        sys.stdout.write(f"{json.dumps(prepare(number))}\n")
