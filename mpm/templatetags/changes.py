"""How pages write the states of a change."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from mpm.changes.aftermath import aftermath
from mpm.history.matches import found_elsewhere, marked
from mpm.history.outside import undecided
from mpm.history.story import author, label
from mpm.models import Change, State

register = template.Library()

TONES = {
    State.SCHEDULED: "blue",
    State.QUEUED: "blue",
    State.RUNNING: "blue",
    State.CANCELING: "amber",
    State.SUCCEEDED: "green",
    State.RESTORED: "amber",
    State.NOT_STARTED: "amber",
    State.FAILED: "red",
    State.CANCELED: "",
}


@register.inclusion_tag("mpm/_state.html")
def state(change: Change) -> dict[str, object]:
    """The state as a word with a color, and what became of the change where that is known."""
    tone, label = TONES.get(State(change.state), ""), change.get_state_display()
    known = hasattr(change, "repaired_at")
    return {
        "change": change,
        "tone": tone,
        "label": label,
        "undecided": undecided(change),
        "after": aftermath(change) if known else None,
    }


@register.filter
def requester(change: Change) -> str:
    """Who requested it, or made it outside the panel; in the reader's language where that has no
    name."""
    return author(change)


@register.filter(name="marked")
def marked_words(text: str, query: str) -> SafeString:
    """A text with the words that were looked for marked."""
    return marked(text, query)


@register.simple_tag
def found_in(change: Change, query: str) -> SafeString:
    """Where else in a change the words are that neither its reason nor its ticket has; "" where
    those have them."""
    visible = f"{change.reason} {change.ticket}"
    return marked(found_elsewhere(change.search, visible, query), query)


METHODS = {
    "overlap": gettext_lazy("Overlapping"),
    "graceful-stop": gettext_lazy("Stop and start"),
    "script": gettext_lazy("Script"),
    "start": gettext_lazy("Start of Apache, which wasn’t running"),
    "simulated": gettext_lazy("Simulated"),
}


@register.filter
def restart_method(code: str) -> str:
    """How Apache is replaced, in words."""
    return str(METHODS.get(code, code))


@register.inclusion_tag("mpm/_way.html")
def way(change: Change, *, capital: bool = False) -> dict[str, object]:
    """``prefork → event``, or ``packages of prefork`` if the MPM does not change. ``capital``:
    at the beginning of a title."""
    same = (change.from_mpm, change.from_itk) == (change.to_mpm, change.to_itk)
    mpm = label(change.to_mpm, change.to_itk)
    return {"change": change, "same": same, "mpm": mpm, "capital": capital}
