"""How pages write the states of a change."""

from __future__ import annotations

from django import template

from mpm.history import undecided
from mpm.models import Change, State

register = template.Library()

TONES = {
    State.REQUESTED: "blue",
    State.QUEUED: "blue",
    State.RUNNING: "blue",
    State.CANCELING: "amber",
    State.SUCCEEDED: "green",
    State.ROLLED_BACK: "amber",
    State.FAILED: "red",
    State.CANCELLED: "",
}


@register.inclusion_tag("mpm/_state.html")
def state(change: Change) -> dict[str, object]:
    """The state as a coloured word, and whether a change from outside still wants a decision."""
    tone = TONES.get(State(change.state), "")
    return {"change": change, "tone": tone, "undecided": undecided(change)}


@register.inclusion_tag("mpm/_way.html")
def way(change: Change) -> dict[str, object]:
    """``prefork → event``, or one name where the MPM stays."""
    same = (change.from_mpm, change.from_itk) == (change.to_mpm, change.to_itk)
    return {"change": change, "same": same}
