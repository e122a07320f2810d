"""Writes history: the only place that appends an event."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection, transaction

from easyapache import journal
from mpm.access.services.actor import SYSTEM, Actor
from mpm.history.seal import seal
from mpm.models import Chain, Change, Event
from mpm.web.log_lines import current_change

log = logging.getLogger(__name__)


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
        journal.current_changes.set((str(change.pk), change.uuid))
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
    if journal.is_stderr():  # elsewhere the page, the API or the command says it
        transaction.on_commit(partial(_log, event))
    Chain.objects.filter(server_name=server_name).update(seq=event.seq, hash=event.hash)
    return event


def _log(event: Event) -> None:
    about = f" of change {event.change_id}" if event.change_id else ""
    where = f" on {event.server_name}" if event.server_name else ""
    told = (event.kind, about, where, event.actor_name)
    log.info("%s%s%s by %s", *told, extra={"server": event.server_name})
