"""``manage.py mpm token``: what it says, its JSON, and its exit status."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mpm.access import tokens
from mpm.models import Event, Token
from tests.api.conftest import AddServer
from tests.panel.test_command_line import answer, mpm

pytestmark = pytest.mark.django_db


def test_a_token_is_made_listed_rotated_and_revoked(add_server: AddServer) -> None:
    add_server("web01")
    status, made = answer(
        *("token", "create", "deploy", "--scope", "change", "--server", "web01"),
        *("--network", "192.0.2.0/24", "--days", "30", "--per-minute", "5", "--purpose", "CI"),
    )
    assert status == 0
    token = tokens.check(made["token"], "192.0.2.9")
    assert (token.scopes, token.servers, token.per_minute) == (["change"], ["web01"], 5)
    assert token.expires_at is not None
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)

    _, listed = answer("token", "list")
    assert [(row["id"], row["state"]) for row in listed["items"]] == [(made["id"], "active")]
    assert made["token"] not in mpm("token", "list")[1]
    assert "web01" in mpm("token", "list")[1]

    status, turned = answer("token", "rotate", made["id"], "--overlap-hours", "2")
    assert status == 0
    assert turned["token"] != made["token"]
    soon = timezone.now() + timedelta(hours=3)
    assert tokens.check(made["token"], "192.0.2.9").pk
    with pytest.raises(tokens.Denied):
        tokens.check(made["token"], "192.0.2.9", soon)
    assert tokens.check(turned["token"], "192.0.2.9", soon).pk

    assert answer("token", "revoke", turned["id"])[1]["state"] == "revoked"
    with pytest.raises(tokens.Denied):
        tokens.check(turned["token"], "192.0.2.9")
    assert mpm("token", "revoke", turned["id"])[0] == 0
    events = list(Event.objects.filter(kind__startswith="token.").values_list("kind", "origin"))
    assert events == [("token.created", "cli"), ("token.rotated", "cli"), ("token.revoked", "cli")]


def test_a_token_is_for_the_servers_that_were_named(add_server: AddServer) -> None:
    for name in ("web01", "web02", "web03"):
        add_server(name)
    made = answer("token", "create", "ci", "--scope", "change", "--server", "web01")[1]
    assert made["servers"] == ["web01"]
    named = ("--server", "web01", "--server", "web02")
    assert answer("token", "create", "ci", "--scope", "change", *named)[1]["servers"] == [
        "web01",
        "web02",
    ]


def test_implied_removals_of_a_token_are_turned_on_and_off() -> None:
    made = answer("token", "create", "java", "--scope", "change", "--implied-removals")[1]
    assert made["implied_removals"] is True
    _, updated = answer("token", "update", made["id"], "--no-implied-removals", "--name", "billing")
    assert (updated["implied_removals"], updated["name"]) == (False, "billing")
    assert "Implied removals" in mpm("token", "update", made["id"], "--implied-removals")[1]
    assert mpm("token", "update", made["id"])[0] == 2


def test_the_secret_alone_is_on_standard_output() -> None:
    status, out, err = mpm("token", "create", "deploy", "--scope", "read")
    assert (status, out.count("\n")) == (0, 1)
    assert tokens.TOKEN.match(out.strip())
    assert "this once only" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "x", "--scope", "read", "--server", "nowhere"),
        ("create", "x", "--scope", "read", "--network", "10.0.0.0/99"),
        ("create", "x", "--scope", "read", "--expires", "tomorrow"),
        ("create", "x", "--scope", "read", "--expires", "2020-01-01T00:00:00Z"),
        ("create", "", "--scope", "read"),
        ("rotate", "nobody"),
        ("revoke", "no:body"),
    ],
)
def test_what_cannot_be_meant_ends_with_status_3_and_creates_nothing(
    arguments: tuple[str, ...],
) -> None:
    status, body = answer("token", *arguments)
    assert status == 3
    assert body["code"]
    assert not Token.objects.exists()
