"""History is written once: the rows refuse, the database refuses, and the seal tells."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection
from hypothesis import given
from hypothesis import strategies as st

from mpm.history.models.guards import KEYS, guards, install_guards, missing_guards, remove_guards
from mpm.history.seal import FIELDS, check_chain, digest, seal
from mpm.history.verification.database import verify_database
from mpm.models import Change, Event, HistoryIsWrittenOnce, LogChunk, Report
from tests.panel.reports import sql

AROUND_TRIGGERS = {
    "sqlite": [
        "REPLACE INTO mpm_event SELECT * FROM mpm_event WHERE seq = 1",
        "INSERT OR REPLACE INTO mpm_change SELECT * FROM mpm_change",
        "REPLACE INTO mpm_report SELECT * FROM mpm_report",
        "REPLACE INTO mpm_logchunk SELECT * FROM mpm_logchunk",
        (
            'REPLACE INTO mpm_logchunk (change_id, "offset", size, data, received_at) '
            "SELECT change_id, \"offset\", 1, 'x', received_at FROM mpm_logchunk"
        ),
        "REPLACE INTO mpm_chain VALUES ('web01', 0, '')",
        "UPDATE OR REPLACE mpm_event SET seq = 1",
        "UPDATE OR REPLACE mpm_change SET id = (SELECT MAX(id) FROM mpm_change)",
        "UPDATE OR REPLACE mpm_report SET seq = 1",
    ],
    "postgresql": [
        "TRUNCATE mpm_event",
        "TRUNCATE mpm_change CASCADE",
        "TRUNCATE mpm_report",
        "TRUNCATE mpm_logchunk",
        "TRUNCATE mpm_chain",
        "TRUNCATE easyapache_server CASCADE",
        (
            "INSERT INTO mpm_event SELECT * FROM mpm_event WHERE seq = 1 "
            "ON CONFLICT (server_name, seq) DO UPDATE SET actor_name = 'x'"
        ),
    ],
}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        *AROUND_TRIGGERS[connection.vendor],
        "UPDATE mpm_event SET actor_name = 'somebody else'",
        "UPDATE mpm_event SET data = '{}' WHERE seq = 1",
        "DELETE FROM mpm_event",
        "UPDATE mpm_change SET actor_name = 'somebody else'",
        "UPDATE mpm_change SET reason = 'another', ticket = 'T'",
        "UPDATE mpm_change SET plan = '{}'",
        "UPDATE mpm_change SET \"transaction\" = '{}', undo_of = 'x'",
        "UPDATE mpm_change SET state = 'failed'",
        "UPDATE mpm_change SET sentence = 'all was well'",
        "UPDATE mpm_change SET not_before = requested_at",
        "UPDATE mpm_change SET error = 'another'",
        "UPDATE mpm_change SET diagnosis = '[{}]'",
        "UPDATE mpm_change SET longest_wait_ms = 1",
        "UPDATE mpm_change SET interruption = '{}'",
        "UPDATE mpm_change SET search = ''",
        "UPDATE mpm_change SET rollback_of_id = id",
        "DELETE FROM mpm_change",
        "UPDATE mpm_report SET data = '{}'",
        "DELETE FROM mpm_report",
        "UPDATE mpm_logchunk SET data = NULL",
        "DELETE FROM mpm_logchunk",
        "UPDATE mpm_chain SET seq = 1",
        "UPDATE mpm_chain SET hash = 'x'",
        "DELETE FROM mpm_chain",
    ],
)
def test_the_database_refuses_to_alter_history(story_of_two: list[Change], statement: str) -> None:
    with pytest.raises(DatabaseError):
        sql(statement)
    assert verify_database().faults == ()


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Event, Report, LogChunk])
def test_rows_refuse_to_be_altered_before_the_database_has_to(
    story_of_two: list[Change], model: type[Event | Report | LogChunk]
) -> None:
    row = model.objects.order_by("pk")[0]
    for attempt in (
        row.save,
        row.delete,
        lambda: model.objects.all().delete(),
        lambda: model.objects.update(pk=0),
    ):
        with pytest.raises(HistoryIsWrittenOnce):
            attempt()


@pytest.mark.django_db
@pytest.mark.parametrize("table", sorted(KEYS))
def test_every_key_of_a_guarded_table_is_guarded(table: str) -> None:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table).values()
    unique = {tuple(one["columns"]) for one in found if one["unique"] or one["primary_key"]}
    assert unique == set(KEYS[table])


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
    assert set(missing_guards(connection)) == {guard.name for guard in guards(connection.vendor)}
    sql(statement)
    install_guards(connection)
    assert missing_guards(connection) == []
    assert verify_database().faults


@pytest.mark.django_db
def test_missing_guards_are_a_fault_of_their_own(story_of_two: list[Change]) -> None:
    remove_guards(connection)
    assert any("trigger" in fault.message for fault in verify_database().faults)
    install_guards(connection)


MADE_HARMLESS = {
    "sqlite": [
        "DROP TRIGGER mpm_event_once",
        (
            "CREATE TRIGGER mpm_event_once BEFORE UPDATE ON mpm_event WHEN 0 "
            "BEGIN SELECT RAISE(ABORT, 'history is written once'); END"
        ),
    ],
    "postgresql": [
        (
            "CREATE OR REPLACE FUNCTION mpm_event_once() RETURNS trigger LANGUAGE plpgsql "
            "AS $$BEGIN RETURN NEW; END$$"
        ),
    ],
}


@pytest.mark.django_db
def test_a_guard_that_was_made_harmless_counts_as_missing(story_of_two: list[Change]) -> None:
    for statement in MADE_HARMLESS[connection.vendor]:
        sql(statement)
    assert missing_guards(connection) == ["mpm_event_once"]
    install_guards(connection)
    assert missing_guards(connection) == []


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


def test_a_digest_is_the_same_after_postgresql_wrote_the_numbers_its_way() -> None:
    written = {"b": [1e16, 12.0, -0.0, 0.5], "a": None}
    assert digest(written) == digest({"a": None, "b": [10000000000000000, 12, 0, 0.5]})
    assert digest(written) != digest({**written, "a": 0})
