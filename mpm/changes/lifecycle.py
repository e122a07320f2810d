"""The states of a change and the transitions between them.

::

    scheduled ──► queued ──► running ──► succeeded │ │ │ ├───► restored it failed, and the previous
    state is restored │ │ │ ├───► not_started it failed before anything was changed │ │ │ └───►
    failed it failed, and could not undo everything │ │ ▼ │ ├──────► canceling ──► canceled nothing
    was changed └──► canceled ◄──┘ │ └──► running, succeeded, restored, not_started, failed the
    cancel came too late

* **scheduled**: waits for its window. Nothing was sent to the server. (A change without a window is
  queued at once.)
* **queued**: is due; the agent has not reported its start. It is canceled at once if no message can
  have reached the agent, else by the agent.
* **running**: the agent has started. It can be canceled until packages are changed.
* **canceling**: a cancel was sent to the agent. Before the point of no return it cancels the
  change, afterwards the change continues.
* **succeeded**, **restored**, **not_started**, **failed**, **canceled**: the end. No state follows.
  *failed* needs attention: the server is not in its previous state, or its state is unknown.

A change that the agent refuses before its first step (the server changed, a blocker) ends from
queued or running, since reports may arrive together. Every transition is one UPDATE with the
expected state.
"""

from __future__ import annotations

from easyapache.ea4.protocol import POINT_OF_NO_RETURN, Outcome, Step

SCHEDULED, QUEUED, RUNNING, CANCELING = "scheduled", "queued", "running", "canceling"
SUCCEEDED, RESTORED = Outcome.SUCCEEDED.value, Outcome.RESTORED.value
NOT_STARTED = Outcome.NOT_STARTED.value
FAILED, CANCELED = Outcome.FAILED.value, Outcome.CANCELED.value

ACTIVE = (SCHEDULED, QUEUED, RUNNING, CANCELING)
"""A server has at most one change in one of these."""
TERMINAL = (SUCCEEDED, RESTORED, NOT_STARTED, FAILED, CANCELED)
STATES = (*ACTIVE, *TERMINAL)

TRANSITIONS: dict[str, frozenset[str]] = {
    SCHEDULED: frozenset({QUEUED, CANCELED, NOT_STARTED, FAILED}),
    QUEUED: frozenset({RUNNING, CANCELING, CANCELED, NOT_STARTED, FAILED}),
    RUNNING: frozenset({CANCELING, *TERMINAL}),
    CANCELING: frozenset({RUNNING, *TERMINAL}),
    SUCCEEDED: frozenset(),
    RESTORED: frozenset(),
    NOT_STARTED: frozenset(),
    FAILED: frozenset(),
    CANCELED: frozenset(),
}
CANCELABLE = frozenset({SCHEDULED, QUEUED, RUNNING})

UNKNOWN_ENDS = ("recover", "spool", "confirmed")
"""Values of ``decided_by`` after which the server may have been changed: closed manually, the agent
lost its spool, more packages than confirmed were changed."""

_STEPS = tuple(Step)


class IllegalMove(ValueError):
    """A transition that does not exist."""


def is_legal(state: str, to: str) -> bool:
    """Whether a change in ``state`` may ever be moved to ``to``."""
    return to in TRANSITIONS.get(state, frozenset())


def check(state: str, to: str) -> None:
    """Raises IllegalMove with a sentence when ``state`` cannot become ``to``."""
    if not is_legal(state, to):
        raise IllegalMove(f"A change that is {state} cannot become {to}.")


def past_the_point(step: str) -> bool:
    """Whether packages may have been touched at ``step``; an empty step is before the first."""
    if not step:
        return False
    return _STEPS.index(Step(step)) >= _STEPS.index(POINT_OF_NO_RETURN)


def end_of(outcome: str, step: str, decided_by: str) -> str:
    """The final state of a change whose agent reports ``outcome`` after ``step``.

    Older agents report *failed* for *not_started*. A report that nothing was changed is not
    accepted after a step that may have changed packages.
    """
    if past_the_point(step):
        return FAILED if outcome == NOT_STARTED else outcome
    return NOT_STARTED if outcome == FAILED and decided_by not in UNKNOWN_ENDS else outcome


def may_cancel(state: str, step: str = "") -> bool:
    """Whether a cancel may still be requested."""
    return state in CANCELABLE and not past_the_point(step)


def why_not_cancel(state: str, step: str = "") -> str:
    """Why the button is off, for the person who looks for it; empty when it is on."""
    if state == CANCELING:
        return "Cancel requested. Waiting for the server."
    if state in TERMINAL:
        return "This change has finished."
    if past_the_point(step):
        return (
            "Too late to cancel: packages are being changed. If a later step fails, the previous "
            "state is restored automatically."
        )
    return ""
