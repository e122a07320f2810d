"""External changes: which of them still need a decision."""

from __future__ import annotations

from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce

from mpm.changes.models.change import Origin
from mpm.models import Change, State
from mpm.servers.models import Server

TAKEN_BACK = Coalesce(
    Subquery(
        Change.objects.filter(rollback_of=OuterRef("pk"), state=State.SUCCEEDED)
        .order_by("-pk")
        .values("pk")[:1]
    ),
    0,
)
"""The change that rolled one back, 0 if none did. Annotated as ``taken_back`` in queries of
changes."""
HEAVY = ("plan", "transaction", "goal", "moved", "diagnosis", "interruption", "search", "choice")
"""What no list shows; a page of fifty plans would be megabytes."""


def undecided(change: Change) -> bool:
    """Whether it is external and was neither accepted nor rolled back. At most one query, none if
    ``taken_back`` was annotated."""
    if change.origin != Origin.OUTSIDE or change.adopted_at is not None:
        return False
    return not taken_back_by(change)


def taken_back_by(change: Change) -> int:
    """The number of the change that took this one back, 0 where none did. At most one query,
    none where ``taken_back`` was annotated."""
    known: int | None = getattr(change, "taken_back", None)
    if known is None:
        done = change.rolled_back_by.filter(state=State.SUCCEEDED).order_by("-pk")
        known = done.values_list("pk", flat=True).first() or 0
    return known


def undecided_of(server: Server) -> Change | None:
    """The latest change of ``server``, if it needs a decision. One query."""
    last = (
        Change.objects.filter(server_name=server.name, state=State.SUCCEEDED)
        .defer(*HEAVY)
        .annotate(taken_back=TAKEN_BACK)
        .order_by("-pk")
        .first()
    )
    return last if last is not None and undecided(last) else None
