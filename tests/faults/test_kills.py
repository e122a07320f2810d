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

pytestmark = pytest.mark.lab


def test_killed_at_every_line_of_its_journal_a_change_ends_as_asked(
    make_lab: MakeLab, told: Tell
) -> None:
    field = Field(make_lab().up())
    for ending in boundaries(field, "every line of the journal"):
        assert told(ending).end == ASKED, ending
        assert ending.kills >= 14


def test_killed_at_every_line_of_its_undo_a_change_ends_as_before(
    make_lab: MakeLab, told: Tell
) -> None:
    broken = Variant(faults=((EVENT, "failpre"), (WORKER, "failpre")))
    field = Field(make_lab(variant=broken).up())
    for ending in boundaries(field, "every line of the journal, %pre fails"):
        assert told(ending).end == BEFORE, ending
        assert ending.kills >= 14


@pytest.mark.parametrize("victim", list(VICTIMS))
def test_killed_within_the_transaction_a_change_ends_as_asked_or_as_before(
    make_lab: MakeLab, told: Tell, victim: str
) -> None:
    field = Field(make_lab().up())
    for _ in range(5):
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
