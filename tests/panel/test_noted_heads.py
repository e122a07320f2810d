"""What a chain can no longer tell about itself, the panel's own chain tells."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from mpm.history.export import events_as_json
from mpm.history.models.guards import install_guards, remove_guards
from mpm.history.seal import HEADS, seal
from mpm.history.services import heads
from mpm.history.services.heads import note_heads
from mpm.history.services.retention import prune
from mpm.history.verification.database import verify_database
from mpm.history.verification.export import verify_export
from mpm.models import Chain, Change, Event
from mpm.servers.models import Server
from tests.panel.reports import PREFORK, carried_out, sql

pytestmark = pytest.mark.django_db


def around_the_guards(*statements: str) -> None:
    remove_guards(connection)
    for statement in statements:
        sql(statement)
    install_guards(connection)


def faults_of_both(tmp_path: Path) -> tuple[list[str], list[str]]:
    """Of the database, and of an export that was made of it."""
    export = tmp_path / "export.json"
    export.write_text("".join(events_as_json()))
    both = verify_database().faults, verify_export(export).faults
    return [fault.message for fault in both[0]], [fault.message for fault in both[1]]


def test_a_server_whose_whole_history_was_deleted_is_missed(
    story_of_two: list[Change], tmp_path: Path
) -> None:
    note_heads(timezone.now())
    assert faults_of_both(tmp_path) == ([], [])
    count = Event.objects.filter(server_name="web02").count()
    around_the_guards(
        "DELETE FROM mpm_event WHERE server_name = 'web02'",
        "DELETE FROM mpm_chain WHERE server_name = 'web02'",
        *(
            f"DELETE FROM {table} WHERE change_id IN "  # noqa: S608
            "(SELECT id FROM mpm_change WHERE server_name = 'web02')"
            for table in ("mpm_report", "mpm_logchunk")
        ),
        "DELETE FROM mpm_change WHERE server_name = 'web02'",
    )
    missed = [f"The panel noted {count} events of this chain, and none is there."]
    assert faults_of_both(tmp_path) == (missed, missed)


def test_a_newest_event_that_was_cut_off_is_missed_though_the_head_was_put_back(
    story_of_two: list[Change], tmp_path: Path
) -> None:
    note_heads(timezone.now())
    newest = Event.objects.filter(server_name="web02").order_by("seq").last()
    assert newest is not None
    around_the_guards(
        f"DELETE FROM mpm_event WHERE id = {newest.pk}",  # noqa: S608
        f"UPDATE mpm_chain SET seq = {newest.seq - 1}, hash = '{newest.previous_hash}' "  # noqa: S608
        "WHERE server_name = 'web02'",
    )
    missed = f"The panel noted {newest.seq} events of this chain, and {newest.seq - 1} are there."
    assert all(missed in faults for faults in faults_of_both(tmp_path))


def test_a_chain_that_was_sealed_anew_is_not_the_one_that_was_noted(
    story_of_two: list[Change], tmp_path: Path
) -> None:
    """Its own seals are all right, and so is its head."""
    note_heads(timezone.now())
    newest = Event.objects.filter(server_name="web02").order_by("seq").last()
    assert newest is not None
    newest.actor_name = "somebody else"
    sealed = seal(newest.previous_hash, newest.sealed)
    around_the_guards(
        f"UPDATE mpm_event SET actor_name = 'somebody else', hash = '{sealed}' "  # noqa: S608
        f"WHERE id = {newest.pk}",
        f"UPDATE mpm_chain SET hash = '{sealed}' WHERE server_name = 'web02'",  # noqa: S608
    )
    for faults in faults_of_both(tmp_path):
        assert "It is not the event that the panel noted." in faults


def test_only_chains_that_have_grown_are_noted_and_each_of_them(
    story_of_two: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "AT_ONCE", 1)
    now = timezone.now()
    assert note_heads(now) == 2
    assert note_heads(now) == 0
    carried_out(Server.objects.get(name="web02"), PREFORK)
    assert note_heads(now + timedelta(hours=1)) == 1
    noted = [event.data["heads"] for event in Event.objects.filter(kind=HEADS).order_by("pk")]
    assert [[name for name, _, _ in one] for one in noted] == [["web01"], ["web02"], ["web02"]]
    assert Chain.objects.get(server_name="").seq >= 3
    assert verify_database().faults == ()


def test_notes_are_repeated_before_they_are_too_old_and_survive_pruning(
    story_of_two: list[Change], tmp_path: Path
) -> None:
    now = timezone.now()
    note_heads(now)
    assert note_heads(now + timedelta(days=8)) == 2
    later = now + timedelta(days=800)
    prune(later, 365)
    note_heads(later)
    assert Event.objects.filter(kind=HEADS).exists()
    assert faults_of_both(tmp_path) == ([], [])
