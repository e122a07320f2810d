"""Cancels a change: at once before it is sent to the agent, else by the agent."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from easyapache.ea4.protocol import CancelRequest
from easyapache.ea4.sentences import Sentence
from mpm.access.services.actor import Actor, TooLate
from mpm.changes.lifecycle import past_the_point
from mpm.changes.services.lookup import must_be_allowed
from mpm.changes.services.transition import move
from mpm.models import Change, State
from mpm.servers.agents import wake


def why_not_cancel(change: Change) -> str:
    """Why it is too late to cancel, as a sentence; "" while it is possible."""
    if change.finished:
        return Sentence(
            "Change #{number} has finished ({state}).",
            number=change.pk,
            state=change.get_state_display().lower(),
        )
    if past_the_point(change.step):
        return Sentence(
            "Too late to cancel: packages are being changed. You can roll back when it finishes.",
            number=change.pk,
        )
    return ""


def cancel(change: Change, actor: Actor) -> Change:
    """Request that ``change`` ends without changing the server. A repeated request, also after it
    was canceled, returns the change.

    A change that was not sent to the agent is canceled at once. One that was sent becomes
    ``canceling``, and the agent decides: it accepts until packages are changed. Raises NotAllowed
    and TooLate with the reason.
    """
    must_be_allowed(actor, Sentence("cancel changes"))
    now = timezone.now()
    with transaction.atomic():
        change = Change.objects.select_for_update().get(pk=change.pk)
        if change.state in (State.CANCELING, State.CANCELED):
            return change
        if reason := why_not_cancel(change):
            raise TooLate(reason)
        request_fields: dict[str, Any] = {
            "cancel_requested_at": now,
            "cancel_requested_by": actor.name,
        }
        at_once = move(
            change,
            (State.SCHEDULED, State.QUEUED),
            State.CANCELED,
            now,
            actor=actor,
            where={"dispatched_at": None},
            finished_at=now,
            sentence=Sentence(
                "Canceled by {person} before it reached the server. Nothing was changed.",
                person=actor.name,
            ),
            decided_by="cancel",
            **request_fields,
        )
        if not at_once and not move(
            change,
            (State.QUEUED, State.RUNNING),
            State.CANCELING,
            now,
            actor=actor,
            unknown_since=None,
            cancel_refused="",
            **request_fields,
        ):
            raise TooLate(
                why_not_cancel(change)
                or Sentence("Change #{number} just changed its state. Try again.", number=change.pk)
            )
    if change.state == State.CANCELING:
        wake(change.server_name, "cancel", CancelRequest(change.uuid).as_json())
    return change
