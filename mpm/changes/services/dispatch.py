"""Hands a queued change to the agent of its server, as often as it takes."""

from __future__ import annotations

from datetime import datetime

from easyapache.ea4.profile import Transaction
from easyapache.ea4.protocol import ChangeRequest, Goal
from mpm.models import Change, State
from mpm.servers.agents import wake


def message_for(change: Change) -> ChangeRequest:
    """Everything the agent needs to carry out, finish or undo the change by itself."""
    return ChangeRequest(
        change=change.uuid,
        server=change.server_name,
        goal=Goal.from_json(change.goal),
        transaction=Transaction.from_json(change.transaction or {}),
        mpm=change.to_mpm,
        itk=change.to_itk,
        undo_of=change.undo_of or None,
        not_after=change.not_after,
        note={"number": change.pk, "reason": change.reason, "by": change.actor_name},
    )


def dispatch(change: Change, at: datetime) -> bool:
    """Send the change to its agent if it is still queued; True if the broker accepted it.

    The agent identifies a change by its id, so sending it again does nothing. The time of sending
    is stored before the message is sent: from then on only the agent can accept a cancel.
    """
    still = Change.objects.filter(pk=change.pk, state=State.QUEUED)
    still.update(dispatched_at=at)
    fresh = still.first()
    if fresh is None:
        return False
    return wake(fresh.server_name, "apply", message_for(fresh).as_json())
