"""What became of a change after it ended: rolled back, repaired, tried again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, OuterRef, Q, QuerySet, Subquery, When

from easyapache.ea4.conditions.condition import TAKE_BACK
from mpm.changes.incomplete import PAST_THE_POINT, REPAIRED
from mpm.changes.lifecycle import past_the_point
from mpm.changes.models.change import Origin
from mpm.history import renamed
from mpm.history.outside import TAKEN_BACK
from mpm.models import ACTIVE_STATES, Change, Event, State

REPAIR_REQUESTED = "server.repair_requested"
_HALF_WAY = Q(state=State.FAILED, step__in=PAST_THE_POINT)
ENDED_BADLY = (State.RESTORED, State.NOT_STARTED, State.FAILED, State.CANCELED)
_ENDED_BADLY = Q(state__in=(ENDED_BADLY))


def _repair(kind: str) -> QuerySet[Event]:
    return Event.objects.filter(
        server_name=OuterRef("server_name"),
        kind__in=renamed.spellings(kind),
        at__gte=OuterRef("finished_at"),
        data__action=TAKE_BACK,
    ).order_by("pk")


_AGAIN = Change.objects.filter(
    server_name=OuterRef("server_name"),
    pk__gt=OuterRef("pk"),
    to_mpm=OuterRef("to_mpm"),
    to_itk=OuterRef("to_itk"),
    rollback_of=None,
).exclude(origin=Origin.OUTSIDE)

AFTERMATH: Mapping[str, Any] = {
    "taken_back": TAKEN_BACK,
    "going_back": Subquery(
        Change.objects.filter(rollback_of=OuterRef("pk"), state__in=ACTIVE_STATES).values("pk")[:1]
    ),
    "repaired_at": Case(When(_HALF_WAY, then=Subquery(_repair(REPAIRED).values("at")[:1]))),
    "repaired_by": Case(
        When(_HALF_WAY, then=Subquery(_repair(REPAIR_REQUESTED).values("actor_name")[:1]))
    ),
    "tried_again": Case(
        When(
            _ENDED_BADLY & ~Q(origin=Origin.OUTSIDE),
            then=Subquery(_AGAIN.order_by("pk").values("pk")[:1]),
        )
    ),
}
"""Annotations for a query of changes, so that what followed each needs no further query."""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """Numbers of changes (0: none), and when and on whose request a repair undid the change."""

    rolled_back_by: int = 0
    being_rolled_back_by: int = 0
    tried_again_as: int = 0
    repaired_at: datetime | None = None
    repaired_by: str = ""

    @property
    def any(self) -> bool:
        return self != Aftermath()


def aftermath(change: Change) -> Aftermath:
    """At most one query, none where AFTERMATH was annotated."""
    row: Any = change
    if not hasattr(change, "repaired_at"):
        found = Change.objects.filter(pk=change.pk).annotate(**AFTERMATH).only("pk").first()
        row = found if found is not None else change
    repaired_at = getattr(row, "repaired_at", None)
    return Aftermath(
        rolled_back_by=getattr(row, "taken_back", 0) or 0,
        being_rolled_back_by=getattr(row, "going_back", 0) or 0,
        tried_again_as=getattr(row, "tried_again", 0) or 0,
        repaired_at=repaired_at,
        repaired_by=(getattr(row, "repaired_by", "") or "") if repaired_at else "",
    )


def half_way(change: Change) -> bool:
    """Whether it failed after its packages were touched."""
    return change.state == State.FAILED and past_the_point(change.step)


def not_started(change: Change) -> bool:
    """Whether it was refused, or failed, before anything on the server was changed."""
    return change.state == State.NOT_STARTED
