"""What agents tell is recorded exactly once, in its order, whatever the messages did."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.package_metadata import Description, Particulars
from easyapache.ea4.profile import Profile
from easyapache.ea4.schema import BadMessage
from mpm import tasks
from mpm.access.services.actor import Refused
from mpm.changes.services.cancel import cancel
from mpm.changes.services.outside import adopt
from mpm.changes.services.planning import plan_for, request_preview
from mpm.changes.services.record import record_log, record_reports, record_unknown
from mpm.changes.services.request import request_change
from mpm.changes.services.sweep import recover, sweep
from mpm.models import Change, Event, LogChunk, State
from mpm.models import Report as ReportRow
from mpm.servers.inventory import particulars_of
from mpm.servers.models import Server, ServerParticulars
from mpm.servers.services.heartbeat import record_heartbeat
from mpm.servers.services.inspection import record_inspection, record_preview
from tests.panel.reports import ADMIN, after, finish, outcome, outside_change, piece, report, step

pytestmark = pytest.mark.django_db


@pytest.fixture
def change(known_server: Callable[..., Server]) -> Change:
    made = request_change(known_server(), Choice.parse("event"), actor=ADMIN)
    Change.objects.filter(pk=made.pk).update(dispatched_at=timezone.now())
    made.refresh_from_db()
    return made


def fresh(change: Change) -> Change:
    return Change.objects.get(pk=change.pk)


def test_the_first_report_makes_it_running_and_the_outcome_ends_it(change: Change) -> None:
    record_reports("web01", change.uuid, [step(1, "preflight")])
    assert (fresh(change).state, fresh(change).step) == (State.RUNNING, "preflight")
    record_reports(
        "web01",
        change.uuid,
        [
            report(2, "interruption", method="overlap", refused=0, reset=0, longest_wait_ms=3.5),
            outcome(3, "succeeded", after(change), sentence="Runs event."),
        ],
    )
    ended = fresh(change)
    assert (ended.state, ended.sentence, ended.refused) == (State.SUCCEEDED, "Runs event.", 0)
    profile = ended.server.profile
    assert profile is not None
    assert profile.running is not None
    assert profile.running.mpm == "event"
    kinds = list(Event.objects.filter(change=change).values_list("kind", flat=True))
    assert kinds == ["change.queued", "change.running", "change.succeeded"]


def test_messages_doubled_shuffled_and_late_end_in_the_same_rows(change: Change) -> None:
    reports = [step(1, "preflight"), step(2, "download"), step(3, "packages"), outcome(4, "failed")]
    messages = [[item] for item in reports] * 5
    random.Random(7).shuffle(messages)
    for message in messages:
        record_reports("web01", change.uuid, message)
    record_reports("web01", change.uuid, reports)
    assert list(ReportRow.objects.values_list("seq", flat=True)) == [1, 2, 3, 4]
    assert fresh(change).state == State.FAILED
    assert Event.objects.filter(change=change, kind="change.failed").count() == 1


def test_a_gap_is_left_until_it_is_filled(change: Change) -> None:
    assert record_reports("web01", change.uuid, [step(3, "packages")]) == 0
    assert fresh(change).state == State.QUEUED
    assert record_reports("web01", change.uuid, [step(1, "preflight")]) == 1


def test_an_agent_speaks_only_of_its_own_servers_changes(
    change: Change, known_server: Callable[..., Server]
) -> None:
    known_server("web02")
    assert record_reports("web02", change.uuid, [outcome(1, "succeeded")]) == 0
    assert record_log("web02", change.uuid, 0, piece(b"x")) == 0
    record_unknown("web02", change.uuid)
    assert fresh(change).state == State.QUEUED


@pytest.mark.parametrize(
    "bad",
    [
        {"seq": "x"},
        "text",
        report(1, "outcome", outcome="exploded").as_json(),
        report(1, "step", step="rm -rf").as_json(),
    ],
)
def test_what_is_no_report_is_refused_whole(
    change: Change, bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tasks.reports("web01", change.uuid, [step(1, "preflight").as_json(), bad])
    assert "refused a message for control.reports" in caplog.text
    assert not ReportRow.objects.exists()
    assert fresh(change).state == State.QUEUED


def test_the_log_is_kept_byte_for_byte_whatever_overlaps(change: Change) -> None:
    text = bytes(range(256)) * 40
    whole = text
    for start, end in [(0, 100), (0, 100), (50, 300), (400, 500), (300, 900), (10, 20)]:
        record_log("web01", change.uuid, start, piece(text[start:end]))
    record_log("web01", change.uuid, 900, piece(text[900:]))
    chunks = LogChunk.objects.filter(change=change).order_by("offset")
    assert b"".join(bytes(chunk.data) for chunk in chunks) == whole
    assert fresh(change).log_size == len(whole)


@pytest.mark.parametrize(("offset", "text"), [(-1, "eA=="), (0, "not base64!"), (0, 5)])
def test_what_is_no_piece_of_log_is_refused(change: Change, offset: int, text: str) -> None:
    with pytest.raises(BadMessage):
        record_log("web01", change.uuid, offset, text)


def test_a_refused_cancel_says_why_and_the_change_goes_on(change: Change) -> None:
    record_reports("web01", change.uuid, [step(1, "preflight")])
    cancel(fresh(change), ADMIN)
    record_reports(
        "web01",
        change.uuid,
        [step(2, "packages"), report(3, "cancel", accepted=False, reason="Too late.")],
    )
    assert (fresh(change).state, fresh(change).cancel_refused) == (State.RUNNING, "Too late.")
    assert finish_from(change, 4).state == State.SUCCEEDED


def finish_from(change: Change, seq: int) -> Change:
    record_reports("web01", change.uuid, [outcome(seq, "succeeded", after(change))])
    return fresh(change)


def test_an_agent_that_does_not_know_the_change_is_believed_the_second_time(
    change: Change,
) -> None:
    record_reports("web01", change.uuid, [step(1, "packages")])
    record_unknown("web01", change.uuid)
    assert fresh(change).state == State.RUNNING
    record_unknown("web01", change.uuid)
    assert fresh(change).state == State.RUNNING
    Change.objects.update(unknown_since=timezone.now() - timedelta(seconds=9))
    record_unknown("web01", change.uuid)
    assert (fresh(change).state, fresh(change).decided_by) == (State.FAILED, "spool")


def test_a_cancel_that_the_agent_never_knew_of_came_in_time(change: Change) -> None:
    cancel(fresh(change), ADMIN)
    record_unknown("web01", change.uuid)
    Change.objects.update(unknown_since=timezone.now() - timedelta(seconds=9))
    record_unknown("web01", change.uuid)
    assert fresh(change).state == State.CANCELED


def test_a_change_whose_agent_is_silent_says_so_within_a_minute_and_takes_it_back(
    change: Change,
) -> None:
    record_reports("web01", change.uuid, [step(1, "packages")])
    last = timezone.now()
    for seconds in (10, 20):
        sweep(last + timedelta(seconds=seconds))
    assert fresh(change).silent_since is None
    for seconds in (35, 45):
        sweep(last + timedelta(seconds=seconds))
    silent = fresh(change)
    assert silent.state == State.RUNNING
    assert silent.silent_since is not None
    assert Event.objects.filter(kind="change.silent").count() == 1
    record_heartbeat("web01", "1.0", {})
    assert fresh(change).silent_since is None


def test_after_an_outage_of_the_panel_the_host_is_asked_before_it_is_called_silent(
    change: Change,
) -> None:
    record_reports("web01", change.uuid, [step(1, "packages")])
    back = timezone.now() + timedelta(minutes=20)
    sweep(back)
    assert fresh(change).silent_since is None
    sweep(back + timedelta(seconds=5))
    assert fresh(change).silent_since is None
    sweep(back + timedelta(seconds=10))
    assert fresh(change).silent_since is not None


def test_recovering_a_silent_change_is_audited_and_frees_the_server(change: Change) -> None:
    record_reports("web01", change.uuid, [step(1, "packages")])
    with pytest.raises(Refused, match="online"):
        recover(fresh(change), ADMIN, close=True)
    for seconds in (50, 60):
        sweep(timezone.now() + timedelta(seconds=seconds))
    recover(fresh(change), ADMIN, close=True)
    closed = fresh(change)
    assert (closed.state, closed.decided_by) == (State.FAILED, "recover")
    assert Event.objects.filter(kind="change.recover", actor_name="anna").count() == 1
    assert request_change(change.server, Choice.parse("worker"), actor=ADMIN).pk
    # The agent comes back: what it says is told, and does not rewrite how it was closed.
    record_reports("web01", change.uuid, [outcome(2, "succeeded", after(change))])
    assert fresh(change).state == State.FAILED
    assert Event.objects.filter(kind="change.late_outcome").count() == 1
    profile = change.server.profile
    assert profile is not None
    assert profile.running == after(change).running


def test_an_unanswered_preview_ends_and_a_late_answer_changes_nothing(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    preview = request_preview(server, Choice.parse("event"), ADMIN)
    sweep(timezone.now() + timedelta(seconds=31))
    preview.refresh_from_db()
    assert (preview.state, (preview.error or {})["code"]) == ("failed", "no_answer")
    plan = plan_for(server, Choice.parse("event"))
    assert record_preview("web01", preview.uuid, plan.transaction) is None


def test_a_scan_makes_a_snapshot_only_when_something_differs(
    known_server: Callable[..., Server],
) -> None:
    from mpm.servers.looks import request_number

    server = known_server()
    profile = server.profile
    assert profile is not None
    for _ in range(3):
        record_inspection("web01", request_number(timezone.now()), profile)
    assert server.installed_profiles.count() == 1
    assert not Change.objects.exists()


def test_particulars_replace_those_before_and_malformed_ones_change_nothing(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    for size in (1, 2):
        particulars = Particulars(offered={"ea-a": Description(size=size, summary="A\x00")})
        tasks.particulars(server="web01", particulars=particulars.as_json())
    kept = particulars_of(server)
    assert kept.of("ea-a") == Description(size=2, summary="A\N{REPLACEMENT CHARACTER}")
    assert ServerParticulars.objects.get().digest == kept.digest
    right = Particulars().as_json()
    for wrong in (
        {},
        {**right, "installed": []},
        {**right, "offered": {"a": 1}},
        {**right, "offered": {"a": {"size": "many"}}},
        {**right, "recommendations": {"a": 1}},
        {**right, "prefixes": 1},
        {**right, "metainfo": "x"},
    ):
        tasks.particulars(server="web01", particulars=wrong)
    tasks.particulars(server="nobody", particulars=right)
    assert particulars_of(server) == kept
    assert particulars_of(known_server("web02")) == Particulars()


def test_what_a_newer_agent_tells_besides_is_left_out_of_account(change: Change) -> None:
    newer = {**step(1, "preflight").as_json(), "newer": 1}
    newer["data"] = {**newer["data"], "newer": {"a": [1]}}
    reports: Any = tasks.reports
    heartbeat: Any = tasks.heartbeat
    reports(server="web01", change=change.uuid, reports=[newer], newer={"a": 1})
    unknown = report(2, "newer", thing=1).as_json()
    reports(server="web01", change=change.uuid, reports=[unknown], newer=1)
    change.refresh_from_db()
    assert change.last_report == 2
    assert change.step == "preflight"
    heartbeat(server="web01", agent="9", capabilities={"newer": 1}, nonce="x", newer=[1])
    change.server.refresh_from_db()
    assert change.server.agent["version"] == "9"


def test_a_scan_from_before_the_end_of_a_change_is_no_outside_change(change: Change) -> None:
    from mpm.servers.looks import request_number

    old = change.server.profile
    assert old is not None
    request = request_number(timezone.now() - timedelta(seconds=5))
    record_inspection("web01", request, after(change))
    assert finish(change).state == State.SUCCEEDED
    record_inspection("web01", request, old)
    assert not Change.objects.filter(origin="outside").exists()
    profile = change.server.profile
    assert profile is not None
    assert profile.running == after(change).running


def test_an_outside_change_is_told_with_who_and_can_be_adopted_once(
    known_server: Callable[..., Server],
) -> None:
    outside = outside_change(known_server())
    assert (outside.from_mpm, outside.to_mpm, outside.actor_name) == ("prefork", "worker", "root")
    assert "transaction 7" in outside.sentence
    assert adopt(outside, ADMIN).adopted_by == "anna"
    with pytest.raises(Refused, match="already"):
        adopt(outside, ADMIN)


def test_an_outside_change_is_not_credited_to_a_transaction_from_before_a_history_was_put_back(
    known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> None:
    stock = stock_profile()
    later = replace(stock, facts={**stock.facts, "last_transaction": {"id": 9, "user": "root"}})
    outside = outside_change(known_server(profile=later))
    assert "transaction" not in outside.sentence
    assert outside.actor_name != "root"
    assert outside.started_at == outside.finished_at
