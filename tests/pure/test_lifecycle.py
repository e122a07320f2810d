from __future__ import annotations

import pytest

from easyapache.ea4.protocol import Outcome, Step
from mpm.changes.lifecycle import (
    ACTIVE,
    CANCELABLE,
    STATES,
    TERMINAL,
    TRANSITIONS,
    IllegalMove,
    check,
    is_legal,
    may_cancel,
    past_the_point,
    why_not_cancel,
)


def test_every_state_is_active_or_the_end() -> None:
    assert set(TRANSITIONS) == set(STATES) == set(ACTIVE) | set(TERMINAL)
    assert not set(ACTIVE) & set(TERMINAL)
    assert set(TERMINAL) == {outcome.value for outcome in Outcome}


@pytest.mark.parametrize("state", TERMINAL)
def test_nothing_follows_the_end(state: str) -> None:
    assert not any(is_legal(state, to) for to in STATES)
    with pytest.raises(IllegalMove, match=f"{state} cannot become queued"):
        check(state, "queued")


@pytest.mark.parametrize("state", ACTIVE)
def test_every_active_state_can_reach_an_end(state: str) -> None:
    reached: set[str] = set()
    waiting = [state]
    while waiting:
        for to in TRANSITIONS[waiting.pop()] - reached:
            reached.add(to)
            waiting.append(to)
    assert set(TERMINAL) <= reached
    assert state not in TRANSITIONS[state]


def test_only_a_change_that_began_can_succeed() -> None:
    assert {state for state in STATES if is_legal(state, "succeeded")} == {"running", "canceling"}


def test_an_unknown_state_goes_nowhere() -> None:
    assert not is_legal("lost", "queued")
    assert not is_legal("queued", "lost")


def test_a_change_can_be_canceled_until_packages_are_touched() -> None:
    assert may_cancel("running", "rehearsal")
    assert may_cancel("scheduled")
    assert not may_cancel("running", "packages")
    assert not may_cancel("canceling", "download")
    assert [step.value for step in Step if not past_the_point(step)] == [
        "preflight",
        "download",
        "rehearsal",
    ]


def test_the_button_that_is_off_says_why() -> None:
    for state in STATES:
        for step in ("", *Step):
            assert bool(why_not_cancel(state, step)) is not may_cancel(state, step)
    assert {"scheduled", "queued", "running"} == CANCELABLE
