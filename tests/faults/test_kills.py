"""Whatever dies, and whenever: as before or as asked, never neither."""

from __future__ import annotations

import random

import pytest

from easyapache.ea4.protocol import Step
from lab.repository import Variant
from tests.faults.field import AS_PLANNED, BEFORE, Field
from tests.faults.report import RecordEnding
from tests.faults.test_matrix import unplug
from tests.faults.torture import VICTIMS, at_any_time, at_every_line, within_dnf
from tests.labs import MakeLab

EVENT = "ea-apache24-mod_mpm_event"
WORKER = "ea-apache24-mod_mpm_worker"

THERE = {
    *(f"step {step} {status}" for step in list(Step)[:7] for status in ("started", "done")),
    *("evidence before", "interruption", "evidence after", "outcome succeeded"),
}
"""Every line of the journal of a change that meets no fault."""

BACK = {
    *(f"step {step} {status}" for step in list(Step)[:3] for status in ("started", "done")),
    *("step packages started", "step packages failed"),
    *(f"step {step} {status}" for step in list(Step)[7:] for status in ("started", "done")),
    *("evidence before", "evidence undo", "outcome restored"),
}
"""And of one whose new packages cannot be installed. (httpd was not restarted: there is no
interruption to tell of.)"""

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_line_of_its_journal_a_change_ends_as_asked(
    make_lab: MakeLab, record_ending: RecordEnding, when: str
) -> None:
    ending, struck = at_every_line(Field(make_lab().up()), when)
    assert record_ending(ending).end == AS_PLANNED, ending
    assert set(struck) == THERE
    assert ending.kills == len(struck)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_line_of_its_undo_a_change_ends_as_before(
    make_lab: MakeLab, record_ending: RecordEnding, when: str
) -> None:
    broken = Variant(faults=((EVENT, "failpre"), (WORKER, "failpre")))
    ending, struck = at_every_line(Field(make_lab(variant=broken).up()), when)
    assert record_ending(ending).end == BEFORE, ending
    assert set(struck) >= BACK
    assert ending.kills == len(struck)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_line_a_rollback_from_the_kit_ends_as_asked(
    make_lab: MakeLab, record_ending: RecordEnding, when: str
) -> None:
    field = Field(make_lab().up())
    before = field.server.inspect()
    request = field.request("event")
    assert field.finish(field.folder(request)) == "succeeded"
    unplug(field.lab)
    ending, struck = at_every_line(field, when, field.inverse(request, before))
    assert record_ending(ending).end == AS_PLANNED, ending
    assert set(struck) >= THERE
    assert ending.kills == len(struck)


@pytest.mark.parametrize("victim", list(VICTIMS))
def test_killed_within_the_transaction_a_change_ends_as_asked_or_as_before(
    make_lab: MakeLab, record_ending: RecordEnding, victim: str
) -> None:
    field = Field(make_lab().up())
    for _ in range(4):
        ending = record_ending(within_dnf(field, victim))
        assert ending.end in (AS_PLANNED, BEFORE), ending


@pytest.mark.parametrize("number", range(3))
def test_a_power_cut_at_any_time_ends_as_asked_or_as_before(
    make_lab: MakeLab, record_ending: RecordEnding, number: int
) -> None:
    random.seed(number)
    field = Field(make_lab().up())
    for _ in range(2):
        ending = record_ending(at_any_time(field, "power cut at any time"))
        assert ending.end in (AS_PLANNED, BEFORE), ending
