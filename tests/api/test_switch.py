"""One call that changes the MPM: what it answers in every case, and that it is made once."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from mpm.models import Change, Event, IdempotentAnswer, State
from mpm.servers.inventory import record_scan
from mpm.servers.models import Server
from tests.api.conftest import PREFORK, AddServer, AddToken, Call, profile_with

EVENT = {"mpm": "event", "reason": "HTTP/2", "ticket": "OPS-1"}


def test_a_change_is_accepted_and_has_an_address(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change", name="deploy")
    answer = call(
        "PUT",
        "servers/web03/mpm",
        EVENT,
        token=token,
        X_Request_Id="follow-me-1",
        User_Agent="curl/8",
    )
    assert answer.status == 202
    change = Change.objects.get()
    assert answer.headers["Location"] == f"/api/v1/changes/{change.pk}"
    assert answer.body["change"]["to"] == {"mpm": "event", "itk": False}
    assert (change.origin, change.token_name, change.actor_role) == ("rest", "deploy", "token")
    assert (change.reason, change.ticket, change.agent_class) == ("HTTP/2", "OPS-1", "curl")
    assert change.request_id == answer.headers["X-Request-Id"] == "follow-me-1"
    assert Event.objects.get(change=change).request_id == "follow-me-1"
    assert call("GET", "changes?request_id=follow-me-1", token=token).body["items"][0]["id"] == (
        change.pk
    )


def test_nothing_to_do_is_no_change(server: Server, add_token: AddToken, call: Call) -> None:
    answer = call("PUT", "servers/web03/mpm", {"mpm": "prefork"}, token=add_token("change"))
    assert (answer.status, answer.body["changed"]) == (200, False)
    assert not Change.objects.exists()


def test_a_second_change_is_refused_and_names_the_one_in_the_way(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    first = call("PUT", "servers/web03/mpm", EVENT, token=token).body["change"]["id"]
    second = call("PUT", "servers/web03/mpm", {"mpm": "worker"}, token=token)
    assert (second.status, second.body["code"]) == (409, "busy")
    assert second.body["change"]["id"] == first
    assert f"/api/v1/changes/{first}" in second.headers["Link"]
    assert second.headers["Retry-After"]


def test_a_digest_confirms_exactly_one_plan(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    plan = call("POST", "servers/web03/plans", {"mpm": "event"}, token=token).body
    other = call(
        "PUT", "servers/web03/mpm", {"mpm": "worker", "digest": plan["digest"]}, token=token
    )
    assert (other.status, other.body["code"]) == (409, "stale")
    assert "ea-apache24-mod_mpm_worker" in other.body["plan"]["install"]
    assert other.body["plan"]["digest"] != plan["digest"]
    right = call(
        "PUT", "servers/web03/mpm", {"mpm": "event", "digest": plan["digest"]}, token=token
    )
    assert right.status == 202


def test_if_match_holds_the_server_to_what_was_seen(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    tag = call("GET", "servers/web03/mpm", token=token).headers["ETag"]
    moved = call("PUT", "servers/web03/mpm", EVENT, token=token, If_Match='"0000"')
    assert (moved.status, moved.body["code"]) == (412, "digest_mismatch")
    assert moved.headers["ETag"] == tag
    weak = call("PUT", "servers/web03/mpm", EVENT, token=token, If_Match=f"W/{tag}")
    assert weak.status == 412
    assert "without it" in weak.body["detail"]
    broken = call("PUT", "servers/web03/mpm", EVENT, token=token, If_Match="unquoted")
    assert broken.status == 400
    listed = call("PUT", "servers/web03/mpm", EVENT, token=token, If_Match=f'"x", {tag}')
    assert listed.status == 202


def test_a_server_can_insist_on_a_digest(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server(require_digest=True)
    token = add_token("change")
    for body in (EVENT, {**EVENT, "dry_run": True}):
        answer = call("PUT", "servers/web03/mpm", body, token=token)
        assert (answer.status, answer.body["code"]) == (428, "digest_required")
    digest = call("POST", "servers/web03/plans", {"mpm": "event"}, token=token).body["digest"]
    right = call("PUT", "servers/web03/mpm", {**EVENT, "digest": digest}, token=token)
    assert right.status == 202


def test_what_a_rule_blocks_is_answered_with_its_findings(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    body = {"mpm": "event", "itk": True}
    answer = call("PUT", "servers/web03/mpm", body, token=token)
    assert (answer.status, answer.body["code"]) == (422, "blocked")
    blocks = [item for item in answer.body["findings"] if item["severity"] == "block"]
    assert blocks
    assert all(item["code"] for item in blocks)
    plan = call("POST", "servers/web03/plans", body, token=token)
    assert (plan.status, plan.body["blocked"]) == (200, True)


def test_a_dry_run_checks_everything_and_writes_nothing(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    before = Event.objects.count()
    dry = {**EVENT, "dry_run": True}
    answer = call("PUT", "servers/web03/mpm", dry, token=token)
    assert (answer.status, answer.body["changed"], answer.body["dry_run"]) == (200, False, True)
    assert [item["name"] for item in answer.body["plan"]["install"]] == [
        "ea-apache24-mod_cgid",
        "ea-apache24-mod_mpm_event",
    ]
    stale = call("PUT", "servers/web03/mpm", {**dry, "digest": "0" * 32}, token=token)
    assert stale.status == 409
    assert not Change.objects.exists()
    assert Event.objects.count() == before
    call("PUT", "servers/web03/mpm", EVENT, token=token)
    busy = call("PUT", "servers/web03/mpm", {"mpm": "worker", "dry_run": True}, token=token)
    assert (busy.status, busy.body["code"]) == (409, "busy")


@pytest.mark.parametrize(
    "wish",
    [
        {"reason": "\x1b[2J"},
        {"not_after": "1999-01-01T00:00:00Z"},
        {"not_before": "1999-01-01T00:00:00Z", "not_after": "1999-01-02T00:00:00Z"},
        {"not_before": "9999-12-31T23:59:59Z"},
        {"not_before": "0001-01-01T00:00:00+14:00"},
        {"digest": "0" * 32},
        {"itk": True},
        {"keep": ["ea-apache24-mod_cgi"]},
        {"add": ["ea-apache24-mod_nonsense"]},
    ],
    ids=lambda wish: "-".join(wish),
)
def test_a_dry_run_is_refused_for_what_the_change_is_refused_for(
    server: Server, add_token: AddToken, call: Call, wish: dict[str, object]
) -> None:
    token = add_token("change")
    dry, real = (
        call("PUT", "servers/web03/mpm", {**EVENT, **wish, "dry_run": only}, token=token)
        for only in (True, False)
    )
    assert 400 <= dry.status == real.status < 500
    assert {**dry.body, "request_id": ""} == {**real.body, "request_id": ""}


def test_a_server_that_is_switched_off_is_not_changed_and_not_in_a_dry_run_either(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server(active=False)
    token = add_token("change")
    for dry in (True, False):
        answer = call("PUT", "servers/web03/mpm", {**EVENT, "dry_run": dry}, token=token)
        assert (answer.status, answer.body["code"]) == (409, "inactive")
    assert not Change.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_if_match_is_held_against_the_state_that_is_acted_upon(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    """A scan that is being recorded when the request comes is waited for, and counts."""
    server, token = add_server(), add_token("change")
    tag = call("GET", "servers/web03/mpm", token=token).headers["ETag"]
    recording = threading.Event()

    def scan() -> None:
        with transaction.atomic():
            row = Server.objects.select_for_update().get(pk=server.pk)
            seen = profile_with(*PREFORK, "ea-apache24-mod_suexec")
            record_scan(row, seen, timezone.now(), "scan")
            recording.set()
            time.sleep(0.7)
        connection.close()

    thread = threading.Thread(target=scan)
    thread.start()
    recording.wait(10)
    answer = call("PUT", "servers/web03/mpm", EVENT, token=token, If_Match=tag)
    thread.join()
    assert (answer.status, answer.body["code"]) == (412, "digest_mismatch")
    assert answer.headers["ETag"] == call("GET", "servers/web03/mpm", token=token).headers["ETag"]
    assert not Change.objects.exists()


def test_a_change_can_wait_for_its_window(server: Server, add_token: AddToken, call: Call) -> None:
    token = add_token("change")
    later = timezone.now() + timedelta(hours=2)
    answer = call(
        "PUT", "servers/web03/mpm", {**EVENT, "not_before": later.isoformat()}, token=token
    )
    assert answer.status == 202
    assert answer.body["change"]["state"] == "scheduled"
    assert Change.objects.get().not_before == later


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        [],
        "event",
        {"mpm": "itk"},
        {"mpm": "event", "itk": "yes"},
        {"mpm": "event", "add": ["--nogpgcheck"]},
        {"mpm": "event", "add": ["ea-x; rm -rf /"]},
        {"mpm": "event", "add": "ea-apache24-mod_suexec"},
        {"mpm": "event", "unknown": 1},
        {"mpm": "event", "reason": "x" * 501},
        {"mpm": "event", "ticket": "two\nlines"},
        {"mpm": "event", "digest": "short"},
        {"mpm": "event", "not_before": 1893456000},
        {"mpm": "event", "not_before": "2030-01-01T00:00:00"},
        {"mpm": "event", "not_after": "1999-01-01T00:00:00Z"},
        {"mpm": "event", "dry_run": 1},
    ],
)
def test_what_cannot_be_meant_is_refused_whole(
    server: Server, add_token: AddToken, call: Call, body: object
) -> None:
    answer = call("PUT", "servers/web03/mpm", body, token=add_token("change"))
    assert answer.status in (400, 422)
    assert answer.type == "application/problem+json"
    assert answer.body["request_id"] == answer.headers["X-Request-Id"]
    assert not Change.objects.exists()


def test_the_same_key_gives_the_same_answer(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    first = call("PUT", "servers/web03/mpm", EVENT, token=token, Idempotency_Key="k-1")
    again = call("PUT", "servers/web03/mpm", EVENT, token=token, Idempotency_Key="k-1")
    assert first.status == again.status == 202
    assert first.body == again.body
    assert first.headers["Location"] == again.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Change.objects.count() == 1


def test_a_key_with_another_body_is_refused(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    call("PUT", "servers/web03/mpm", EVENT, token=token, Idempotency_Key="k-1")
    other = call("PUT", "servers/web03/mpm", {"mpm": "worker"}, token=token, Idempotency_Key="k-1")
    assert (other.status, other.body["code"]) == (422, "key_reused")


def test_a_key_belongs_to_its_token(server: Server, add_token: AddToken, call: Call) -> None:
    call("PUT", "servers/web03/mpm", EVENT, token=add_token("change"), Idempotency_Key="k-1")
    other = call(
        "PUT", "servers/web03/mpm", {"mpm": "worker"}, token=add_token("change"),
        Idempotency_Key="k-1",
    )  # fmt: skip
    assert (other.status, other.body["code"]) == (409, "busy")


def test_a_refusal_is_an_answer_that_is_kept_too(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    stale = {**EVENT, "digest": "0" * 32}
    first = call("PUT", "servers/web03/mpm", stale, token=token, Idempotency_Key="k-2")
    record_scan(server, profile_with(*PREFORK, "ea-apache24-mod_env"), timezone.now(), "scan")
    again = call("PUT", "servers/web03/mpm", stale, token=token, Idempotency_Key="k-2")
    assert first.status == again.status == 409
    assert first.body == again.body


def test_what_is_only_busy_is_decided_anew_with_the_same_key(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token, wish = add_token("change", "rollback"), {"mpm": "worker"}
    first = call("PUT", "servers/web03/mpm", EVENT, token=token).body["change"]["id"]
    busy = [
        call("PUT", "servers/web03/mpm", wish, token=token, Idempotency_Key="k-2") for _ in "ab"
    ]
    assert [(one.status, one.headers["Retry-After"]) for one in busy] == [(409, "5")] * 2
    assert "Idempotency-Replayed" not in busy[1].headers
    Change.objects.filter(pk=first).update(state=State.CANCELED)
    made = call("PUT", "servers/web03/mpm", wish, token=token, Idempotency_Key="k-2")
    assert made.status == 202
    again = call("PUT", "servers/web03/mpm", wish, token=token, Idempotency_Key="k-2")
    assert (again.status, again.body) == (202, made.body)


def test_a_key_is_forgotten_after_a_day(server: Server, add_token: AddToken, call: Call) -> None:
    from mpm.access.tokens import prune_answers

    token = add_token("change")
    call("PUT", "servers/web03/mpm", EVENT, token=token, Idempotency_Key="k-1")
    old = timezone.now() - timedelta(hours=24, seconds=1)
    IdempotentAnswer.objects.update(created_at=old)
    Change.objects.update(state=State.CANCELED)
    again = call("PUT", "servers/web03/mpm", {"mpm": "worker"}, token=token, Idempotency_Key="k-1")
    assert again.status == 202
    IdempotentAnswer.objects.update(created_at=old)
    assert prune_answers(timezone.now()) == 1


def test_a_read_token_may_not_change(server: Server, add_token: AddToken, call: Call) -> None:
    for scope in ("read", "plan", "rollback"):
        answer = call("PUT", "servers/web03/mpm", EVENT, token=add_token(scope))
        assert (answer.status, answer.body["code"]) == (403, "not_allowed")
    assert not Change.objects.exists()


def test_itk_comes_with_prefork(add_server: AddServer, add_token: AddToken, call: Call) -> None:
    add_server(profile=profile_with(*PREFORK, "ea-apache24-mod_suexec"))
    token = add_token("change")
    plan = call("POST", "servers/web03/plans", {"mpm": "prefork", "itk": True}, token=token).body
    assert "ea-apache24-mod_mpm_itk" in [item["name"] for item in plan["install"]]
    assert "ea-apache24-mod_suexec" in [item["name"] for item in plan["remove"]]
    kept = call(
        "PUT",
        "servers/web03/mpm",
        {"mpm": "prefork", "itk": True, "keep": ["ea-apache24-mod_suexec"]},
        token=token,
    )
    assert (kept.status, kept.body["code"]) == (422, "blocked")
