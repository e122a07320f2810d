"""Tokens: what is kept, what is told, and who gets in."""

from __future__ import annotations

import hmac
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from mpm.access import tokens
from mpm.access.scopes import (
    BadGrant,
    Scope,
    checked_networks,
    checked_scopes,
    scopes_of,
    within,
)
from mpm.access.services.actor import SYSTEM, Actor, BadRequest
from mpm.access.services.users import add_user, set_active, set_role
from mpm.models import Event, Token
from mpm.servers.models import Server
from tests.api.conftest import ADMIN, AddServer, AddToken, Call


def test_the_secret_is_nowhere_but_in_the_answer(add_token: AddToken) -> None:
    issued = add_token("read")
    secret = issued.text.rsplit("_", 1)[1]
    assert tokens.TOKEN.match(issued.text)
    assert issued.text.startswith("ea4mpm_")
    row = Token.objects.filter(pk=issued.token.pk).values().get()
    assert secret not in str(row)
    assert secret not in str(list(Event.objects.values()))
    assert row["digest"] not in str(list(Event.objects.values()))
    assert len({add_token("read").text for _ in range(50)}) == 50


def test_the_right_token_gets_in(server: Server, add_token: AddToken, call: Call) -> None:
    assert call("GET", "token", token=add_token("read")).body["scopes"] == ["read"]


def test_unknown_and_wrong_look_the_same(server: Server, add_token: AddToken, call: Call) -> None:
    issued = add_token("read")
    wrong = issued.text[:-1] + ("a" if issued.text[-1] != "a" else "b")
    unknown = "ea4mpm_" + "Z" * 12 + "_" + "Z" * 43
    answers = [call("GET", "servers", token=text) for text in (wrong, unknown, "x", "ea4mpm_a_b")]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body["detail"] for answer in answers}) == 1
    assert all("invalid_token" in answer.headers["WWW-Authenticate"] for answer in answers)
    none = call("GET", "servers")
    assert (none.status, none.type) == (401, "application/problem+json")
    basic = call("GET", "servers", Authorization=f"Basic {issued.text}")
    assert basic.status == 401


def test_unknown_and_wrong_take_the_same_way(
    add_token: AddToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = add_token("read")
    texts = {
        "wrong": issued.text[:-1] + ("a" if issued.text[-1] != "a" else "b"),
        "unknown": "ea4mpm_" + "Z" * 12 + "_" + "Z" * 43,
        "no token": "nothing of the kind",
    }
    work: list[str] = []
    seal, compare = tokens._seal, hmac.compare_digest

    def counted_seal(pepper: bytes, key_id: str, secret: str) -> str:
        work.append("HMAC")
        return seal(pepper, key_id, secret)

    def counted_comparison(one: str, other: str) -> bool:
        work.append(f"comparison of {len(one)} with {len(other)}")
        return compare(one, other)

    monkeypatch.setattr(tokens, "_seal", counted_seal)
    monkeypatch.setattr("mpm.access.tokens.hmac.compare_digest", counted_comparison)
    ways: dict[str, tuple[list[str], list[str], str]] = {}
    for name, text in texts.items():
        work.clear()
        with CaptureQueriesContext(connection) as queries, pytest.raises(tokens.Denied) as denied:
            tokens.check(text, "192.0.2.1")
        statements = [re.sub(r"'[^']*'", "?", query["sql"]) for query in queries]
        ways[name] = (statements, list(work), str(denied.value))
    assert ways["wrong"] == ways["unknown"] == ways["no token"]
    assert ways["wrong"][1] == ["HMAC", "comparison of 64 with 64"]
    assert len(ways["wrong"][0]) == 1


def test_an_expired_or_revoked_token_is_told_to_who_holds_it(
    server: Server, add_token: AddToken, call: Call
) -> None:
    expired, revoked = add_token("read"), add_token("read")
    Token.objects.filter(pk=expired.token.pk).update(expires_at=timezone.now())
    tokens.revoke(revoked.token, ADMIN)
    assert "expired" in call("GET", "servers", token=expired).body["detail"]
    assert "revoked" in call("GET", "servers", token=revoked).body["detail"]
    assert tokens.revoke(revoked.token, ADMIN) is False
    assert Event.objects.filter(kind="token.revoked").count() == 1


def test_a_token_is_held_to_its_networks(add_token: AddToken) -> None:
    issued = add_token("read", networks=["198.51.100.0/24", "2001:db8::1"])
    for address in ("198.51.100.7", "2001:db8::1", "::ffff:198.51.100.9"):
        assert tokens.check(issued.text, address).pk
    for address in ("198.51.101.7", "2001:db8::2", "", "nonsense"):
        with pytest.raises(tokens.Denied, match="is not allowed from"):
            tokens.check(issued.text, address)


@override_settings(TRUSTED_PROXIES=1)
def test_only_the_entry_of_our_own_proxy_counts_as_the_address(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change", networks=["198.51.100.0/24"])
    forged = call("GET", "servers", token=token, X_Forwarded_For="198.51.100.7, 203.0.113.9")
    assert forged.status == 401
    true = call(
        "PUT",
        "servers/web03/mpm",
        {"mpm": "event"},
        token=token,
        X_Forwarded_For="203.0.113.9, 198.51.100.7",
    )
    assert true.status == 202
    assert Event.objects.get(kind="change.queued").address == "198.51.100.7"
    assert (
        call("GET", "token", token=token, X_Forwarded_For="198.51.100.8").body["last_used_address"]
        == "198.51.100.7"
    )


def test_the_last_use_is_written_at_most_once_a_minute(
    add_token: AddToken, django_assert_num_queries: Any
) -> None:
    issued, now = add_token("read"), timezone.now()
    with django_assert_num_queries(2):
        tokens.check(issued.text, "192.0.2.1", now)
    for second in (1, 30, 59):
        with django_assert_num_queries(1):
            tokens.check(issued.text, "192.0.2.2", now + timedelta(seconds=second))
    issued.token.refresh_from_db()
    assert (issued.token.last_used_at, issued.token.last_used_address) == (now, "192.0.2.1")
    later = now + timedelta(seconds=60)
    tokens.check(issued.text, "192.0.2.2", later)
    issued.token.refresh_from_db()
    assert issued.token.last_used_at == later


def test_a_token_whose_pepper_is_gone_is_told_to_the_log_and_not_to_the_caller(
    add_token: AddToken, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(TOKEN_PEPPERS={"2025": b"a" * 32}):
        lost = add_token("read")
    with pytest.raises(tokens.Denied, match=r"^The token is not valid\.$"):
        tokens.check(lost.text, "")
    assert f"{lost.token.key_id} needs the pepper 2025" in caplog.text
    assert lost.text.rpartition("_")[2] not in caplog.text


def test_a_new_pepper_takes_over_as_tokens_are_used(add_token: AddToken) -> None:
    old, new = {"2025": b"a" * 32}, {"2026": b"b" * 32}
    with override_settings(TOKEN_PEPPERS=old):
        used, idle = add_token("read"), add_token("read")
    with override_settings(TOKEN_PEPPERS=new | old):
        assert tokens.check(used.text, "").pk
    with override_settings(TOKEN_PEPPERS=new):
        assert tokens.check(used.text, "").pk
        with pytest.raises(tokens.Denied):
            tokens.check(idle.text, "")
    assert Token.objects.get(pk=used.token.pk).pepper_id == "2026"


def test_rotating_overlaps(add_token: AddToken) -> None:
    now = timezone.now()
    old = add_token("change", networks=["192.0.2.0/24"], purpose="CI")
    new = tokens.rotate(old.token, ADMIN, timedelta(hours=2), now)
    assert new.token.replaces == old.token
    assert (new.token.scopes, new.token.networks) == (old.token.scopes, old.token.networks)
    assert tokens.check(old.text, "192.0.2.1", now + timedelta(minutes=119)).pk
    with pytest.raises(tokens.Denied):
        tokens.check(old.text, "192.0.2.1", now + timedelta(hours=2))
    assert tokens.check(new.text, "192.0.2.1", now + timedelta(days=900)).pk
    with pytest.raises(BadRequest):
        tokens.rotate(
            Token.objects.get(pk=old.token.pk), ADMIN, timedelta(0), now + timedelta(days=1)
        )


def test_an_admin_token_manages_tokens_no_greater_than_itself(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server("web01")
    add_server("web02")
    admin = add_token("admin", servers=["web01"])
    made = call("POST", "tokens", {"name": "ci", "scopes": ["change"]}, token=admin)
    assert made.status == 201
    assert made.body["servers"] == ["web01"]
    assert call("GET", "servers/web01", token=made.body["token"]).status == 200
    assert call("GET", "servers/web02", token=made.body["token"]).status == 404
    beyond = call(
        "POST", "tokens", {"name": "ci", "scopes": ["read"], "servers": ["web02"]}, token=admin
    )
    assert (beyond.status, beyond.body["code"]) == (422, "unknown_server")
    listed = call("GET", "tokens", token=admin).body["items"]
    assert {item["name"] for item in listed} == {"ci", "deploy"}
    assert all("token" not in item and "digest" not in item for item in listed)
    key = made.body["id"]
    rotated = call("POST", f"tokens/{key}/rotate", {"overlap_hours": 0}, token=admin)
    assert rotated.status == 201
    assert call("GET", "token", token=made.body["token"]).status == 401
    assert call("GET", "token", token=rotated.body["token"]).status == 200
    for _ in range(2):
        assert call("DELETE", f"tokens/{rotated.body['id']}", token=admin).status == 204
    assert call("GET", "token", token=rotated.body["token"]).status == 401
    every = add_token("admin")
    assert call("GET", f"tokens/{every.token.key_id}", token=admin).status == 404
    for method, path in (("GET", "tokens"), ("POST", "tokens"), ("GET", "webhooks")):
        body = {"name": "x", "scopes": ["read"]} if method == "POST" else None
        assert call(method, path, body, token=add_token("change", "rollback")).status == 403


def test_a_token_cannot_make_one_that_outlives_it_or_leaves_the_sandbox(
    add_token: AddToken, call: Call
) -> None:
    end = timezone.now() + timedelta(days=1)
    admin = add_token("admin", expires_at=end, sandbox=True)
    longer = {
        "name": "x",
        "scopes": ["read"],
        "expires_at": (end + timedelta(days=1)).isoformat(),
    }
    assert call("POST", "tokens", longer, token=admin).status == 403
    made = call("POST", "tokens", {"name": "x", "scopes": ["read"]}, token=admin).body
    assert made["sandbox"] is True
    assert made["expires_at"]


def test_a_token_makes_and_rotates_none_that_is_let_in_from_elsewhere_longer_or_more_often(
    add_token: AddToken, call: Call
) -> None:
    end = timezone.now() + timedelta(days=1)
    admin = add_token("admin", networks=["127.0.0.0/8"], per_minute=50, expires_at=end)
    wish: dict[str, Any] = {"name": "x", "scopes": ["read"]}
    for more in ({"networks": ["0.0.0.0/0"]}, {"networks": ["::/0"]}, {"per_minute": 51}):
        assert call("POST", "tokens", wish | more, token=admin).status == 403, more
    assert call("POST", "tokens", wish | {"networks": ["nowhere"]}, token=admin).status == 422
    made = call("POST", "tokens", wish | {"networks": ["127.0.0.1"]}, token=admin).body
    assert made["networks"] == ["127.0.0.1/32"]
    assert made["per_minute"] == 50
    for other in (
        add_token("read", expires_at=end),
        add_token("read", networks=["127.0.0.0/8"]),
        add_token("read", networks=["127.0.0.1", "192.0.2.0/24"], expires_at=end),
    ):
        path = f"tokens/{other.token.key_id}/rotate"
        assert call("POST", path, {"overlap_hours": 0}, token=admin).status == 403
    path = f"tokens/{made['id']}/rotate"
    assert call("POST", path, {"overlap_hours": 0}, token=admin).status == 201


def test_a_token_is_worth_nothing_once_its_maker_is_no_administrator(db: None, call: Call) -> None:
    add_user("ben", "administrator", actor=SYSTEM, password="long enough for a test")
    cleo, _ = add_user("cleo", "administrator", actor=SYSTEM, password="long enough for a test")
    actor = Actor(name="cleo", role="administrator", user_id=cleo.pk)
    first = tokens.issue(actor, name="ci", scopes=["admin"])
    made = call("POST", "tokens", {"name": "child", "scopes": ["read"]}, token=first).body
    path = f"tokens/{made['id']}/rotate"
    child = call("POST", path, {"overlap_hours": 0}, token=first).body["token"]
    both = (first.text, child)
    assert [call("GET", "token", token=text).status for text in both] == [200, 200]
    set_role(cleo, "support", SYSTEM)
    assert [call("GET", "token", token=text).status for text in both] == [401, 401]
    set_role(cleo, "administrator", SYSTEM)
    set_active(cleo, False, SYSTEM)
    assert [call("GET", "token", token=text).status for text in both] == [401, 401]
    set_active(cleo, True, SYSTEM)
    assert [call("GET", "token", token=text).status for text in both] == [200, 200]


@pytest.mark.parametrize(
    "grant",
    [
        {"scopes": ["root"]},
        {"scopes": []},
        {"networks": ["10.0.0.0/33"]},
        {"servers": ["nowhere"]},
        {"name": ""},
        {"name": "two\nlines"},
        {"expires_at": timezone.now() - timedelta(days=1)},
    ],
)
@pytest.mark.django_db
def test_a_grant_that_does_not_exist_is_refused(grant: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        tokens.issue(ADMIN, **{"name": "x", "scopes": ["read"], **grant})
    assert not Token.objects.exists()


def test_who_may_change_may_look() -> None:
    assert scopes_of(["change"]) == {Scope.READ, Scope.PLAN, Scope.CHANGE}
    assert Scope.CHANGE not in scopes_of(["rollback"])
    assert scopes_of(["admin"]) == set(Scope)
    assert scopes_of(["nonsense"]) == set()
    assert checked_scopes(["change", "read", "read"]) == ["read", "change"]


@given(st.ip_addresses(), st.integers(0, 32))
def test_a_network_holds_its_own_addresses(address: Any, length: int) -> None:
    network = checked_networks([f"{address}/{length}"])
    assert within(str(address), network)
    assert within(str(address), [])


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(BadGrant):
        checked_networks(["10.0.0.0/8", "here"])


def test_the_name_the_purpose_and_implied_removals_of_a_token_can_be_updated_and_nothing_else(
    server: Server, add_token: AddToken, call: Call
) -> None:
    admin, one = add_token("admin", name="boss"), add_token("change", name="java")
    path = f"tokens/{one.token.key_id}"
    assert call("GET", path, token=admin).body["implied_removals"] is False
    answer = call("PATCH", path, {"implied_removals": True, "purpose": "CI"}, token=admin)
    assert (answer.status, answer.body["implied_removals"], answer.body["purpose"]) == (
        200,
        True,
        "CI",
    )
    assert answer.body["name"] == "java"
    event = Event.objects.get(kind="token.updated")
    assert (event.token_name, event.data["implied_removals"]) == ("boss", True)
    for wish in ({"scopes": ["admin"]}, {"implied_removals": None}, {"name": ""}, {"name": " "}):
        assert call("PATCH", path, wish, token=admin).status == 422
    assert call("PATCH", path, {}, token=admin).status == 200
    assert call("PATCH", path, {"purpose": "CI"}, token=admin).status == 200
    assert Event.objects.filter(kind="token.updated").count() == 1
    assert call("PATCH", path, {"purpose": "x"}, token=one).status == 403
    rotated = tokens.rotate(Token.objects.get(pk=one.token.pk), ADMIN, timedelta(hours=1))
    assert rotated.token.implied_removals is True
    tokens.revoke(one.token, ADMIN)
    assert call("PATCH", path, {"purpose": "late"}, token=admin).status == 422


def test_a_token_does_not_update_one_that_may_do_more(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server("web01")
    narrow, wide = add_token("admin", servers=["web01"]), add_token("change")
    answer = call("PATCH", f"tokens/{wide.token.key_id}", {"name": "mine"}, token=narrow)
    assert answer.status == 404


def test_implied_removals_are_off_where_nobody_turns_them_on(
    server: Server, add_token: AddToken, call: Call
) -> None:
    admin = add_token("admin")
    wish = {"name": "ci", "scopes": ["change"]}
    assert call("POST", "tokens", wish, token=admin).body["implied_removals"] is False
    wish["implied_removals"] = True  # type: ignore[assignment]
    assert call("POST", "tokens", wish, token=admin).body["implied_removals"] is True
