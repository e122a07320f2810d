"""Writes history: the only place that appends an event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from mpm.access.services.actor import SYSTEM, Actor
from mpm.history.seal import seal
from mpm.models import Chain, Change, Event
from mpm.web.log_lines import current_change


def append(
    kind: str,
    at: datetime,
    *,
    server_name: str = "",
    change: Change | None = None,
    actor: Actor = SYSTEM,
    data: Mapping[str, Any] | None = None,
) -> Event:
    """Append one event to the chain of ``server_name`` ("" is the panel's own).

    Must be called inside the transaction that changes the state; the chain's row is locked until
    its end, so that events of one server have one order. Raises RuntimeError outside of a
    transaction.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("An event is recorded in the transaction of what it describes.")
    if change is not None:
        current_change.set(str(change.pk))  # later log lines are about it
    Chain.objects.get_or_create(server_name=server_name)
    chain = Chain.objects.select_for_update().get(server_name=server_name)
    event = Event(
        server_name=server_name,
        seq=chain.seq + 1,
        at=at,
        change=change,
        kind=kind,
        actor_name=actor.name,
        actor_role=actor.role,
        origin=actor.origin,
        token_name=actor.token_name,
        address=actor.address,
        agent_class=actor.agent_class,
        request_id=actor.request_id,
        data=dict(data or {}),
        previous_hash=chain.hash,
    )
    event.hash = seal(chain.hash, event.sealed)
    event.save(force_insert=True)
    Chain.objects.filter(server_name=server_name).update(seq=event.seq, hash=event.hash)
    return event
