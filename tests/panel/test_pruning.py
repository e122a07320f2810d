"""Old history goes in small steps, and what stays still proves itself."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from bench import fill_history
from mpm.history.export import events_as_json
from mpm.history.models.guards import install_guards, remove_guards
from mpm.history.seal import PRUNED
from mpm.history.services import retention
from mpm.history.services.events import append
from mpm.history.services.retention import prune
from mpm.history.verification.database import verify_database
from mpm.history.verification.export import verify_export
from mpm.models import Change, Event, LogChunk, PruningPermit, Report
from mpm.servers.models import Server
from tests.panel.reports import EVENT, carried_out


@pytest.mark.django_db
def test_pruning_keeps_the_first_and_the_last_and_a_chain_that_proves_itself(
    story_of_two: list[Change], tmp_path: Path
) -> None:
    web01 = [change.pk for change in story_of_two[:6]]
    later = timezone.now() + timedelta(days=400)
    assert prune(later, 0).events == 0
    assert prune(later, 500).events == 0
    pruned = prune(later, 365)
    assert pruned.changes == 4
    assert not pruned.more
    left = set(Change.objects.values_list("pk", flat=True))
    assert left == {web01[0], web01[-1], story_of_two[-1].pk}
    assert set(Report.objects.values_list("change_id", flat=True)) <= left
    assert set(LogChunk.objects.values_list("change_id", flat=True)) <= left
    assert verify_database().faults == ()
    assert prune(later, 365).events == 0
    # Life goes on, and the next pruning leaves a gap beside a gap.
    server = Server.objects.get(name="web01")
    carried_out(server, EVENT)
    assert prune(later + timedelta(days=800), 365).changes == 1
    assert verify_database().faults == ()
    export = tmp_path / "export.json"
    export.write_text("".join(events_as_json()))
    assert verify_export(export).faults == ()


@pytest.mark.django_db
def test_a_pruning_that_nobody_wrote_down_is_a_fault(story_of_two: list[Change]) -> None:
    prune(timezone.now() + timedelta(days=400), 365)
    remove_guards(connection)
    Event.objects.filter(kind=PRUNED, server_name="web01").prune()
    install_guards(connection)
    assert verify_database().faults


NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=5 * 365)


@pytest.fixture
def long_history(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``long_history(changes)`` of two servers, each change with two reports and a log."""
    monkeypatch.setattr(fill_history, "SERVERS", 2)
    monkeypatch.setattr(retention, "STEP", 100)

    def make(count: int) -> None:
        fill_history.fill(count, NOW)
        pks = range(1, count + 1)
        Report.objects.bulk_create(
            Report(change_id=pk, seq=seq, at=NOW, kind="step", data={"detail": "x" * 500})
            for pk in pks
            for seq in (1, 2)
        )
        LogChunk.objects.bulk_create(
            LogChunk(change_id=pk, offset=0, size=1000, data=b"x" * 1000, received_at=NOW)
            for pk in pks
        )

    return make


@pytest.mark.django_db
def test_a_long_history_goes_in_small_steps_that_can_be_stopped_anywhere(
    long_history: Callable[[int], None], django_assert_max_num_queries: Callable[..., Any]
) -> None:
    long_history(700)
    calls, events, gone = 0, 0, 0
    while True:
        with django_assert_max_num_queries(400):
            pruned = prune(LATER, 365, steps=2)
        calls, events, gone = calls + 1, events + pruned.events, gone + pruned.changes
        assert pruned.events <= 2 * retention.STEP
        assert verify_database().faults == (), "what is left after each call proves itself"
        if not pruned.more:
            break
    assert calls > 3
    # The first and the last change of each server stay.
    assert (Change.objects.count(), gone) == (4, 696)
    assert events == 2 * 696
    told = Event.objects.filter(kind=PRUNED).values_list("data", flat=True)
    for data in told:
        assert sum(last - first + 1 for first, last, *_ in data["gaps"]) <= retention.STEP


@pytest.mark.django_db
def test_pruning_leaves_nothing_of_what_it_took(long_history: Callable[[int], None]) -> None:
    long_history(300)
    prune(LATER, 365)
    left = set(Change.objects.values_list("pk", flat=True))
    assert len(left) == 4
    for model, rows in ((Report, 2), (LogChunk, 1)):
        kept = list(model.objects.values_list("change_id", flat=True))
        assert sorted(kept) == sorted([*left] * rows)
    assert set(Event.objects.exclude(kind=PRUNED).values_list("change_id", flat=True)) == left
    assert not PruningPermit.objects.exists()
    assert set(Change.objects.values_list("rollback_of", flat=True)) <= {*left, None}


def peak_of(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.measures_memory
@pytest.mark.django_db
def test_pruning_needs_no_more_memory_for_a_longer_history(
    long_history: Callable[[int], None],
) -> None:
    long_history(3000)
    prune(NOW, fill_history.SPAN.days - 30)  # everything is imported now
    before = Event.objects.count()
    peak = peak_of(lambda: prune(NOW, 10))
    assert before - Event.objects.count() > 50 * retention.STEP
    # A step of a hundred events, and the statements that SQLite's driver keeps prepared.
    assert peak < 500_000


@pytest.mark.django_db
def test_events_of_the_panel_alone_are_pruned_too(story_of_two: list[Change]) -> None:
    """With no change old enough, there is no row of one to delete."""
    now = timezone.now()
    with transaction.atomic():
        append("token.created", now - timedelta(days=400))
    assert prune(now, 365).events == 1
    assert verify_database().faults == ()
