"""History of the panel's profiles: who saved, uploaded, deleted or restored one.

The profile library sends a signal within the transaction that changes a profile, and the event is
written in the same one. It is in the panel's own chain, because a profile belongs to no server.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest

from mpm.access.roles import actor_of
from mpm.access.services.actor import Actor
from mpm.history.services.events import append
from mpm.servers.models import SavedProfile


def note_profile(
    sender: Any, *, kind: str, row: SavedProfile, by: str, at: datetime, who: object, **_: Any
) -> None:
    """Receiver of ``mpm.servers.profile_library.moved``. ``who`` is the request or the actor."""
    del sender
    if isinstance(who, HttpRequest):
        actor = actor_of(who)
    else:
        actor = who if isinstance(who, Actor) else Actor(name=by)
    data = {
        "profile": row.pk,
        "file_name": row.file_name,
        "name": row.name,
        "origin": row.origin,
        "packages": len(row.packages),
    }
    append(f"profile.{kind}", at, actor=actor, data=data)
