"""The states of a change and the ways between them.

::

    scheduled ──► queued ──► running ──► succeeded
        │           │           │  ├───► restored      it failed, and the previous state is back
        │           │           │  ├───► not_started   it failed before anything was changed
        │           │           │  └───► failed        it failed, and could not undo everything
        │           │           ▼
        │           ├──────► canceling ──► canceled    nothing was changed
        └──► canceled ◄──┘     │
                                └──► running, succeeded, restored, not_started, failed
                                     the cancel came too late

* **scheduled**: waits for its window. Nothing was sent to the server. (A change that is due at
  once is queued from the start.)
* **queued**: is due; the agent has not said that it has begun. It may be canceled outright
  while no message can have reached an agent, and else by asking the agent.
* **running**: the agent has begun. It can be asked to cancel until the packages are touched.
* **canceling**: the agent was asked. It decides: before the point of no return the answer is
  canceled, afterwards the change goes on as if nobody had asked.
* **succeeded**, **restored**, **not_started**, **failed**, **canceled**: the end. No state
  follows. *failed* needs attention: what the server is now is not what it was, or is unknown.

A change that the agent refuses before its first step (the server has moved, an obstacle)
fails from queued or running alike, since reports may arrive together. Whoever moves a change
does so by one UPDATE that names the state it expects.
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
"""What decided the end of a change (``decided_by``) of whose server nobody can say that nothing was
changed: closed by hand, the agent lost its spool, more packages than confirmed were changed."""

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
    """The state in which a change ends whose agent reports ``outcome`` after ``step``.

    Agents that do not know *not_started* yet say *failed* for it. None is believed that says
    nothing was changed where packages may have been touched.
    """
    if past_the_point(step):
        return FAILED if outcome == NOT_STARTED else outcome
    return NOT_STARTED if outcome == FAILED and decided_by not in UNKNOWN_ENDS else outcome


def may_cancel(state: str, step: str = "") -> bool:
    """Whether asking for a cancel still makes sense."""
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
