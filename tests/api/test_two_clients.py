"""Two clients of one server, a change that takes time, repeats and endings, in any order: no door
ever says that the server is what it is about to stop being, and each change is made once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from easyapache.ea4.mpm import Choice
from mpm.access.services.actor import Busy, NothingToDo, Refused, UnderWay
from mpm.access.throttle import limiter
from mpm.access.tokens import issue
from mpm.changes.services.cancel import cancel as cancel_change
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change, would_change
from mpm.models import Change, State
from mpm.servers.inventory import record_scan
from mpm.servers.models import Server
from tests.api.conftest import ADMIN, APACHE, AddServer, AddToken, Call, Whm, profile_with, refused
from tests.panel.reports import finish, step

MPMS = st.sampled_from(["event", "worker", "prefork"])
CLIENTS = st.sampled_from(["ada", "bob"])
KEYS = st.sampled_from(["", "k-1", "k-2"])
PATH = "servers/web03/mpm"


class TwoClients(RuleBasedStateMachine):
    """``runs`` is what the server is; ``kept`` what a key made and with which wish."""

    def __init__(self) -> None:
        super().__init__()
        limiter.cache_clear()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        now = timezone.now()
        self.server = Server.objects.create(name="web03", kind="simulated", created_at=now)
        record_scan(self.server, profile_with(), now, "scan")
        self.tokens = {
            name: issue(ADMIN, name=name, scopes=("change",), per_minute=100_000).text
            for name in ("ada", "bob")
        }
        self.http = Client()
        self.runs = "prefork"
        self.kept: dict[tuple[str, str], tuple[dict[str, Any], int]] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undone.__exit__(None, None, None)

    @property
    def active(self) -> Change | None:
        return self.server.changes.filter(finished_at=None).first()

    def put(self, client: str, body: dict[str, Any], key: str = "") -> tuple[int, Any, Any]:
        headers = {"Authorization": f"Bearer {self.tokens[client]}"}
        if key:
            headers["Idempotency-Key"] = key
        answer = self.http.generic(
            "PUT", f"/api/v1/{PATH}", json.dumps(body), content_type="application/json",
            headers=headers,
        )  # fmt: skip
        return answer.status_code, json.loads(answer.content), answer.headers

    @rule(client=CLIENTS, mpm=MPMS, key=KEYS, later=st.booleans())
    def wish(self, client: str, mpm: str, key: str, *, later: bool) -> None:
        body: dict[str, Any] = {"mpm": mpm}
        if later:
            body["not_before"] = f"{timezone.now() + timedelta(days=1):%Y-%m-%dT00:00:00Z}"
        active, count = self.active, Change.objects.count()
        status, told, headers = self.put(client, body, key)
        kept = self.kept.get((client, key)) if key else None
        if kept is not None:
            wanted, number = kept
            if wanted == body:
                assert (status, told["change"]["id"]) == (202, number)
                assert headers["Idempotency-Replayed"] == "true"
            else:
                assert (status, told["code"]) == (422, "key_reused")
            assert Change.objects.count() == count
            return
        assert "Idempotency-Replayed" not in headers
        if active is not None:
            same = active.to_mpm == mpm and (active.not_before is not None) == later
            if same and active.state != State.CANCELING:
                assert (status, told["change"]["id"]) == (202, active.pk)
                assert headers["Location"] == f"/api/v1/changes/{active.pk}"
            else:
                assert (status, told["code"]) == (409, "busy")
                assert (told["change"]["id"], headers["Retry-After"]) == (active.pk, "5")
            assert Change.objects.count() == count
        elif mpm == self.runs:
            assert (status, told["changed"], told["change"]) == (200, False, None)
        else:
            assert (status, told["changed"]) == (202, True)
            assert Change.objects.count() == count + 1
        if key and status == 202:
            self.kept[client, key] = (body, told["change"]["id"])

    @rule(client=CLIENTS, mpm=MPMS)
    def ask_whether(self, client: str, mpm: str) -> None:
        active = self.active
        status, told, _headers = self.put(client, {"mpm": mpm, "dry_run": True}, "dry")
        if active is None:
            assert (status, told["dry_run"], told["changed"]) == (200, True, False)
            assert (told["plan"] is None) == (mpm == self.runs)
        elif status == 200:
            assert (told["change"]["id"], active.to_mpm, active.not_before) == (
                active.pk,
                mpm,
                None,
            )
        else:
            assert (status, told["change"]["id"]) == (409, active.pk)

    @rule(mpm=MPMS)
    def ask_the_service(self, mpm: str) -> None:
        active = self.active
        refusal: Refused | None = None
        try:
            would_change(self.server, Choice.parse(mpm), actor=ADMIN)
        except Refused as no:
            refusal = no
        if active is None:
            assert isinstance(refusal, NothingToDo if mpm == self.runs else type(None))
        else:
            assert isinstance(refusal, Busy)
            assert refusal.change == active
            assert not isinstance(refusal, UnderWay) or active.to_mpm == mpm

    @precondition(lambda self: self.active is not None)
    @rule()
    def begin(self) -> None:
        active = self.active
        assert active is not None
        if active.state == State.QUEUED:
            record_reports("web03", active.uuid, [step(1, "preflight")])

    @precondition(lambda self: self.active is not None)
    @rule()
    def cancel(self) -> None:
        active = self.active
        assert active is not None
        cancel_change(active, ADMIN)

    @precondition(lambda self: self.active is not None)
    @rule(result=st.sampled_from(["succeeded", "restored", "not_started", "canceled"]))
    def end(self, result: str) -> None:
        active = self.active
        assert active is not None
        if active.state == State.SCHEDULED:
            return
        finish(active, result)
        if result == "succeeded":
            self.runs = active.to_mpm

    @invariant()
    def there_is_at_most_one(self) -> None:
        assert self.server.changes.filter(finished_at=None).count() <= 1


@pytest.mark.django_db
def test_two_clients_are_told_the_truth_in_every_order() -> None:
    run_state_machine_as_test(
        TwoClients,
        settings=settings(
            max_examples=25,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.CANCELING])
def test_the_state_that_is_being_left_is_busy_at_every_door(
    server: Server, add_token: AddToken, call: Call, whm: Whm, state: str
) -> None:
    token = add_token("change")
    made = call("PUT", PATH, {"mpm": "event"}, token=token).body["change"]["id"]
    Change.objects.filter(pk=made).update(state=state)
    for body in ({"mpm": "prefork"}, {"mpm": "prefork", "dry_run": True}):
        answer = call("PUT", PATH, body, token=token, Idempotency_Key="k")
        assert (answer.status, answer.body["code"]) == (409, "busy")
        assert answer.body["change"]["id"] == made
    back = {
        "install": [f"{APACHE}-mod_mpm_prefork", f"{APACHE}-mod_cgi"],
        "uninstall": [f"{APACHE}-mod_mpm_event", f"{APACHE}-mod_cgid"],
    }
    assert f"Change #{made}" in refused(whm("package_manager_submit_actions", **back))
    with pytest.raises(Busy):
        request_change(server, Choice.parse("prefork"), actor=ADMIN)
    assert Change.objects.count() == 1


def test_a_key_never_keeps_that_no_changes_are_needed(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    wish = {"mpm": "prefork"}
    first = call("PUT", PATH, wish, token=token, Idempotency_Key="k")
    assert (first.status, first.body["changed"]) == (200, False)
    record_scan(server, profile_with(f"{APACHE}-mod_mpm_event", mpm="event"), timezone.now(), "s")
    again = call("PUT", PATH, wish, token=token, Idempotency_Key="k")
    assert (again.status, again.body["changed"]) == (202, True)


def test_a_key_never_keeps_what_a_rule_blocked(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    from dataclasses import replace

    sound = profile_with()
    broken = replace(
        sound, configured=None, facts={**sound.facts, "configured_error": "Syntax error"}
    )
    server, token = add_server(profile=broken), add_token("change")
    wish = {"mpm": "event"}
    first = call("PUT", PATH, wish, token=token, Idempotency_Key="k")
    assert (first.status, first.body["code"]) == (422, "blocked")
    record_scan(server, sound, timezone.now(), "scan")
    assert call("PUT", PATH, wish, token=token, Idempotency_Key="k").status == 202


def test_a_change_scheduled_for_later_is_in_the_way_of_the_same_state_now(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token, later = add_token("change"), f"{timezone.now() + timedelta(days=1):%Y-%m-%dT00:00:00Z}"
    wish = {"mpm": "event", "not_before": later}
    scheduled = call("PUT", PATH, wish, token=token).body["change"]["id"]
    assert call("PUT", PATH, wish, token=token).body["change"]["id"] == scheduled
    for other in ({"mpm": "event"}, {"mpm": "prefork"}, {"mpm": "worker"}):
        answer = call("PUT", PATH, other, token=token)
        assert (answer.status, answer.body["change"]["id"]) == (409, scheduled)


def test_another_plan_for_the_same_state_is_not_the_change_under_way(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    call("PUT", PATH, {"mpm": "event"}, token=token)
    for wish in (
        {"mpm": "event", "digest": "0" * 32},
        {"mpm": "event", "add": ["ea-apache24-mod_suexec"]},
        {"mpm": "prefork", "itk": True},
    ):
        answer = call("PUT", PATH, wish, token=token)
        assert (answer.status, answer.body["code"]) == (409, "busy")


def test_a_rollback_that_has_not_ended_answers_for_itself(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change", "rollback")
    made = call("PUT", PATH, {"mpm": "event"}, token=token).body["change"]["id"]
    finish(Change.objects.get(pk=made))
    back = [call("POST", f"changes/{made}/rollback", {}, token=token) for _ in "ab"]
    assert [one.status for one in back] == [202, 202]
    assert back[0].body["id"] == back[1].body["id"]
    same = call("PUT", PATH, {"mpm": "prefork"}, token=token)
    assert (same.status, same.body["change"]["id"]) == (202, back[0].body["id"])


def test_a_repeated_whm_submit_is_the_same_build(server: Server, whm: Whm) -> None:
    wish = {"install": f"{APACHE}-mod_mpm_event", "uninstall": f"{APACHE}-mod_mpm_prefork"}
    first, second = (whm("package_manager_submit_actions", **wish) for _ in "ab")
    assert first["data"]["build"] == second["data"]["build"]
    assert Change.objects.count() == 1
