"""Asking for a change, and every way of being refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.plan import Plan
from easyapache.ea4.profile import Profile
from mpm.access.services.actor import (
    Actor,
    BadRequest,
    Busy,
    NotAllowed,
    NotFound,
    NothingToDo,
    Refused,
    Stale,
    TooLate,
)
from mpm.access.services.users import add_user, set_active, set_role
from mpm.changes.lifecycle import ACTIVE, STATES, TERMINAL
from mpm.changes.services.cancel import cancel
from mpm.changes.services.dispatch import message_for
from mpm.changes.services.lookup import change_numbered, server_named
from mpm.changes.services.outside import adopt
from mpm.changes.services.planning import plan_for, request_preview
from mpm.changes.services.record import record_reports
from mpm.changes.services.repairs import repair
from mpm.changes.services.request import request_change
from mpm.changes.services.rollback import roll_back
from mpm.changes.services.sweep import recover, sweep
from mpm.models import ACTIVE_STATES, TERMINAL_STATES, Change, Event, Preview, State
from mpm.servers.models import Server
from mpm.servers.services.inspection import record_preview
from mpm.servers.services.servers import add_server, alter_server
from tests.panel.reports import outcome

pytestmark = pytest.mark.django_db

ADMIN = Actor(
    name="anna",
    role="administrator",
    address="192.0.2.7",
    request_id="req-1",
    token_name="ci",
    agent_class="curl",
)
READER = Actor(name="sam", role="support")
EVENT, WORKER = Choice.parse("event"), Choice.parse("worker")

KnownServer = Callable[..., Server]


def request(server: Server, choice: Choice = EVENT, **values: Any) -> Change:
    return request_change(server, choice, actor=ADMIN, **values)


def test_states_of_rows_are_the_states_of_the_lifecycle() -> None:
    assert set(STATES) == set(State.values)
    assert set(ACTIVE) == {state.value for state in ACTIVE_STATES}
    assert set(TERMINAL) == {state.value for state in TERMINAL_STATES}


def test_a_request_is_a_row_an_event_and_frozen_names(known_server: KnownServer) -> None:
    change = request(known_server(), reason=" more threads ", ticket="T-1")
    change.refresh_from_db()
    assert (change.state, change.from_mpm, change.to_mpm) == (State.QUEUED, "prefork", "event")
    assert (change.reason, change.ticket, change.actor_name) == ("more threads", "T-1", "anna")
    assert (change.address, change.request_id, change.token_name) == ("192.0.2.7", "req-1", "ci")
    event = Event.objects.get(change=change)
    assert (event.kind, event.actor_name, event.request_id) == ("change.queued", "anna", "req-1")
    assert "mod_mpm_event" in change.search
    assert "t-1" in change.search


def test_a_second_change_is_refused_while_one_runs_and_names_it(known_server: KnownServer) -> None:
    server = known_server()
    first = request(server)
    with pytest.raises(Busy) as refused:
        request(server, WORKER)
    assert refused.value.change == first
    assert f"#{first.pk}" in refused.value.message
    assert Change.objects.count() == 1
    assert Event.objects.count() == 1


def test_the_database_itself_allows_one_active_change_per_server(
    known_server: KnownServer,
) -> None:
    first = request(known_server())
    twin = Change.objects.get(pk=first.pk)
    twin.pk, twin.uuid = None, "0" * 32
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save(force_insert=True)


def test_changes_of_two_servers_do_not_wait_for_each_other(known_server: KnownServer) -> None:
    request(known_server("web01"))
    request(known_server("web02"))
    assert Change.objects.filter(state=State.QUEUED).count() == 2


def test_a_confirm_with_a_stale_digest_carries_the_new_plan(known_server: KnownServer) -> None:
    server = known_server()
    with pytest.raises(Stale) as refused:
        request(server, digest="0" * 32)
    assert refused.value.plan.digest == plan_for(server, EVENT).digest
    assert not Change.objects.exists()
    assert request(server, digest=refused.value.plan.digest).pk


def test_a_condition_of_the_caller_is_about_the_plan_that_is_acted_upon(
    known_server: KnownServer,
) -> None:
    server, conditions = known_server(), []

    def willing(profile: Profile, plan: Plan, under_way: bool) -> None:
        conditions.append((profile.digest, plan.digest, under_way))

    def unwilling(profile: Profile, plan: Plan, under_way: bool) -> None:
        willing(profile, plan, under_way)
        raise Refused("No.", code="unwilling")

    with pytest.raises(Refused, match="No"):
        request(server, check=unwilling)
    assert not Change.objects.exists()
    change = request(server, check=willing)
    assert conditions == [(change.base_digest, change.digest, False)] * 2


def test_a_package_nobody_knows_is_no_reason_to_say_that_nothing_is_to_do(
    known_server: KnownServer,
) -> None:
    with pytest.raises(Refused) as refused:
        request(known_server(), Choice.parse("prefork", add=["ea-apache24-mod_nonsense"]))
    assert refused.value.code == "blocked"


def test_a_preview_of_a_server_that_has_moved_is_stale(
    known_server: KnownServer, stock_profile: Callable[..., Profile]
) -> None:
    server = known_server()
    preview = ready_preview(server, EVENT, stock_profile())
    from mpm.servers.inventory import record_scan

    record_scan(server, stock_profile("worker"), timezone.now(), "scan")
    with pytest.raises(Stale):
        request(server, EVENT, preview=preview)
    assert not Change.objects.exists()


def ready_preview(server: Server, choice: Choice, profile: Profile) -> Preview:
    preview = request_preview(server, choice, ADMIN)
    plan = plan_for(server, choice)
    answered = record_preview(server.name, preview.uuid, plan.transaction, None, profile)
    assert answered is not None
    return answered


def test_a_preview_of_another_choice_or_server_confirms_nothing(
    known_server: KnownServer, stock_profile: Callable[..., Profile]
) -> None:
    server, other = known_server("web01"), known_server("web02")
    preview = ready_preview(server, EVENT, stock_profile())
    for where, what in ((server, WORKER), (other, EVENT)):
        with pytest.raises(BadRequest):
            request(where, what, preview=preview)
    unanswered = request_preview(server, EVENT, ADMIN)
    with pytest.raises(Refused, match="hasn't sent"):
        request(server, EVENT, preview=unanswered)
    assert request(server, EVENT, preview=preview, digest=preview.digest).preview == preview


def test_what_a_rule_blocks_is_refused_with_its_findings(known_server: KnownServer) -> None:
    server = known_server()
    with pytest.raises(Refused) as refused:
        request(server, Choice.parse("event", itk=True))
    assert refused.value.code == "blocked"
    assert refused.value.findings
    assert not Change.objects.exists()


def test_keeping_a_package_that_would_leave_blocks(known_server: KnownServer) -> None:
    keep = Choice.parse("event", keep=["ea-apache24-mod_ruid2"])
    with pytest.raises(Refused) as refused:
        request(known_server(), keep)
    assert any("ea-apache24-mod_ruid2" in item.packages for item in refused.value.findings)


def test_a_reader_changes_nothing_whichever_service_is_asked(known_server: KnownServer) -> None:
    server = known_server()
    change = request(server)
    for attempt in (
        lambda: request_change(server, WORKER, actor=READER),
        lambda: request_preview(server, WORKER, READER),
        lambda: cancel(change, READER),
        lambda: roll_back(change, READER),
        lambda: recover(change, READER),
        lambda: adopt(change, READER),
        lambda: repair(server, "start-httpd", READER),
        lambda: add_server("x", actor=READER),
        lambda: alter_server(server, READER, note="x"),
        lambda: add_user("x", "support", actor=READER),
    ):
        with pytest.raises(NotAllowed):
            attempt()
    assert Change.objects.count() == 1
    assert Event.objects.count() == 1


def test_nothing_to_do_is_said_and_makes_no_change(known_server: KnownServer) -> None:
    with pytest.raises(NothingToDo):
        request(known_server(), Choice.parse("prefork"))
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"reason": "x" * 501},
        {"ticket": "T" * 101},
        {"ticket": "T-1\n2026-01-01 forged"},
        {"reason": "\x1b[2J"},
        {"not_before": datetime(2026, 3, 3, 21, 0)},  # noqa: DTZ001 -- without a zone is the point
    ],
)
def test_values_that_cannot_be_meant_are_refused(
    known_server: KnownServer, values: dict[str, Any]
) -> None:
    with pytest.raises(BadRequest):
        request(known_server(), **values)
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("begins", "ends", "code"),
    [
        (timedelta(days=-2), timedelta(days=-1), "past_window"),
        (None, timedelta(minutes=-1), "empty_window"),
        (timedelta(days=-2), None, "past_window"),
        (timedelta(hours=2), timedelta(hours=1), "empty_window"),
        (timedelta(days=400), None, "far_window"),
        (timedelta(hours=1), timedelta(days=400), "far_window"),
    ],
)
def test_a_window_that_cannot_be_meant_is_refused(
    known_server: KnownServer, begins: timedelta | None, ends: timedelta | None, code: str
) -> None:
    now = timezone.now()
    window: dict[str, Any] = {
        "not_before": now + begins if begins else None,
        "not_after": now + ends if ends else None,
    }
    with pytest.raises(BadRequest) as refused:
        request(known_server(), **window)
    assert refused.value.code == code
    assert not Change.objects.exists()


def test_a_window_that_is_open_already_begins_at_once(known_server: KnownServer) -> None:
    now = timezone.now()
    change = request(
        known_server(), not_before=now - timedelta(hours=1), not_after=now + timedelta(hours=1)
    )
    assert change.state == State.QUEUED
    assert message_for(change).not_after == change.not_after


@pytest.mark.parametrize("sign", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_words_that_turn_the_history_about_are_refused(
    known_server: KnownServer, sign: str
) -> None:
    server = known_server()
    wishes: list[dict[str, Any]] = [{name: f"ok {sign}"} for name in ("reason", "ticket")]
    for wish in wishes:
        with pytest.raises(BadRequest, match="control characters"):
            request(server, **wish)
    assert not Change.objects.exists()


def test_words_that_are_written_from_the_right_are_kept(known_server: KnownServer) -> None:
    assert request(known_server(), reason="שלום\u200f عالم").reason == "שלום\u200f عالم"


def test_a_server_may_require_a_digest(known_server: KnownServer) -> None:
    server = known_server(require_digest=True)
    with pytest.raises(Refused) as refused:
        request(server)
    assert (refused.value.code, refused.value.status) == ("digest_required", 428)
    assert request(server, digest=plan_for(server, EVENT).digest).pk


def test_a_server_nobody_has_looked_at_cannot_be_planned_for() -> None:
    server = Server.objects.create(name="new", created_at=timezone.now())
    with pytest.raises(Refused) as refused:
        request(server)
    assert refused.value.code == "no_profile"


def test_unknown_servers_and_changes_are_said_to_be_unknown(known_server: KnownServer) -> None:
    known_server()
    with pytest.raises(NotFound, match="web01"):
        server_named("web99")
    for number in ("0", "#99", "x", "9" * 30, "f" * 32):
        with pytest.raises(NotFound):
            change_numbered(number)


def test_a_window_waits_then_runs_once_then_passes(known_server: KnownServer) -> None:
    server = known_server()
    now = timezone.now()
    change = request(
        server, not_before=now + timedelta(hours=1), not_after=now + timedelta(hours=2)
    )
    assert change.state == State.SCHEDULED
    sweep(now + timedelta(minutes=59))
    change.refresh_from_db()
    assert change.state == State.SCHEDULED
    for _ in range(3):
        sweep(now + timedelta(minutes=61))
    change.refresh_from_db()
    assert change.state == State.QUEUED
    assert change.events.filter(kind="change.queued").count() == 1


def test_a_window_that_was_missed_entirely_leads_to_nothing(known_server: KnownServer) -> None:
    now = timezone.now()
    change = request(
        known_server(), not_before=now + timedelta(hours=1), not_after=now + timedelta(hours=2)
    )
    sweep(now + timedelta(days=2))
    change.refresh_from_db()
    assert (change.state, change.decided_by) == (State.CANCELED, "window")


def test_an_agent_that_comes_back_after_the_window_ends_the_change_by_it(
    known_server: KnownServer,
) -> None:
    change = request(known_server(), not_after=timezone.now() + timedelta(hours=1))
    late = outcome(1, "canceled", decided_by="window", sentence="The maintenance window passed.")
    record_reports(change.server_name, change.uuid, [late])
    change.refresh_from_db()
    assert (change.state, change.decided_by) == (State.CANCELED, "window")


def test_a_change_nobody_was_told_of_is_canceled_at_once(known_server: KnownServer) -> None:
    change = cancel(request(known_server()), ADMIN)
    assert change.state == State.CANCELED
    assert change.finished_at
    again = cancel(change, ADMIN)
    assert (again.state, again.finished_at) == (State.CANCELED, change.finished_at)


def test_a_change_that_was_sent_is_canceled_by_its_agent_and_asking_twice_is_fine(
    known_server: KnownServer,
) -> None:
    change = request(known_server())
    Change.objects.filter(pk=change.pk).update(dispatched_at=timezone.now())
    assert cancel(change, ADMIN).state == State.CANCELING
    assert cancel(change, ADMIN).state == State.CANCELING
    assert change.events.filter(kind="change.canceling").count() == 1


def test_past_the_point_of_no_return_a_cancel_says_why_not(known_server: KnownServer) -> None:
    change = request(known_server())
    Change.objects.filter(pk=change.pk).update(
        state=State.RUNNING, step="packages", dispatched_at=timezone.now()
    )
    with pytest.raises(TooLate, match="Too late to cancel"):
        cancel(change, ADMIN)


def test_accounts_have_a_role_and_one_administrator_is_always_left() -> None:
    anna, password = add_user("anna", "administrator", actor=ADMIN)
    assert anna.check_password(password)
    sam, _ = add_user("sam", "support", actor=ADMIN)
    assert anna.has_perm("mpm.change")
    assert sam.has_perm("mpm.read")
    assert not sam.has_perm("mpm.change")
    attempts: tuple[Callable[[], object], ...] = (
        lambda: set_role(anna, "support", ADMIN),
        lambda: set_active(anna, False, ADMIN),
    )
    for attempt in attempts:
        with pytest.raises(Refused, match="last administrator"):
            attempt()
    with pytest.raises(Refused, match="already"):
        add_user("sam", "support", actor=ADMIN)
    with pytest.raises(BadRequest):
        add_user("sam two", "support", actor=ADMIN)
    with pytest.raises(BadRequest):
        add_user("x", "root", actor=ADMIN)


@pytest.mark.parametrize("name", ["", "Web01", "a_b", "-x", "x" * 64, "a/b", "web 01", "é"])
def test_a_server_needs_a_name_that_can_be_a_queue(name: str) -> None:
    with pytest.raises(BadRequest):
        add_server(name, actor=ADMIN)
    assert not Server.objects.exists()
