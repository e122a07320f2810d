"""A database of the version before opens: its codes were others, and what was sealed stays so."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from easyapache.ea4.protocol import Outcome
from mpm.changes.lifecycle import end_of
from mpm.changes.services.cancel import cancel
from mpm.changes.services.outside import adopt
from mpm.changes.services.record import record_reports, seal_late_reports
from mpm.changes.services.repairs import repair
from mpm.changes.services.request import request_change
from mpm.history import renamed
from mpm.history.diagnosis import repairs
from mpm.history.event_cursor import events_after
from mpm.history.export import events_as_json
from mpm.history.models.guards import install_guards, missing_guards, remove_guards
from mpm.history.seal import seal
from mpm.history.story import timeline
from mpm.history.verification.database import verify_database
from mpm.history.verification.export import verify_export
from mpm.models import Chain, Change, Event, Webhook
from mpm.notify import webhooks
from mpm.schemas.event import Event as EventSchema
from mpm.servers.models import Server
from tests.panel.reports import ADMIN, EVENT, finish, outcome, outside_change, report, step

OLD_STATES = {new: old for old, new in renamed.STATES.items()}
OLD_KINDS = {new: old for old, new in renamed.KINDS.items()} | {
    "change.not_started": "change.failed"
}


def as_the_version_before_wrote_it() -> None:
    """Every event in its old words, each chain sealed as it would have been then."""
    remove_guards(connection)
    heads: dict[str, str] = {}
    for event in Event.objects.order_by("pk"):
        data = dict(event.data)
        if isinstance(data.get("outcome"), str):
            old = {**OLD_STATES, "not_started": "failed"}
            data["outcome"] = old.get(data["outcome"], data["outcome"])
        event.kind, event.data = OLD_KINDS.get(event.kind, event.kind), data
        previous = heads.get(event.server_name, "")
        sealed = heads[event.server_name] = seal(previous, event.sealed)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE mpm_event SET kind=%s, data=%s, previous_hash=%s, hash=%s WHERE id=%s",
                [event.kind, json.dumps(data), previous, sealed, event.pk],
            )
    for name, sealed in heads.items():
        Chain.objects.filter(server_name=name).update(hash=sealed)
    install_guards(connection)


@pytest.fixture
def opened(transactional_db: None, known_server: Callable[..., Server]) -> dict[str, Change]:
    """One change for each way to end, and one that waits, in a database that was upgraded."""
    made: dict[str, Change] = {}
    for name in ("succeeded", "restored", "not_started", "canceled", "failed", "scheduled"):
        night = timezone.now() + timedelta(hours=9)
        later = night if name in ("canceled", "scheduled") else None
        made[name] = request_change(
            known_server(name.replace("_", "-")), EVENT, actor=ADMIN, not_before=later
        )
    for name in ("succeeded", "restored", "not_started"):
        finish(made[name], name)
    half_way = [step(1, "packages"), step(2, "undo_packages"), outcome(3, "failed")]
    record_reports(made["failed"].server_name, made["failed"].uuid, half_way)
    cancel(made["canceled"], ADMIN)
    made["external"] = outside_change(known_server("external"))
    adopt(made["external"], ADMIN)
    late = [report(4, "step", step="verify", status="done", detail="")]
    record_reports("failed", made["failed"].uuid, late)
    seal_late_reports(timezone.now() + timedelta(minutes=5))
    repair(made["failed"].server, "take-back", ADMIN)
    hook = webhooks.make(
        ADMIN, name="Chat", url="https://8.8.8.8/", kinds=["change.restored", "change.failed"]
    )
    call_command("migrate", "mpm", "0008", verbosity=0)
    try:
        as_the_version_before_wrote_it()
        with connection.cursor() as cursor:
            cursor.execute("SELECT DISTINCT state FROM mpm_change")
            states = {row[0] for row in cursor.fetchall()}
        assert states == {"requested", "succeeded", "rolled_back", "failed", "cancelled"}
        Webhook.objects.filter(pk=hook.pk).update(kinds=["change.failed", "change.rolled_back"])
    finally:
        call_command("migrate", verbosity=0)
    return {name: Change.objects.get(pk=change.pk) for name, change in made.items()}


def kinds_of(change: Change) -> list[str]:
    return [EventSchema.of(event).kind for event in change.events.order_by("seq")]


def test_a_database_of_the_version_before_opens_and_its_history_verifies(
    opened: dict[str, Change], tmp_path: Path
) -> None:
    assert {name: str(change.state) for name, change in opened.items()} == {
        name: "succeeded" if name == "external" else name for name in opened
    }
    assert missing_guards(connection) == []
    assert [fault.message for fault in verify_database().faults] == []
    export = tmp_path / "events.json"
    export.write_text("".join(events_as_json()))
    assert "change.rolled_back" in export.read_text()  # as it was sealed
    verdict = verify_export(export)
    assert (verdict.faults, verdict.complete) == ((), True)


def test_old_events_are_shown_and_found_in_todays_codes(opened: dict[str, Change]) -> None:
    assert kinds_of(opened["scheduled"]) == ["change.scheduled"]
    assert kinds_of(opened["canceled"]) == ["change.scheduled", "change.canceled"]
    ended = {name: opened[name] for name in ("succeeded", "restored", "not_started", "failed")}
    for name, change in ended.items():
        end = next(event for event in change.events.all() if event.kind_now == f"change.{name}")
        assert EventSchema.of(end).data["outcome"] == name
        assert f"change.{name}" in [entry.kind for entry in timeline(change)]
        now = timezone.now() + timedelta(minutes=1)
        found, _ = events_after(0, 100, now, kinds=[f"change.{name}"])
        assert [event.change_id for event in found] == [change.pk]
    both, _ = events_after(
        0, 100, timezone.now(), kinds=["change.failed", "change.not_started", "change.canceled"]
    )
    wanted = {opened[name].pk for name in ("failed", "not_started", "canceled")}
    assert {event.change_id for event in both} == wanted


def test_a_webhook_of_the_version_before_still_gets_what_it_wanted(
    opened: dict[str, Change],
) -> None:
    hook = Webhook.objects.get()
    assert hook.kinds == ["change.failed", "change.not_started", "change.restored"]
    Webhook.objects.update(position=0)
    webhooks.fan_out(timezone.now())
    assert sorted(hook.deliveries.values_list("kind", flat=True)) == hook.kinds
    assert {row.body["type"] for row in hook.deliveries.all()} == set(hook.kinds)


def test_an_altered_row_of_the_version_before_is_still_found(opened: dict[str, Change]) -> None:
    remove_guards(connection)
    Change.objects.filter(pk=opened["restored"].pk).update(state="not_started")
    Change.objects.filter(pk=opened["scheduled"].pk).update(reason="another")
    Change.objects.filter(pk=opened["external"].pk).update(adopted_by="mallory")
    install_guards(connection)
    found = [fault.message.split(": ")[1] for fault in verify_database().faults]
    wanted = ["its state was changed.", "the reason was changed.", "who accepted it was changed."]
    assert sorted(found) == wanted


def test_a_repair_that_was_requested_before_the_upgrade_is_known(opened: dict[str, Change]) -> None:
    server = opened["failed"].server
    assert [one.requested_by for one in repairs(server)] == ["anna"]
    now = timezone.now() + timedelta(minutes=1)
    found, _ = events_after(0, 100, now, kinds=["server.repair_requested", "change.late_report"])
    assert [EventSchema.of(event).kind for event in found] == [
        "change.late_report",
        "server.repair_requested",
    ]
    assert kinds_of(opened["external"]) == ["change.external", "change.accepted"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("said", "steps", "state"),
    [
        ("rolled_back", ["packages", "undo_packages"], "restored"),
        ("cancelled", ["preflight"], "canceled"),
        ("failed", ["preflight"], "not_started"),
        ("failed", ["packages", "undo_packages"], "failed"),
        ("not_started", ["packages"], "failed"),
    ],
)
def test_an_agent_of_the_version_before_is_understood(
    known_server: Callable[..., Server], said: str, steps: list[str], state: str
) -> None:
    """And none is believed that says nothing was changed after it began to change packages."""
    change = request_change(known_server(), EVENT, actor=ADMIN)
    reports = [step(seq, name) for seq, name in enumerate(steps, start=1)]
    record_reports("web01", change.uuid, [*reports, outcome(len(steps) + 1, said)])
    change.refresh_from_db()
    assert change.state == state
    assert verify_database().faults == ()


def test_an_unknown_end_is_never_taken_for_one_before_anything_changed() -> None:
    for decided_by in ("recover", "spool", "confirmed"):
        assert end_of("failed", "", decided_by) == "failed"
    assert end_of("failed", "download", "lock") == "not_started"
    assert (Outcome("rolled_back"), Outcome("cancelled")) == (Outcome.RESTORED, Outcome.CANCELED)


@pytest.mark.django_db
def test_a_finding_of_the_version_before_is_shown_in_todays_code_and_words(
    known_server: Callable[..., Server],
) -> None:
    change = request_change(known_server("web01"), EVENT, actor=ADMIN)
    old = report(
        change.last_report + 1,
        "finding",
        code="two-mpms",
        title="Two MPMs at once",
        message="Two files load an MPM. Seen: AH00534: More than one MPM loaded.",
        remedy="Keep one MPM package and remove the other.",
        repair="settle-mpm",
    )
    record_reports(change.server_name, change.uuid, [old])
    change.refresh_from_db()
    assert change.diagnosis[0]["code"] == "two-mpms"
    [shown] = renamed.findings_of(change.diagnosis)
    assert (shown["code"], shown["title"]) == ("several_mpms", "More than one MPM")
    assert "Restore one MPM" in shown["remedy"]
    assert "AH00534" in shown["message"]
    assert "More than one MPM" in [entry.title for entry in timeline(change)]
    unknown = {"code": "of-tomorrow", "title": "t", "message": "m"}
    assert renamed.finding_of(unknown) == unknown
