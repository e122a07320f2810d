"""``manage.py mpm webhook``, ``events`` and ``profile``: the same as by REST, from a shell."""

from __future__ import annotations

import pytest
from django.utils import timezone

from mpm.models import Delivery, Event, Webhook
from mpm.notify import webhooks
from mpm.servers.models import Server
from tests.api.conftest import AddServer, AddToken, Call
from tests.api.receiver import listening
from tests.api.test_webhooks import LOOPBACK, happen
from tests.panel.test_command_line import answer, mpm

pytestmark = pytest.mark.django_db


@LOOPBACK
def test_a_webhook_is_made_listed_altered_tested_and_removed(add_server: AddServer) -> None:
    add_server("web01")
    with listening() as receiver:
        status, made = answer(
            *("webhook", "create", "chat", receiver.url),
            *("--kind", "change.failed", "--server", "web01"),
        )
        assert status == 0
        webhook = Webhook.objects.get(uuid=made["id"])
        assert made["secret"] == webhooks.secret(webhook)
        assert (made["kinds"], made["servers"]) == (["change.failed"], ["web01"])

        assert [row["id"] for row in answer("webhook", "list")[1]["items"]] == [made["id"]]
        printed = mpm("webhook", "list")[1]
        assert [word in printed for word in ("chat", "change.failed", "web01")] == [True] * 3
        assert made["secret"] not in printed

        _, altered = answer("webhook", "update", made["id"], "--name", "ops", "--no-active")
        assert (altered["name"], altered["active"], altered["url"]) == ("ops", False, receiver.url)
        assert "Disabled" in mpm("webhook", "list")[1]
        answer("webhook", "update", made["id"], "--active")

        _, turned = answer("webhook", "rotate", made["id"])
        assert turned["secret"] not in (made["secret"], "")

        _, sent = answer("webhook", "test", made["id"])
        webhooks.run()
        assert receiver.received[-1][1]["webhook-id"] == sent["id"]
        assert answer("webhook", "show", made["id"])[1]["name"] == "ops"
        _, deliveries = answer("webhook", "deliveries", made["id"])
        assert [(item["id"], item["state"]) for item in deliveries["items"]] == [
            (sent["id"], "delivered")
        ]
        assert "delivered" in mpm("webhook", "deliveries", made["id"])[1]
        again = ("webhook", "redeliver", made["id"], sent["id"])
        assert answer(*again)[1]["state"] == "pending"
        Delivery.objects.update(state=Delivery.State.SENDING)
        status, problem = answer(*again)
        assert (status, problem["code"]) == (3, "being_sent")
    assert mpm("webhook", "delete", made["id"])[0] == 0
    assert not Webhook.objects.exists()
    events = Event.objects.filter(kind__startswith="webhook.").order_by("pk")
    assert [(event.kind.removeprefix("webhook."), event.origin) for event in events] == [
        (kind, "cli")
        for kind in ("created", "updated", "updated", "rotated", "tested", "redelivered", "deleted")
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "x", "http://127.0.0.1/"),
        ("create", "x", "https://8.8.8.8/", "--kind", "change.exploded"),
        ("create", "x", "https://8.8.8.8/", "--server", "web99"),
        ("create", "", "https://8.8.8.8/"),
        ("create", "x" * 101, "https://8.8.8.8/"),
        ("show", "nobody"),
        ("update", "nobody", "--name", "x"),
        ("rotate", "nobody"),
        ("test", "nobody"),
        ("delete", "nobody"),
        ("redeliver", "nobody", "nothing"),
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_what_cannot_be_is_refused_with_status_3(arguments: tuple[str, ...]) -> None:
    status, problem = answer("webhook", *arguments)
    assert (status, bool(problem["code"])) == (3, True)
    assert not Webhook.objects.exists()


def test_a_webhook_has_the_format_that_was_named() -> None:
    made = answer("webhook", "create", "x", "https://8.8.8.8/", "--format", "slack")[1]
    assert made["format"] == "slack"
    changed = answer("webhook", "update", made["id"], "--format", "teams")[1]
    assert (changed["format"], changed["url"]) == ("teams", "https://8.8.8.8/")
    assert "teams" in mpm("webhook", "show", made["id"])[1]
    assert answer("webhook", "update", made["id"], "--format", "email")[0] == 3
    assert answer("webhook", "create", "y", "https://8.8.8.8/")[1]["format"] == "generic"


def test_a_kind_of_event_that_there_is_none_of_is_refused() -> None:
    status, problem = answer("events", "--kind", "bogus")
    assert (status, problem["code"]) == (3, "unknown_kind")


def test_events_are_read_on_from_where_one_left_off(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    for name in ("web01", "web02"):
        add_server(name)
    token = add_token("change")
    _, start = answer("events")
    first = happen(call, token, "web01")
    happen(call, token, "web02")
    status, body = answer("events", "--cursor", start["next"], "--server", "web01")
    assert status == 0
    assert [item["id"] for item in body["items"]] == [first.pk]
    by_rest = call("GET", f"events?cursor={start['next']}&server=web01", token=token).body
    assert (body["next"], len(by_rest["items"])) == (by_rest["next"], 1)
    same = set(by_rest["items"][0]) - {"at"}
    assert {key: body["items"][0][key] for key in same} == {
        key: by_rest["items"][0][key] for key in same
    }
    assert answer("events", "--cursor", body["next"])[1]["items"] == []
    assert len(answer("events", "--kind", "change.queued")[1]["items"]) == 2
    text = mpm("events", "--limit", "1")[1]
    assert "token.created" in text
    assert "--cursor" in mpm("events", "--limit", "1")[2]
    assert mpm("events", "--cursor", "x y")[0] == 3


def test_the_installed_profile_is_the_one_of_rest(
    server: Server, add_token: AddToken, call: Call
) -> None:
    status, body = answer("profile", "--server", "web03")
    assert status == 0
    by_rest = call("GET", "servers/web03/profile", token=add_token("read")).body
    same = ("server", "digest", "source", "packages", "configured", "running", "facts")
    assert {key: body[key] for key in same} == {key: by_rest[key] for key in same}
    assert set(body) == set(by_rest)
    assert "ea-apache24-mod_mpm_prefork" in mpm("profile")[1]
    Server.objects.create(name="new", created_at=timezone.now())
    assert answer("profile", "--server", "new")[1]["code"] == "no_profile"
