"""Checks a server again before a request is refused because of its last known state.

Scans run about once a minute. After fixing a blocker, or changing a server by hand, an
administrator must not get a refusal based on the old state.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import connection
from django.utils import timezone

from easyapache.ea4.sentences import counted, joined
from mpm.access.services.actor import NothingToDo, Refused
from mpm.servers.looks import rescan
from mpm.servers.models import InstalledProfile, Server
from mpm.web.page_context import liveness
from mpm.web.polling import ANSWERS, wait_for

T = TypeVar("T")

OF_ITS_STATE = frozenset({NothingToDo.code, "blocked", "no_profile"})
"""Codes of refusals that a new scan may resolve. None is stored for an Idempotency-Key, because
they apply only to the moment of the response."""
LOOK_SECONDS = 8.0
"""How long a caller waits for a look; a scan takes one or two seconds."""
OLD_SECONDS = 3
"""If no scan was possible, refusals mention the age of data older than this."""


def look_again(
    server: Server, seconds: float = LOOK_SECONDS, *, since: datetime | None = None
) -> bool:
    """Have ``server`` looked at now; True when that has been recorded within ``seconds``, or a look
    has been recorded ``since`` then.

    False at once for a server whose agent is silent, and within a transaction: what a scan
    found could not be recorded, or not be seen, before it ends.
    """
    if since is not None and _seen(server, since):
        return True
    if connection.in_atomic_block or liveness(server) != "alive":
        return False
    # A scan is recorded with the time of the panel; the databases keep microseconds.
    began = timezone.now() - timedelta(milliseconds=1)
    rescan(server)

    def look() -> bool | None:
        return True if _seen(server, began) else None

    return bool(wait_for(look, seconds, places=ANSWERS))


def on_a_fresh_look(server: Server, decide: Callable[[], T], seconds: float = LOOK_SECONDS) -> T:
    """``decide()``; if it refuses because of the state of ``server``, again after a scan.

    Raises what ``decide`` raises. If the server could not be scanned, a refusal for its state
    includes the age of its data.
    """
    began = timezone.now()
    try:
        return decide()
    except Refused as refused:
        if refused.code not in OF_ITS_STATE:
            raise
        if not look_again(server, seconds, since=began):
            refused.message = _with_age(server, refused.message)
            raise
    return decide()


def _seen(server: Server, since: datetime) -> bool:
    return InstalledProfile.objects.filter(server=server, confirmed_at__gte=since).exists()


def _with_age(server: Server, message: str) -> str:
    latest = InstalledProfile.objects.filter(server=server).order_by("-pk").first()
    seconds = int((timezone.now() - latest.confirmed_at).total_seconds()) if latest else 0
    if seconds < OLD_SECONDS:
        return message
    age = counted(
        "{server} was last checked {count} second ago and can't be checked right now.",
        "{server} was last checked {count} seconds ago and can't be checked right now.",
        server=str(server),
        count=seconds,
    )
    return joined(" ", [message, age])
