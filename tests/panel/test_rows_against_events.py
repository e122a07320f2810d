"""Whatever an event sealed of a change, its reports or its log is missed when the row says another.

Each test goes around the guards, as whoever owns the database can.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from mpm.access.services.actor import Actor
from mpm.changes.services.cancel import cancel
from mpm.changes.services.outside import adopt
from mpm.changes.services.record import record_log, record_reports
from mpm.changes.services.request import request_change
from mpm.changes.services.rollback import roll_back
from mpm.changes.services.sweep import sweep
from mpm.history import seal_payload
from mpm.history.models.guards import install_guards, remove_guards
from mpm.history.services.retention import prune
from mpm.history.verification.database import verify_database
from mpm.models import Change, Event
from mpm.servers.models import Server
from tests.panel.reports import (
    ADMIN,
    EVENT,
    PREFORK,
    after,
    carried_out,
    outcome,
    outside_change,
    piece,
    report,
    sql,
    step,
)

pytestmark = pytest.mark.django_db
BY_TOKEN = Actor(
    name="anna",
    role="administrator",
    origin="rest",
    token_name="deploy",
    address="192.0.2.7",
    agent_class="curl",
    request_id="r-17",
)


@pytest.fixture
def change(known_server: Callable[..., Server]) -> Change:
    """A change with everything an end can have, the first of its database."""
    made = request_change(known_server(), EVENT, actor=BY_TOKEN, reason="memory", ticket="T-1")
    record_log("web01", made.uuid, 0, piece(b"Installing\n"))
    record_log("web01", made.uuid, 11, piece(b"Running\n"))
    reports = [
        step(1, "preflight"),
        report(2, "finding", code="slow", title="Slow", message="It took long."),
        report(3, "interruption", method="overlap", refused=1, reset=0, longest_wait_ms=3.5),
        outcome(4, "succeeded", after(made)),
    ]
    record_reports("web01", made.uuid, reports)
    made.refresh_from_db()
    return made


def faults_found() -> str:
    return " ".join(fault.message for fault in verify_database().faults)


def alter(statement: str) -> None:
    remove_guards(connection)
    sql(statement)
    install_guards(connection)


ALTERED = {
    "uuid = 'x'": "its id",
    "server_name = 'sandbox'": "its server",
    "from_mpm = 'worker'": "the MPM before",
    "from_itk = true": "the MPM before",
    "to_mpm = 'worker'": "the requested MPM",
    "to_itk = true": "the requested MPM",
    "choice = '{}'": "the plan",
    "plan = '{}'": "the packages to install",
    "goal = '{}'": "the plan",
    "\"transaction\" = '{}'": "the plan",
    "digest = 'x'": "the digest of the plan",
    "base_digest = 'x'": "the state it was planned for",
    "rollback_of_id = id": "the change it rolls back",
    "undo_of = 'x'": "the change it rolls back",
    "reason = 'x'": "the reason",
    "ticket = 'x'": "the ticket",
    "origin = 'web'": "the source",
    "actor_name = 'x'": "who requested it",
    "actor_role = 'support'": "the role of who requested it",
    "token_name = 'x'": "the token",
    "address = 'x'": "the address",
    "agent_class = 'x'": "the client",
    "request_id = 'x'": "the id of the request",
    "requested_at = '2020-01-01 00:00:00+00'": "the time of the request",
    "not_before = '2020-01-01 00:00:00+00'": "the maintenance window",
    "not_after = '2020-01-01 00:00:00+00'": "the maintenance window",
    "state = 'failed'": "its state",
    "state = 'running'": "its state",
    "step = 'verify'": "its last step",
    "sentence = 'x'": "its outcome",
    "decided_by = 'x'": "what decided its outcome",
    "refused = 0": "the number of refused connections",
    "longest_wait_ms = 1": "the longest wait",
    "started_at = '2020-01-01 00:00:00+00'": "its start time",
    "finished_at = '2020-01-01 00:00:00+00'": "its end time",
    "error = 'x'": "the error",
    "diagnosis = '[]'": "the diagnosis",
    "moved = '{}'": "the server's own plan",
    "interruption = NULL": "the visitor impact",
}


@pytest.mark.parametrize("altered", ALTERED)
def test_an_altered_row_is_told_on_by_name(change: Change, altered: str) -> None:
    assert faults_found() == ""
    alter(f"UPDATE mpm_change SET {altered}")  # noqa: S608
    assert f"Change #{change.pk}: {ALTERED[altered]}" in faults_found()


ALTERED_REPORTS, ALTERED_LOG = (
    "a report of its agent was changed (reports)",
    "a report of its agent was changed (log)",
)
MARKER = [
    ("UPDATE mpm_report SET data = '{}' WHERE seq = 2", ALTERED_REPORTS),
    ("UPDATE mpm_report SET at = '2020-01-01 00:00:00+00' WHERE seq = 2", ALTERED_REPORTS),
    ("UPDATE mpm_report SET kind = 'x' WHERE seq = 4", ALTERED_REPORTS),
    ("DELETE FROM mpm_report WHERE seq = 1", ALTERED_REPORTS),
    ("DELETE FROM mpm_report", ALTERED_REPORTS),
    (
        (
            "INSERT INTO mpm_report (change_id, seq, at, kind, data) "
            "SELECT change_id, 5, at, 'finding', data FROM mpm_report WHERE seq = 2"
        ),
        "was added that its agent did not send (reports)",
    ),
    ("UPDATE mpm_logchunk SET data = 'x'", ALTERED_LOG),
    ('DELETE FROM mpm_logchunk WHERE "offset" = 0', ALTERED_LOG),
    ('DELETE FROM mpm_logchunk WHERE "offset" > 0', ALTERED_LOG),
    (
        (
            'INSERT INTO mpm_logchunk (change_id, "offset", size, data, received_at) '
            'SELECT change_id, 19, size, data, received_at FROM mpm_logchunk WHERE "offset" > 0'
        ),
        "was added that its agent did not send (log)",
    ),
]


@pytest.mark.parametrize(("statement", "said"), MARKER)
def test_what_the_agent_told_is_sealed_with_the_end(
    change: Change, statement: str, said: str
) -> None:
    alter(statement)
    assert said in faults_found()


def test_what_comes_after_the_end_is_sealed_once_no_more_comes(change: Change) -> None:
    ended = (change.diagnosis, change.step, change.moved)
    record_log("web01", change.uuid, 19, piece(b"late\n"))
    late = report(5, "finding", code="late", title="Late", message="Told late.")
    record_reports("web01", change.uuid, [late, step(6, "verify")])
    change.refresh_from_db()
    assert (change.diagnosis, change.step, change.moved) == ended, "it stays as it ended"
    assert faults_found() == ""
    sweep(timezone.now())
    assert not Event.objects.filter(kind=seal_payload.LATE_REPORT).exists()
    sweep(timezone.now() + timedelta(seconds=61))
    sweep(timezone.now() + timedelta(seconds=61))
    (event,) = Event.objects.filter(kind=seal_payload.LATE_REPORT)
    assert (event.data["reports"], event.data["log"]) == (6, 24)
    assert faults_found() == ""
    alter("UPDATE mpm_report SET data = '{}' WHERE seq = 5")
    assert "was changed (reports)" in faults_found()


def test_who_canceled_a_change_is_held_against_its_event(
    known_server: Callable[..., Server],
) -> None:
    change = request_change(known_server(), EVENT, actor=ADMIN)
    record_reports("web01", change.uuid, [step(1, "preflight")])
    cancel(Change.objects.get(pk=change.pk), ADMIN)
    assert faults_found() == ""
    alter("UPDATE mpm_change SET cancel_requested_by = 'x'")
    assert f"Change #{change.pk}: who canceled it was changed" in faults_found()


def test_an_end_that_nobody_wrote_down_is_missed(known_server: Callable[..., Server]) -> None:
    change = request_change(known_server(), EVENT, actor=ADMIN)
    alter("UPDATE mpm_change SET state = 'succeeded'")
    assert f"Change #{change.pk}: its outcome is not in the history" in faults_found()


@pytest.mark.parametrize(
    ("altered", "what"),
    [
        ("actor_name = 'x'", "who requested it"),
        ("origin = 'web'", "the source"),
        ("reason = 'x'", "the reason"),
        ("sentence = 'x'", "its outcome"),
        ("adopted_by = 'x'", "who accepted it"),
    ],
)
def test_a_change_from_outside_is_held_against_its_event(
    known_server: Callable[..., Server], altered: str, what: str
) -> None:
    adopt(outside_change(known_server()), ADMIN)
    assert faults_found() == ""
    alter(f"UPDATE mpm_change SET {altered}")  # noqa: S608
    assert what in faults_found()


def test_an_adoption_that_nobody_wrote_down_is_missed(
    known_server: Callable[..., Server],
) -> None:
    outside_change(known_server())
    alter("UPDATE mpm_change SET adopted_at = finished_at, adopted_by = 'anna'")
    assert "its acceptance is not in the history" in faults_found()


def test_a_rollback_stands_when_what_it_took_back_is_pruned(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    carried_out(server, EVENT)
    carried_out(server, PREFORK)
    second = carried_out(server, EVENT)
    roll_back(second, ADMIN)
    back = Change.objects.latest("pk")
    record_reports("web01", back.uuid, [outcome(1, "succeeded", after(back))])
    carried_out(server, EVENT)
    assert prune(timezone.now() + timedelta(days=400), 365).changes == 3
    assert faults_found() == ""
