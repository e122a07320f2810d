"""Handles a request while another change of its server is unfinished: returns that change, or
refuses.

The state of a server that is being changed is unknown until the change has ended, and only one
change runs at a time. A request that the unfinished change already satisfies returns that change;
any other is refused.
"""

from __future__ import annotations

from datetime import datetime

from easyapache.ea4.mpm import Choice
from easyapache.ea4.plan import Plan
from mpm.access.services.actor import Busy, UnderWay
from mpm.models import ACTIVE_STATES, Change, State
from mpm.servers.models import Server


def unfinished(server: Server) -> Change | None:
    """The change of ``server`` that has not ended; the database allows one."""
    return server.changes.filter(state__in=ACTIVE_STATES).first()


def in_the_way(
    change: Change,
    choice: Choice,
    *,
    now: datetime,
    digest: str | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> Busy:
    """Why ``choice`` cannot be requested while ``change`` is unfinished: UnderWay if that change is
    the same, with the same plan and window, else Busy."""
    same = (
        leads_to(change, choice)
        and digest in (None, change.digest)
        and _in_time(change, now, not_before, not_after)
    )
    return UnderWay(change) if same else Busy(change)


def leads_to(change: Change, choice: Choice) -> bool:
    """Whether the server is what ``choice`` wants once ``change`` has succeeded."""
    if change.choice == choice.as_json():
        return True
    if (change.to_mpm, change.to_itk) != (choice.mpm.value, choice.itk):
        return False
    plan = Plan.from_json(change.plan)
    return (choice.add | choice.keep) <= {item.name for item in (*plan.keep, *plan.install)}


def _in_time(
    change: Change, now: datetime, not_before: datetime | None, not_after: datetime | None
) -> bool:
    """Whether ``change`` begins when the wish wants it to. One that is being canceled may begin
    nothing, and one that is scheduled does nothing now."""
    if (change.not_before, change.not_after) == (not_before, not_after):
        return change.state != State.CANCELING
    if not_before is not None and not_before > now:
        return False
    if change.state == State.RUNNING:
        return True
    return change.state == State.QUEUED and (
        not_after is None or (change.not_after is not None and change.not_after <= not_after)
    )
