"""Requests changes from a running panel, in a separate process with that panel's settings.

Started with the panel's environment. One JSON line in, ``{"mpm": "event"}``; one out: ``{"state",
"sentence", "seconds", "refused", "steps"}``, where ``seconds`` is from the call of the service to
the row with the outcome, and ``steps`` lists ``[seconds, step, status]`` from the server's journal,
counted from the same call.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import django

from demo.adoption import adopt_environment

PATIENCE = 120.0


class NoEnd(Exception):
    """The server was never seen, or a change did not end in time."""


def _until(condition: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise NoEnd(what)
        time.sleep(0.01)


def switch(name: str, mpm: str) -> dict[str, Any]:
    """One change, from the request to the end. Raises what the service raises, and NoEnd."""
    from django.utils import timezone

    from easyapache.ea4.mpm import Choice
    from mpm.access.services.actor import Actor
    from mpm.changes.services.request import request_change
    from mpm.models import Change, Report
    from mpm.servers.models import Server

    server = Server.objects.get(name=name)
    actor = Actor(name="bench", role="administrator", origin="cli", agent_class="shell")
    choice = Choice.parse(mpm, itk=False)
    began, clock = time.monotonic(), timezone.now()
    change = request_change(server, choice, actor=actor, reason=f"bench: to {mpm}")
    ended = Change.objects.filter(pk=change.pk, finished_at__isnull=False)
    _until(ended.exists, f"change #{change.pk} did not end within {PATIENCE:.0f} s")
    seconds = time.monotonic() - began
    change = ended.get()
    steps = [
        [(row.at - clock).total_seconds(), row.data.get("step", ""), row.data.get("status", "")]
        for row in Report.objects.filter(change=change, kind="step").order_by("seq")
    ]
    return {
        "state": change.state,
        "sentence": change.sentence,
        "seconds": seconds,
        "refused": change.refused,
        "steps": steps,
    }


def _seen(name: str) -> bool:
    from mpm.servers.models import InstalledProfile

    return InstalledProfile.objects.filter(server__name=name).exists()


def main(name: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "easyapache.settings")
    adopt_environment(os.environ, make=False)
    django.setup()
    _until(lambda: _seen(name), f"the agent of {name} has not looked at it")
    sys.stdout.write('"ready"\n')
    sys.stdout.flush()
    for line in sys.stdin:
        answer = switch(name, json.loads(line)["mpm"])
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
