"""On a server with cPanel's package hooks httpd is started anew once per change, never twice and
never by a reload."""

from __future__ import annotations

import time

import pytest

from lab.hooks import NOTES
from lab.repository import Variant
from tests.faults.field import AS_PLANNED, BEFORE, Field
from tests.faults.report import RecordEnding
from tests.faults.test_matrix import EVENT, drop_in, run, unplug
from tests.labs import MakeLab

pytestmark = pytest.mark.lab


def starts(field: Field) -> int:
    """Starts and reloads that httpd has noted so far. It answers before it has noted its own."""
    parent, end = field.server.httpd.parent(), time.monotonic() + 30
    assert parent is not None
    while True:
        lines = field.config.error_log.read_text().splitlines()
        noted = [line for line in lines if "resuming normal operations" in line]
        if any(f"[pid {parent.pid}:" in line for line in noted):
            return len(noted)
        assert time.monotonic() < end, lines
        time.sleep(0.05)


def test_a_change_and_its_rollback_restart_httpd_once_each(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab(hooks=True).up())
    before, began = field.server.inspect(), starts(field)
    request = field.request("event")
    assert record_ending(run(field, "with cPanel's hooks", request)).end == AS_PLANNED
    assert starts(field) == began + 1
    unplug(field.lab)
    back = field.inverse(request, before)
    assert (
        record_ending(run(field, "with cPanel's hooks, rolled back from the kit", back)).end
        == AS_PLANNED
    )
    assert starts(field) == began + 2
    notes = (field.lab.root / NOTES).read_text().splitlines()
    assert [line.split()[0] for line in notes] == [
        "multi_pkgs/pre_transaction/ea-__WILDCARD__/001-ensure-nobody",
        "pkgs/ea-apache24-mod_mpm_event/transaction/100-event",
        "transaction/900-any",
    ] * 2


def test_a_change_that_is_undone_before_its_restart_restarts_nothing(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab(hooks=True, variant=Variant(faults=((EVENT, "failpre"),))).up())
    began = starts(field)
    assert record_ending(run(field, "with cPanel's hooks, %pre fails")).end == BEFORE
    assert starts(field) == began


def test_a_change_whose_sites_differ_is_undone_with_one_restart_more(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab(hooks=True).up())
    static = field.lab.root / "var/www/static"
    drop_in(
        field.lab,
        f'<IfModule mpm_event_module>\n<Directory "{static}">\nRequire all denied\n'
        "</Directory>\n</IfModule>\n",
    )
    began = starts(field)
    ending = record_ending(run(field, "with cPanel's hooks, a site differs"))
    assert (ending.end, ending.outcome) == (BEFORE, "restored"), ending
    assert starts(field) == began + 2
