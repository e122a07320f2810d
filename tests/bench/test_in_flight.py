"""Requests under way are told apart: those that came whole, and those that were cut."""

from __future__ import annotations

import time

import pytest

from bench.in_flight import DOWNLOADS, SCRIPTS, InFlight
from bench.switches import JOURNEY, _serves
from lab.server import Lab

pytestmark = pytest.mark.lab


def test_nothing_is_cut_when_nothing_happens(lab: Lab) -> None:
    with InFlight(lab) as under_way:
        assert under_way.finish() == 0


def test_a_hard_stop_cuts_what_is_under_way(lab: Lab) -> None:
    with InFlight(lab) as under_way:
        lab.httpd("-k", "stop")
        while lab.pid is not None:  # until then a script that ends is still answered with
            time.sleep(0.01)
        assert under_way.finish() == SCRIPTS + DOWNLOADS


def test_a_server_serves_an_mpm_only_when_httpd_itself_says_so(lab: Lab) -> None:
    assert _serves(lab, "prefork", 0)
    assert not _serves(lab, "event", 0)
    lab.down()
    assert not _serves(lab, "prefork", 0)


def test_the_journey_is_six_switches_and_ends_where_it_began() -> None:
    assert len(JOURNEY) == 7
    assert JOURNEY[0] == JOURNEY[-1] == "prefork"
