"""A source of server health: incomplete changes.

A change is incomplete when it failed after its packages were touched, and could not be undone. It
remains so until an administrator undoes it (by the repair in Diagnostics, or by a later change that
succeeds), or the agent reports a better end.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Value, When
from django.db.models.expressions import Combinable

from easyapache.ea4.conditions.condition import TAKE_BACK
from easyapache.ea4.protocol import Step
from easyapache.ea4.sentences import Sentence
from mpm.changes.lifecycle import past_the_point
from mpm.changes.models.change import Origin
from mpm.models import Change, Event, State
from mpm.servers.health import INCOMPLETE, Problem, Source, register
from mpm.servers.health import State as HealthState

REPAIRED = "server.repaired"
LATE_OUTCOME = "change.late_outcome"
CLOSED_BY_HAND = "recover"
"""What decided the end of a change that was closed without the agent's word."""
SETTLED_LATE = (
    *(state.value for state in (State.SUCCEEDED, State.RESTORED, State.NOT_STARTED)),
    State.CANCELED.value,
    "rolled_back",
    "cancelled",
)
"""The last two are codes of earlier versions, as sealed."""
PAST_THE_POINT = tuple(step.value for step in Step if past_the_point(step.value))
_TOUCHED = Q(state=State.SUCCEEDED) | Q(state=State.FAILED, step__in=PAST_THE_POINT)


def incomplete(server_name: str) -> Combinable:
    """The number of the incomplete change of a server, or NULL: an expression for a query whose
    rows have the server's name at ``server_name``.

    Only the last change that touched packages is looked at, along the index of the server.
    """
    undone = Event.objects.filter(
        server_name=OuterRef("server_name"),
        kind=REPAIRED,
        at__gte=OuterRef("finished_at"),
        data__action=TAKE_BACK,
    )
    settled = Event.objects.filter(
        change=OuterRef("pk"), kind=LATE_OUTCOME, data__outcome__in=SETTLED_LATE
    )
    # A change closed manually is settled, until the agent reports how it ended.
    failed_late = Event.objects.filter(
        change=OuterRef("pk"), kind=LATE_OUTCOME, data__outcome=State.FAILED.value
    )
    known = ~Q(decided_by=CLOSED_BY_HAND) | Exists(failed_late)
    still = Q(state=State.FAILED) & known & ~Exists(undone) & ~Exists(settled)
    last = (
        Change.objects.filter(_TOUCHED, server_name=OuterRef(server_name))
        .exclude(origin=Origin.OUTSIDE)
        .annotate(still=Case(When(still, then=F("pk")), default=Value(None)))
        .order_by("-pk")
    )
    return Subquery(last.values("still")[:1])


def _judged(number: Any) -> Problem | None:
    if number is None:
        return None
    sentence = Sentence(
        "Change #{number} didn't finish and couldn't be undone. Apache may be down.", number=number
    )
    return Problem(INCOMPLETE, HealthState.CRITICAL, sentence, change=number)


def register_health() -> None:
    register(Source(INCOMPLETE, incomplete, _judged))
