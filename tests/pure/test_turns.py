"""Polls that find no place ask again one after the other."""

from __future__ import annotations

import pytest

from mpm.web.polling import Turns


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turns(clock: Clock) -> Turns:
    return Turns(0.1, soonest=2, latest=120, clock=clock)


def answer(turns: Turns, clock: Clock, seconds: float = 0.005, beside: int = 0) -> int:
    """Retry-After of an answer that took so long, ``beside`` so many others."""
    if beside:
        with turns.answering():
            return answer(turns, clock, seconds, beside - 1)
    with turns.answering() as turn:
        clock.now += seconds
        return turn()


def test_a_single_client_asks_again_soon(turns: Turns, clock: Clock) -> None:
    for _ in range(20):
        assert answer(turns, clock) == 2
        clock.now += 2


def test_a_crowd_that_arrives_at_once_is_spread_evenly(turns: Turns, clock: Clock) -> None:
    began = clock.now
    turn_of = [clock.now - began + answer(turns, clock) for _ in range(500)]
    assert turn_of == sorted(turn_of)
    # Five milliseconds each, in a tenth of the time: one in fifty.
    assert 24 < turn_of[-1] < 30
    per_second = [int(moment) for moment in turn_of]
    assert max(per_second.count(second) for second in set(per_second)) <= 25


def test_a_slow_machine_has_its_clients_ask_less_often(turns: Turns, clock: Clock) -> None:
    began = clock.now
    for _ in range(100):
        answer(turns, clock, 0.05)
    # Fifty milliseconds each: one in half a second, once that is known.
    assert 40 < clock.now - began + answer(turns, clock, 0.05) < 55


def test_answers_at_the_same_moment_share_the_time_they_take(turns: Turns, clock: Clock) -> None:
    for _ in range(100):
        answer(turns, clock, 0.04, beside=7)
    clock.now += 1000
    alone = [answer(turns, clock, 0.005) for _ in range(100)]
    assert alone[-1] <= 7


def test_nobody_is_sent_away_for_longer_than_two_minutes(turns: Turns, clock: Clock) -> None:
    assert max(answer(turns, clock) for _ in range(5000)) == 120


def test_turns_become_soon_again_when_the_crowd_has_gone(turns: Turns, clock: Clock) -> None:
    for _ in range(500):
        answer(turns, clock)
    clock.now += 60
    assert answer(turns, clock) == 2
