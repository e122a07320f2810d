"""Whatever dies, and whenever: as before or as asked, never neither."""

from __future__ import annotations

import random

import pytest

from easyapache.lab.repository import Variant
from tests.faults.field import ASKED, BEFORE, Field
from tests.faults.report import Tell
from tests.faults.torture import VICTIMS, at_any_time, boundaries, within_dnf
from tests.labs import MakeLab

EVENT = "ea-apache24-mod_mpm_event"
WORKER = "ea-apache24-mod_mpm_worker"

LINES = 18
"""Lines in the journal of one change without a fault."""

pytestmark = pytest.mark.lab


def _at_every_line(field: Field, told: Tell, fault: str, end: str) -> None:
    """Two lines written at once are seen as one: change after change, until there have been as
    many kills as one journal has lines."""
    kills = 0
    while kills < LINES:
        for ending in boundaries(field, fault):
            assert told(ending).end == end, ending
            assert ending.kills > LINES // 2
            kills += ending.kills


def test_killed_at_every_line_of_its_journal_a_change_ends_as_asked(
    make_lab: MakeLab, told: Tell
) -> None:
    _at_every_line(Field(make_lab().up()), told, "every line of the journal", ASKED)


def test_killed_at_every_line_of_its_undo_a_change_ends_as_before(
    make_lab: MakeLab, told: Tell
) -> None:
    broken = Variant(faults=((EVENT, "failpre"), (WORKER, "failpre")))
    field = Field(make_lab(variant=broken).up())
    _at_every_line(field, told, "every line of the journal, %pre fails", BEFORE)


@pytest.mark.parametrize("victim", list(VICTIMS))
def test_killed_within_the_transaction_a_change_ends_as_asked_or_as_before(
    make_lab: MakeLab, told: Tell, victim: str
) -> None:
    field = Field(make_lab().up())
    for _ in range(4):
        ending = told(within_dnf(field, victim))
        assert ending.end in (ASKED, BEFORE), ending


@pytest.mark.parametrize("number", range(3))
def test_a_power_cut_at_any_time_ends_as_asked_or_as_before(
    make_lab: MakeLab, told: Tell, number: int
) -> None:
    random.seed(number)
    field = Field(make_lab().up())
    for _ in range(2):
        ending = told(at_any_time(field, "power cut at any time"))
        assert ending.end in (ASKED, BEFORE), ending
