"""History is written once: the rows refuse, the database refuses, and the seal tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from easyapache.models import Server
from mpm import services
from mpm.catalog import Choice
from mpm.history import events_as_json
from mpm.models import Change, Event, HistoryIsWrittenOnce, LogChunk, Report
from mpm.models.guards import install_guards, missing_guards, remove_guards
from mpm.seal import FIELDS, PRUNED, check_chain, seal
from mpm.verification import BadExport, verify_database, verify_export
from tests.panel.told import carried_out, piece

EVENT, PREFORK = Choice.parse("event"), Choice.parse("prefork")


@pytest.fixture
def story_of_two(known_server: Callable[..., Server]) -> list[Change]:
    server, other = known_server("web01"), known_server("web02")
    made = []
    for _ in range(3):
        made.append(carried_out(server, EVENT, reason="there"))
        services.record_log("web01", made[-1].uuid, 0, piece(b"log\n"))
        made.append(carried_out(server, PREFORK, reason="and back"))
    made.append(carried_out(other, EVENT))
    return made


def sql(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.django_db
def test_untouched_history_proves_itself(story_of_two: list[Change]) -> None:
    verdict = verify_database()
    assert verdict.faults == ()
    assert verdict.chains == 2
    assert verdict.events == Event.objects.count()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE mpm_event SET actor_name = 'somebody else'",
        "UPDATE mpm_event SET data = '{}' WHERE seq = 1",
        "DELETE FROM mpm_event",
        "UPDATE mpm_change SET actor_name = 'somebody else'",
        "UPDATE mpm_change SET reason = 'another', ticket = 'T'",
        "UPDATE mpm_change SET plan = '{}'",
        "UPDATE mpm_change SET \"transaction\" = '{}', undo_of = 'x'",
        "UPDATE mpm_change SET state = 'failed'",
        "UPDATE mpm_change SET sentence = 'all was well'",
        "DELETE FROM mpm_change",
    ],
)
def test_the_database_refuses_to_alter_history(story_of_two: list[Change], statement: str) -> None:
    with pytest.raises(DatabaseError):
        sql(statement)
    assert verify_database().faults == ()


@pytest.mark.django_db
def test_rows_refuse_to_be_altered_before_the_database_has_to(story_of_two: list[Change]) -> None:
    event = Event.objects.order_by("pk")[0]
    for attempt in (
        event.save,
        event.delete,
        lambda: Event.objects.all().delete(),
        lambda: Event.objects.update(kind="x"),
    ):
        with pytest.raises(HistoryIsWrittenOnce):
            attempt()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE mpm_event SET actor_name = 'x' WHERE seq = 2",
        "UPDATE mpm_event SET at = '2020-01-01 00:00:00+00' WHERE seq = 2",
        "DELETE FROM mpm_event WHERE seq = 2 AND server_name = 'web01'",
        "DELETE FROM mpm_event WHERE id = (SELECT MAX(id) FROM mpm_event)",
        "UPDATE mpm_change SET reason = 'x' WHERE id = (SELECT MIN(id) FROM mpm_change)",
        "UPDATE mpm_change SET state = 'failed' WHERE id = (SELECT MIN(id) FROM mpm_change)",
        "UPDATE mpm_change SET actor_name = 'x' WHERE id = (SELECT MAX(id) FROM mpm_change)",
        "UPDATE mpm_change SET plan = '{}' WHERE id = (SELECT MIN(id) FROM mpm_change)",
    ],
)
def test_whoever_goes_around_the_guards_is_told_on(
    story_of_two: list[Change], statement: str
) -> None:
    remove_guards(connection)
    assert len(missing_guards(connection)) == 5
    sql(statement)
    install_guards(connection)
    assert missing_guards(connection) == []
    assert verify_database().faults


@pytest.mark.django_db
def test_missing_guards_are_a_fault_of_their_own(story_of_two: list[Change]) -> None:
    remove_guards(connection)
    assert any("trigger" in fault.message for fault in verify_database().faults)
    install_guards(connection)


@pytest.mark.django_db
def test_an_export_is_verified_without_the_database(
    story_of_two: list[Change], tmp_path: Path
) -> None:
    export = tmp_path / "export.json"
    export.write_text("".join(events_as_json()))
    assert len(json.loads(export.read_text())) == Event.objects.count()
    assert verify_export(export).faults == ()
    export.write_text("".join(events_as_json("web01")).replace("and back", "and gone"))
    assert verify_export(export).faults
    for wrong in ("{", '{"a": 1}', "null"):
        export.write_text(wrong)
        with pytest.raises(BadExport):
            verify_export(export)


@pytest.mark.django_db
def test_pruning_keeps_the_first_and_the_last_and_a_chain_that_proves_itself(
    story_of_two: list[Change], tmp_path: Path
) -> None:
    web01 = [change.pk for change in story_of_two[:6]]
    later = timezone.now() + timedelta(days=400)
    assert services.prune(later, 0).events == 0
    assert services.prune(later, 500).events == 0
    pruned = services.prune(later, 365)
    assert pruned.changes == 4
    assert not pruned.more
    left = set(Change.objects.values_list("pk", flat=True))
    assert left == {web01[0], web01[-1], story_of_two[-1].pk}
    assert set(Report.objects.values_list("change_id", flat=True)) <= left
    assert set(LogChunk.objects.values_list("change_id", flat=True)) <= left
    assert verify_database().faults == ()
    assert services.prune(later, 365).events == 0
    # Life goes on, and the next pruning leaves a gap beside a gap.
    server = Server.objects.get(name="web01")
    carried_out(server, EVENT)
    assert services.prune(later + timedelta(days=800), 365).changes == 1
    assert verify_database().faults == ()
    export = tmp_path / "export.json"
    export.write_text("".join(events_as_json()))
    assert verify_export(export).faults == ()


@pytest.mark.django_db
def test_a_pruning_that_nobody_wrote_down_is_a_fault(story_of_two: list[Change]) -> None:
    services.prune(timezone.now() + timedelta(days=400), 365)
    remove_guards(connection)
    Event.objects.filter(kind=PRUNED, server_name="web01").prune()
    install_guards(connection)
    assert verify_database().faults


def chain_of(count: int) -> list[dict[str, object]]:
    events: list[dict[str, object]] = []
    previous = ""
    for number in range(1, count + 1):
        event: dict[str, object] = dict.fromkeys(FIELDS, "")
        event |= {"server_name": "s", "seq": number, "data": {"n": number}, "kind": "k"}
        event |= {"previous_hash": previous, "hash": seal(previous, event)}
        previous = str(event["hash"])
        events.append(event)
    return events


@given(st.integers(2, 12), st.data())
def test_no_event_can_be_altered_cut_swapped_or_doubled_unseen(
    count: int, data: st.DataObject
) -> None:
    events = chain_of(count)
    head = (count, str(events[-1]["hash"]))
    assert list(check_chain("s", events, head)) == []
    at = data.draw(st.integers(0, count - 1))
    how = data.draw(st.sampled_from(["alter", "cut", "swap", "double"]))
    if how == "alter":
        events[at] = {**events[at], "data": {"n": -1}}
    elif how == "cut":
        del events[at]
    elif how == "swap":
        other = (at + 1) % count
        events[at], events[other] = events[other], events[at]
    else:
        events.insert(at, events[at])
    assert list(check_chain("s", events, head))
