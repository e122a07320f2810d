"""Back to what was, whatever has become of the repository since."""

from __future__ import annotations

import pytest

from lab.repository import Variant
from tests.faults.field import AS_PLANNED, BEFORE, Field
from tests.faults.report import RecordEnding
from tests.faults.test_matrix import run, sentence, unplug
from tests.labs import MakeLab

pytestmark = pytest.mark.lab


def test_a_rollback_needs_no_repository(make_lab: MakeLab, record_ending: RecordEnding) -> None:
    field = Field(make_lab().up())
    before = field.server.inspect()
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    unplug(field.lab)
    back = field.inverse(request, before)
    ending = record_ending(run(field, "rolled back, repository gone", back))
    assert ending.end == AS_PLANNED, ending
    again = field.server.inspect()
    assert again.running == before.running
    assert again.names == before.names


def test_a_rollback_needs_no_repository_that_has_still_the_old_builds(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    """The mirror has moved on: the solver would now update all of Apache, and nobody asked it."""
    field = Field(make_lab().up())
    before = field.server.inspect()
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    field.lab.use_repository(Variant(release=2))
    ending = record_ending(
        run(field, "rolled back, newer builds only", field.inverse(request, before))
    )
    assert ending.end == AS_PLANNED, ending
    again = field.server.inspect()
    assert again.packages == before.packages
    assert again.running == before.running


def test_two_changes_are_rolled_back_at_once_without_a_repository(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    """What has to come is in the kit of the first, what leaves in those of both."""
    field = Field(make_lab().up())
    before = field.server.inspect()
    first = field.request("event")
    assert run(field, "first", first).end == AS_PLANNED
    assert run(field, "second", field.request("worker")).end == AS_PLANNED
    back = field.request("prefork", undo_of=first.change)
    unplug(field.lab)
    ending = record_ending(run(field, "two rolled back, repository gone", back))
    assert ending.end == AS_PLANNED, ending
    again = field.server.inspect()
    assert again.packages == before.packages
    assert again.running == before.running


def test_a_rollback_does_not_force_a_kit_on_what_came_since(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    """HTTP/2 came by hand, the kit's prefork cannot be with it, and nobody agreed to lose it."""
    field = Field(make_lab().up())
    before = field.server.inspect()
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    field.lab.dnf("-y", "install", "ea-apache24-mod_http2")
    unplug(field.lab)
    ending = record_ending(
        run(field, "kit does not fit, repository gone", field.inverse(request, before))
    )
    assert (ending.end, ending.outcome) == (BEFORE, "not_started"), ending
    assert "Nothing was changed" in sentence(field)
    assert "ea-apache24-mod_http2" in field.server.inspect().names


def test_a_rollback_brings_back_module_files_as_they_had_been_edited(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab().up())
    before = field.server.inspect()
    edited = field.config.server_root / "conf.modules.d/000_mod_mpm_prefork.conf"
    text = edited.read_text() + "# one of ours\n"
    edited.write_text(text)
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    assert not edited.exists()
    ending = record_ending(
        run(field, "rolled back, an edited file", field.inverse(request, before))
    )
    assert ending.end == AS_PLANNED, ending
    assert edited.read_text() == text
