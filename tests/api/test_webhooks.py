"""Webhooks: what is sent, how it is signed, when again, and where it never goes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Receiver
from standardwebhooks import WebhookVerificationError

from mpm.models import Delivery, Event, Webhook
from mpm.notify import signature, webhooks
from mpm.notify.webhooks import PAUSES
from mpm.servers.models import Server
from tests.api.conftest import ADMIN, AddServer, AddToken, Call
from tests.api.receiver import listening

LOOPBACK = override_settings(WEBHOOK_ALLOWED_NETWORKS=["127.0.0.0/8"])
State = Delivery.State


def hook(url: str, **wanted: Any) -> Webhook:
    return webhooks.make(ADMIN, name="chat", url=url, **wanted)


def happen(call: Call, token: Any, server: str = "web03") -> Event:
    """A change is asked for: one event of the kind change.queued."""
    answer = call("PUT", f"servers/{server}/mpm", {"mpm": "event"}, token=token)
    assert answer.status == 202
    return Event.objects.filter(kind="change.queued").latest("pk")


# -- signing ---------------------------------------------------------------------------------


@LOOPBACK
def test_a_delivery_is_signed_as_standard_webhooks_say(
    server: Server, add_token: AddToken, call: Call
) -> None:
    with listening() as receiver:
        made = hook(receiver.url, kinds=["change.queued"])
        event = happen(call, add_token("change"))
        webhooks.run()
        path, headers, body = receiver.received[-1]
    assert path == "/hook?from=panel"
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    message = json.loads(body)
    assert (message["type"], message["data"]["id"]) == ("change.queued", event.pk)
    assert message["data"]["hash"] == event.hash
    secret = webhooks.secret(made)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    proof = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{proof}"
    receiving = Receiver(secret)
    assert receiving.verify(body, headers) == message
    moved = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}
    for bad_body, bad_headers in ((body + b" ", headers), (body, moved)):
        with pytest.raises(WebhookVerificationError):
            receiving.verify(bad_body, bad_headers)


def is_signed_with(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """As a receiver finds out, whatever the time is."""
    moment = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    expected = Receiver(secret).sign(headers["webhook-id"], moment, body.decode())
    return expected in headers["webhook-signature"].split()


@given(
    st.binary(min_size=1),
    st.text('{}"a\u00e4\u20ac\U0001f600\n'),
    st.text("abcdef0123456789", min_size=1),
    st.integers(0, 4_000_000_000),
)
def test_only_the_right_secret_verifies(pepper: bytes, text: str, name: str, stamp: int) -> None:
    body = text.encode()
    first, second = (signature.derive_secret(pepper, name, generation) for generation in (1, 2))
    headers = signature.headers_for([first], "id", stamp, body)
    key = base64.b64decode(first.removeprefix("whsec_"))
    proof = hmac.new(key, f"id.{stamp}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(proof).decode()}"
    assert is_signed_with(first, headers, body)
    assert not is_signed_with(second, headers, body)


@LOOPBACK
def test_a_rotated_secret_overlaps_for_a_day(db: None) -> None:
    with listening() as receiver:
        made = hook(receiver.url)
        old, now = webhooks.secret(made), timezone.now()
        new = webhooks.rotate(made, ADMIN, now)
        assert new != old
        for wait, good in ((timedelta(0), (old, new)), (timedelta(hours=25), (new,))):
            webhooks.send_test(made, ADMIN, now + wait)
            webhooks.deliver_due(now + wait)
            _, headers, body = receiver.received[-1]
            assert len(headers["webhook-signature"].split()) == len(good)
            for secret in good:
                assert is_signed_with(secret, headers, body)


@LOOPBACK
def test_without_its_pepper_nothing_is_sent_unsigned(db: None) -> None:
    with listening() as receiver, override_settings(TOKEN_PEPPERS={"old": b"a" * 32}):
        made = hook(receiver.url)
        delivery = webhooks.send_test(made, ADMIN)
        with override_settings(TOKEN_PEPPERS={"new": b"b" * 32}):
            webhooks.deliver_due(timezone.now())
            delivery.refresh_from_db()
            assert "Rotate it" in delivery.log[-1]["error"]
            assert receiver.received == []
            webhooks.rotate(made, ADMIN)
            assert webhooks.redeliver(delivery, ADMIN)
            webhooks.deliver_due(timezone.now())
        assert len(receiver.received) == 1


# -- the outbox ------------------------------------------------------------------------------


@LOOPBACK
def test_it_hears_what_it_asked_for_and_only_from_now_on(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    for name in ("web01", "web02", "web03"):
        add_server(name)
    token = add_token("change")
    happen(call, token, "web03")
    with listening() as receiver:
        hook(receiver.url, kinds=["change.queued"], servers=["web01"])
        happen(call, token, "web01")
        happen(call, token, "web02")
        webhooks.run()
        webhooks.run()
    sent = [json.loads(body)["data"] for _, _, body in receiver.received]
    assert [(item["kind"], item["server"]) for item in sent] == [("change.queued", "web01")]


@LOOPBACK
def test_what_happened_while_the_sender_was_away_is_told_once(
    server: Server, add_token: AddToken, call: Call
) -> None:
    with listening() as receiver:
        made = hook(receiver.url, kinds=["change.queued"])
        happen(call, add_token("change"))
        before = made.position
        assert webhooks.fan_out(timezone.now()) == 1
        # The process died before it wrote down how far it had come.
        Webhook.objects.update(position=before)
        webhooks.fan_out(timezone.now())
        assert Delivery.objects.count() == 1
        webhooks.run()
    assert len(receiver.received) == 1


@LOOPBACK
def test_a_webhook_of_a_sandbox_token_hears_of_simulated_servers_only(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    add_server("sandbox")
    add_server("web03", kind="real")
    admin, sandbox = add_token("admin"), add_token("admin", sandbox=True)
    with listening() as receiver:
        wanted = {"name": "x", "url": receiver.url, "kinds": ["change.queued"]}
        assert call("POST", "webhooks", wanted, token=sandbox).status == 201
        for name in ("sandbox", "web03"):
            happen(call, admin, name)
        webhooks.run()
    assert [json.loads(body)["data"]["server"] for _, _, body in receiver.received] == ["sandbox"]


@LOOPBACK
def test_switched_off_it_hears_nothing_and_is_not_told_later(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    for name in ("web01", "web02"):
        add_server(name)
    token = add_token("change")
    with listening() as receiver:
        made = hook(receiver.url, kinds=["change.queued"])
        webhooks.change(made, ADMIN, {"active": False})
        happen(call, token, "web01")
        webhooks.run()
        webhooks.change(made, ADMIN, {"active": True})
        happen(call, token, "web02")
        webhooks.run()
    assert [json.loads(body)["data"]["server"] for _, _, body in receiver.received] == ["web02"]


@LOOPBACK
def test_the_address_of_a_webhook_is_told_to_those_who_manage_it_and_to_nobody_else(
    server: Server, add_token: AddToken, call: Call
) -> None:
    admin, reader = add_token("admin"), add_token("read")
    with listening() as receiver:
        curious = hook(receiver.url)
        secret = "https://8.8.8.8:8443/services/T0P/S3CRET?key=hidden"
        made = call("POST", "webhooks", {"name": "x", "url": secret}, token=admin)
        path = f"webhooks/{made.body['id']}"
        call("PATCH", path, {"url": secret + "2"}, token=admin)
        call("POST", f"{path}/rotate", token=admin)
        call("DELETE", path, token=admin)
        webhooks.run()
        bodies = b"".join(body for _, _, body in receiver.received)
    events = call("GET", "events", token=reader).content
    deliveries = call("GET", f"webhooks/{curious.uuid}/deliveries", token=admin).content
    assert made.body["url"] == secret
    for text in (bodies, events, deliveries):
        assert b"S3CRET" not in text
        assert b"hidden" not in text
    assert events.count(b"https://8.8.8.8") == 4
    assert bodies.count(b"https://8.8.8.8") == 4


@LOOPBACK
def test_what_is_sent_by_hand_is_in_the_history_with_the_id_of_its_request(
    server: Server, add_token: AddToken, call: Call
) -> None:
    admin = add_token("admin", name="ops")
    with listening() as receiver:
        made = hook(receiver.url, kinds=["change.silent"])
        path = f"webhooks/{made.uuid}"
        sent = call("POST", f"{path}/test", token=admin, X_Request_Id="by-hand-1")
        again = f"{path}/deliveries/{sent.body['id']}/redeliver"
        call("POST", again, token=admin, X_Request_Id="by-hand-2")
    recorded = Event.objects.filter(request_id__startswith="by-hand-").order_by("pk")
    assert [(event.kind, event.token_name) for event in recorded] == [
        ("webhook.tested", "ops"),
        ("webhook.redelivered", "ops"),
    ]
    assert {event.data["delivery"] for event in recorded} == {sent.body["id"]}


def test_a_webhook_of_a_kind_or_a_server_that_is_not_there_is_refused(
    server: Server, add_token: AddToken, call: Call
) -> None:
    admin = add_token("admin")
    wish = {"name": "x", "url": "https://8.8.8.8/"}
    made = call("POST", "webhooks", {**wish, "servers": ["web03"]}, token=admin)
    assert made.status == 201
    for wrong, code in (
        ({"kinds": ["change.succeded"]}, "unknown_kind"),
        ({"servers": ["web99"]}, "unknown_server"),
    ):
        for method, path, body in (
            ("POST", "webhooks", {**wish, **wrong}),
            ("PATCH", f"webhooks/{made.body['id']}", wrong),
        ):
            refused = call(method, path, body, token=admin)
            assert (refused.status, refused.body["code"]) == (422, code)
    assert Webhook.objects.get().kinds == []


# -- again, and the log ----------------------------------------------------------------------


@LOOPBACK
def test_a_failed_delivery_is_tried_again_after_growing_pauses(db: None) -> None:
    with listening(500, 0, 204, body=b"busy\0") as receiver:
        delivery = webhooks.send_test(hook(receiver.url), ADMIN)
        now = timezone.now()
        for tried, pause in enumerate(PAUSES[:2], 1):
            assert webhooks.deliver_due(now) == 1
            delivery.refresh_from_db()
            assert (delivery.state, delivery.attempts) == (State.PENDING, tried)
            assert delivery.next_at is not None
            wait = delivery.next_at - timezone.now()
            assert pause - timedelta(seconds=3) < wait <= pause
            assert webhooks.deliver_due(delivery.next_at - timedelta(seconds=1)) == 0
            now = delivery.next_at
        assert webhooks.deliver_due(now) == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.next_at) == (State.DELIVERED, None)
    assert [entry["status"] for entry in delivery.log] == [500, None, 204]
    assert delivery.log[0]["answer"] == "busy"
    assert "500" in delivery.log[0]["error"]
    assert "Disconnected" in delivery.log[1]["error"] or "Protocol" in delivery.log[1]["error"]
    identities = {headers["webhook-id"] for _, headers, _ in receiver.received}
    assert identities == {delivery.uuid}
    assert list(PAUSES) == sorted(PAUSES)


@LOOPBACK
def test_after_thirty_hours_it_is_given_up_and_can_be_sent_again(
    server: Server, add_token: AddToken, call: Call
) -> None:
    with listening(503) as receiver:
        made = hook(receiver.url)
        delivery = webhooks.send_test(made, ADMIN)
        for _ in range(len(PAUSES) + 1):
            Delivery.objects.filter(pk=delivery.pk).update(next_at=timezone.now())
            webhooks.deliver_due(timezone.now())
        delivery.refresh_from_db()
        assert (delivery.state, delivery.next_at) == (State.GIVEN_UP, None)
        assert len(delivery.log) == len(PAUSES) + 1
        assert webhooks.deliver_due(timezone.now() + timedelta(days=9)) == 0
        receiver.answers = [200]
        path = f"webhooks/{made.uuid}/deliveries"
        admin = add_token("admin")
        again = call("POST", f"{path}/{delivery.uuid}/redeliver", token=admin)
        assert (again.status, again.body["state"], again.body["attempts"]) == (202, "pending", 0)
        webhooks.deliver_due(timezone.now())
        item = call("GET", path, token=admin).body["items"][0]
    assert (item["id"], item["state"]) == (delivery.uuid, "delivered")
    assert item["log"][-1]["status"] == 200
    assert len(item["log"]) == len(PAUSES) + 2


@LOOPBACK
def test_what_is_being_sent_is_not_sent_again_until_its_sender_is_lost(
    server: Server, add_token: AddToken, call: Call
) -> None:
    with listening() as receiver:
        made = hook(receiver.url)
        delivery = webhooks.send_test(made, ADMIN)
        lost = timezone.now() + webhooks.LEASE
        Delivery.objects.filter(pk=delivery.pk).update(state=State.SENDING, next_at=lost)
        path = f"webhooks/{made.uuid}/deliveries/{delivery.uuid}/redeliver"
        refused = call("POST", path, token=add_token("admin"))
        assert (refused.status, refused.body["code"]) == (409, "being_sent")
        assert webhooks.deliver_due(lost - timedelta(seconds=1)) == 0
        assert webhooks.deliver_due(lost) == 1
    assert len(receiver.received) == 1


@LOOPBACK
def test_two_senders_never_send_the_same_attempt(db: None) -> None:
    with listening() as receiver:
        delivery = webhooks.send_test(hook(receiver.url), ADMIN)
        now = timezone.now()
        copies = [Delivery.objects.select_related("webhook").get(pk=delivery.pk) for _ in range(2)]
        assert [webhooks._claim(copy, now) for copy in copies] == [True, False]


@LOOPBACK
def test_a_receiver_that_is_gone_is_switched_off_and_a_redirect_is_not_followed(
    db: None,
) -> None:
    with listening() as other, listening(302, Location=other.url) as moved:
        delivery = webhooks.send_test(hook(moved.url), ADMIN)
        webhooks.deliver_due(timezone.now())
        assert (len(moved.received), len(other.received)) == (1, 0)
    delivery.refresh_from_db()
    assert delivery.log[-1]["status"] == 302
    with listening(410) as gone:
        made = hook(gone.url)
        webhooks.send_test(made, ADMIN)
        webhooks.deliver_due(timezone.now())
    made.refresh_from_db()
    assert not made.active


@LOOPBACK
def test_a_slow_receiver_does_not_hold_up_the_others(db: None) -> None:
    with listening() as receiver:
        busy, other = hook(receiver.url), hook(receiver.url)
        for _ in range(20):
            webhooks.send_test(busy, ADMIN)
        wanted = webhooks.send_test(other, ADMIN)
        webhooks.deliver_due(timezone.now())
    wanted.refresh_from_db()
    assert wanted.state == State.DELIVERED


def test_old_deliveries_are_dropped_and_pending_ones_kept(db: None) -> None:
    made = hook("https://8.8.8.8/hook")
    long_ago = timezone.now() - timedelta(days=40)
    kept, gone = (
        webhooks.send_test(made, ADMIN, long_ago),
        webhooks.send_test(made, ADMIN, long_ago),
    )
    Delivery.objects.filter(pk=gone.pk).update(state=State.DELIVERED, next_at=None)
    assert webhooks.prune(timezone.now()) == 1
    assert Delivery.objects.get() == kept
