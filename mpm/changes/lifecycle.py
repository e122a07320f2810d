"""The states of a change and the ways between them.

::

    requested ──► queued ──► running ──► succeeded
        │           │           │  ├───► rolled_back   it failed and undid itself
        │           │           │  └───► failed        it failed, and could not undo everything
        │           │           ▼
        │           ├──────► canceling ──► cancelled   nothing was changed
        └──► cancelled ◄──┘     │
                                └──► running, succeeded, rolled_back, failed
                                     the cancel came too late

* **requested**: waits for its window or for approval. Nothing was sent to the server.
* **queued**: is due; the agent has not said that it has begun. It may be cancelled outright
  while no message can have reached an agent, and else by asking the agent.
* **running**: the agent has begun. It can be asked to cancel until the packages are touched.
* **canceling**: the agent was asked. It decides: before the point of no return the answer is
  cancelled, afterwards the change goes on as if nobody had asked.
* **succeeded**, **rolled_back**, **failed**, **cancelled**: the end. No state follows.

A change that the agent refuses before its first step (the server has moved, an obstacle)
fails from queued or running alike, since reports may arrive together. Whoever moves a change
does so by one UPDATE that names the state it expects.
"""

from __future__ import annotations

from easyapache.ea4.protocol import POINT_OF_NO_RETURN, Outcome, Step

REQUESTED, QUEUED, RUNNING, CANCELING = "requested", "queued", "running", "canceling"
SUCCEEDED, ROLLED_BACK = Outcome.SUCCEEDED.value, Outcome.ROLLED_BACK.value
FAILED, CANCELLED = Outcome.FAILED.value, Outcome.CANCELLED.value

ACTIVE = (REQUESTED, QUEUED, RUNNING, CANCELING)
"""A server has at most one change in one of these."""
TERMINAL = (SUCCEEDED, ROLLED_BACK, FAILED, CANCELLED)
STATES = (*ACTIVE, *TERMINAL)

TRANSITIONS: dict[str, frozenset[str]] = {
    REQUESTED: frozenset({QUEUED, CANCELLED, FAILED}),
    QUEUED: frozenset({RUNNING, CANCELING, CANCELLED, FAILED}),
    RUNNING: frozenset({CANCELING, SUCCEEDED, ROLLED_BACK, FAILED, CANCELLED}),
    CANCELING: frozenset({RUNNING, SUCCEEDED, ROLLED_BACK, FAILED, CANCELLED}),
    SUCCEEDED: frozenset(),
    ROLLED_BACK: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
}
CANCELLABLE = frozenset({REQUESTED, QUEUED, RUNNING})

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


def may_cancel(state: str, step: str = "") -> bool:
    """Whether asking for a cancel still makes sense."""
    return state in CANCELLABLE and not past_the_point(step)


def why_not_cancel(state: str, step: str = "") -> str:
    """Why the button is off, for the person who looks for it; empty when it is on."""
    if state == CANCELING:
        return "The server has been asked to stop; its answer is on the way."
    if state in TERMINAL:
        return "This change has ended."
    if past_the_point(step):
        return (
            "The packages are being changed. Stopping now would leave Apache without an MPM; "
            "if a later step fails, the change undoes itself."
        )
    return ""
