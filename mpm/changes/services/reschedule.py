"""Moves a scheduled change to another maintenance window.

A request in the history is never altered, so the change is canceled and requested again, in one
transaction.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from easyapache.ea4.plan import Plan
from easyapache.ea4.sentences import Sentence
from mpm.access.services.actor import Actor, Stale, TooLate
from mpm.changes.services.lookup import must_be_allowed
from mpm.changes.services.planning import profile_of
from mpm.changes.services.request import check_window, create_change, refuse_if_blocked
from mpm.changes.services.transition import move
from mpm.models import Change, State
from mpm.servers.models import Server


def reschedule(
    change: Change, actor: Actor, not_before: datetime, not_after: datetime | None = None
) -> Change:
    """Request ``change`` again for another window. Returns the new change.

    Raises NotAllowed, BadRequest for an invalid window, TooLate if it no longer waits for its
    window, Stale if the server's packages have changed, and Refused if no change may start on the
    server.
    """
    must_be_allowed(actor, Sentence("schedule changes"))
    now = timezone.now()
    check_window(now, not_before, not_after)
    with transaction.atomic():
        server = Server.objects.select_for_update().get(pk=change.server_id)
        canceled = move(
            change,
            (State.SCHEDULED,),
            State.CANCELED,
            now,
            actor=actor,
            finished_at=now,
            sentence=Sentence("Rescheduled by {person}. Nothing was changed.", person=actor.name),
            decided_by="cancel",
            cancel_requested_at=now,
            cancel_requested_by=actor.name,
        )
        if not canceled:
            number = change.pk
            raise TooLate(Sentence("Change #{number} isn’t scheduled anymore.", number=number))
        profile = profile_of(server, undoing=change.rollback_of)
        plan = Plan.from_json(change.plan).seen_now(profile)
        if plan.base_digest != profile.digest:
            raise Stale(plan)
        refuse_if_blocked(plan, profile)
        return create_change(
            server,
            profile,
            plan,
            actor=actor,
            at=now,
            reason=change.reason,
            ticket=change.ticket,
            preview=change.preview,
            not_before=not_before,
            not_after=not_after,
            rollback_of=change.rollback_of,
        )
