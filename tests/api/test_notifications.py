"""What a webhook is sent holds all that people want to know, in the format its receiver takes."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string
from typing import Any

import jsonschema_rs
import pytest
from django.test import override_settings
from django.utils import timezone

from mpm.api.app import api
from mpm.models import Change, Delivery, Webhook
from mpm.notify import webhooks
from mpm.schemas.change import Change as ChangeSchema
from mpm.servers.models import Server
from tests.api.conftest import ADMIN, AddToken, Call
from tests.api.receiver import Receiver, listening
from tests.api.test_changes import finish

LOOPBACK = override_settings(WEBHOOK_ALLOWED_NETWORKS=["127.0.0.0/8"])
PANEL = override_settings(PANEL_URL="https://panel.example.com/")
REASON = "HTTP/2 for the <shop> & more"


def succeed(call: Call, add_token: AddToken) -> Change:
    """A change with a reason and a ticket that went well, and what visitors noticed of it."""
    body = {"mpm": "event", "reason": REASON, "ticket": "OPS-2114"}
    token = add_token("change", name="deploy")
    number = call("PUT", "servers/web03/mpm", body, token=token).body["change"]["id"]
    Change.objects.filter(pk=number).update(refused=0, longest_wait_ms=41.5)
    finish(Change.objects.get(pk=number))
    return Change.objects.get(pk=number)


def sent(receiver: Receiver) -> dict[str, Any]:
    """The only body that a receiver was sent."""
    [(_, _, body)] = receiver.received
    return dict(json.loads(body))


def is_as_described(name: str, body: dict[str, Any]) -> bool:
    """Whether ``body`` is what the description says the webhook ``name`` is sent."""
    schema = api.get_openapi_schema()
    content = schema["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]
    shape = {**content["schema"], "components": {"schemas": schema["components"]["schemas"]}}
    check = jsonschema_rs.Draft202012Validator(shape, validate_formats=True)
    assert [error.message for error in check.iter_errors(body)] == []
    return True


@LOOPBACK
@PANEL
def test_a_notification_needs_no_second_call(
    server: Server, add_token: AddToken, call: Call
) -> None:
    with listening() as receiver:
        webhooks.make(ADMIN, name="x", url=receiver.url, kinds=["change.succeeded"])
        change = succeed(call, add_token)
        webhooks.run()
    body = sent(receiver)
    assert is_as_described("event", body)
    data = body["data"]
    assert (body["type"], data["server"], data["change"]) == (
        "change.succeeded",
        "web03",
        change.pk,
    )
    assert data["link"] == f"https://panel.example.com/software/easyapache4/history/{change.pk}/"
    assert data["details"] == ChangeSchema.of(change).as_json()
    details = data["details"]
    assert (details["from"]["mpm"], details["to"]["mpm"]) == ("prefork", "event")
    assert (details["reason"], details["ticket"]) == (REASON, "OPS-2114")
    assert (details["requested_by"], details["refused"]) == ("deploy", 0)
    assert details["longest_wait_ms"] == 41.5
    assert "prefork → event" in data["text"]
    assert "deploy" in data["text"]


@LOOPBACK
@PANEL
def test_slack_takes_its_body_as_it_is(server: Server, add_token: AddToken, call: Call) -> None:
    with listening() as receiver:
        kinds = ["change.succeeded"]
        webhooks.make(ADMIN, name="x", url=receiver.url, format="slack", kinds=kinds)
        change = succeed(call, add_token)
        webhooks.run()
    body = sent(receiver)
    assert set(body) == {"text", "blocks"}
    [block] = body["blocks"]
    text = block["text"]["text"]
    assert (block["type"], block["text"]["type"]) == ("section", "mrkdwn")
    assert len(text) <= 3000
    assert text.startswith("<https://panel.example.com/software/")
    assert "*Reason:* HTTP/2 for the &lt;shop&gt; &amp; more" in text
    assert "*Visitor impact:* No connections refused, longest wait 42 ms" in text
    for part in ("OPS-2114", "deploy", f"#{change.pk} prefork → event"):
        assert part in text


@LOOPBACK
@PANEL
def test_teams_takes_its_body_as_it_is(server: Server, add_token: AddToken, call: Call) -> None:
    with listening() as receiver:
        kinds = ["change.succeeded"]
        webhooks.make(ADMIN, name="x", url=receiver.url, format="teams", kinds=kinds)
        succeed(call, add_token)
        webhooks.run()
    body = sent(receiver)
    [card] = body["attachments"]
    assert (body["type"], card["contentType"]) == (
        "message",
        "application/vnd.microsoft.card.adaptive",
    )
    content = card["content"]
    assert (content["type"], content["version"]) == ("AdaptiveCard", "1.4")
    title, facts = content["body"]
    assert (title["type"], title["color"]) == ("TextBlock", "Good")
    values = {fact["title"]: fact["value"] for fact in facts["facts"]}
    assert (values["Reason"], values["Ticket"]) == (REASON, "OPS-2114")
    [action] = content["actions"]
    assert action["type"] == "Action.OpenUrl"
    assert action["url"].startswith("https://panel.example.com/")


# -- e-mail ------------------------------------------------------------------------------------


class Letters(socketserver.StreamRequestHandler):
    """A mail server that keeps what it is given, in ``server.letters``."""

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline().decode().strip():
            command = line.upper()
            if command == "DATA":
                self._say("354 go on")
                text = ""
                while (piece := self.rfile.readline().decode()) != ".\r\n":
                    text += piece
                self.server.letters.append(text)  # type: ignore[attr-defined]
                self._say("250 kept")
            elif command == "QUIT":
                return self._say("221 bye")
            elif command.startswith("RCPT") and "refused@" in line:
                self._say("550 no such mailbox")
            else:
                self._say("250 yes")
        return None

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def mail_server() -> Iterator[tuple[str, list[str]]]:
    """Its SMTP_URL, and the letters it has got."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Letters) as server:
        letters: list[str] = []
        server.letters = letters  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"smtp://127.0.0.1:{server.server_address[1]}", letters
        finally:
            server.shutdown()
            thread.join()


@PANEL
def test_an_e_mail_has_a_subject_and_all_that_is_known(
    server: Server, add_token: AddToken, call: Call
) -> None:
    with mail_server() as (address, letters), override_settings(SMTP_URL=address):
        url = "mailto:ops@example.com"
        made = webhooks.make(ADMIN, name="x", url=url, format="email", kinds=["change.succeeded"])
        change = succeed(call, add_token)
        webhooks.run()
    [letter] = letters
    message = message_from_string(letter)
    delivery = made.deliveries.get()
    assert (delivery.state, delivery.log[-1]["status"]) == (Delivery.State.DELIVERED, 250)
    assert (message["To"], message["X-Webhook-Id"]) == ("ops@example.com", delivery.uuid)
    subject = delivery.body["subject"]
    assert subject.startswith("[EA4] web03: prefork → event. A change succeeded")
    assert "\n" not in subject
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    text = payload.decode()
    for part in (f"Reason: {REASON}", "Ticket: OPS-2114", f"history/{change.pk}/"):
        assert part in text


def test_a_mail_server_that_refuses_or_is_away_is_tried_again(db: None) -> None:
    with mail_server() as (address, letters), override_settings(SMTP_URL=address):
        url = "mailto:refused@example.com"
        delivery = webhooks.send_test(
            webhooks.make(ADMIN, name="x", url=url, format="email"), ADMIN
        )
        webhooks.deliver_due(timezone.now())
        delivery.refresh_from_db()
        assert letters == []
    assert delivery.state == Delivery.State.PENDING
    assert "no such mailbox" in delivery.log[-1]["error"]
    with override_settings(SMTP_URL=address):
        assert delivery.next_at is not None
        webhooks.deliver_due(delivery.next_at)
    delivery.refresh_from_db()
    assert "ConnectionRefusedError" in delivery.log[-1]["error"]


@pytest.mark.parametrize(
    ("url", "smtp", "reason"),
    [
        ("mailto:ops@example.com", "", "SMTP_URL"),
        ("mailto:nobody", "smtp://127.0.0.1", "one address"),
        ("mailto:a@example.com,b@example.com", "smtp://127.0.0.1", "one address"),
        ("mailto:a@example.com%0d%0aBcc:b@example.com", "smtp://127.0.0.1", "one address"),
        ("https://8.8.8.8/", "smtp://127.0.0.1", "one address"),
    ],
)
def test_an_address_that_no_mail_can_go_to_is_refused(
    server: Server, add_token: AddToken, call: Call, url: str, smtp: str, reason: str
) -> None:
    wish = {"name": "x", "url": url, "format": "email"}
    with override_settings(SMTP_URL=smtp):
        refused = call("POST", "webhooks", wish, token=add_token("admin"))
    assert (refused.status, refused.body["code"]) == (422, "bad_destination")
    assert reason in refused.body["detail"]
    assert not Webhook.objects.exists()


def test_a_format_changes_with_an_address_that_fits_it(
    server: Server, add_token: AddToken, call: Call
) -> None:
    admin = add_token("admin")
    made = call("POST", "webhooks", {"name": "x", "url": "https://8.8.8.8/"}, token=admin).body
    path = f"webhooks/{made['id']}"
    with override_settings(SMTP_URL="smtp://127.0.0.1"):
        assert call("PATCH", path, {"format": "email"}, token=admin).status == 422
        both = {"format": "email", "url": "mailto:ops@example.com"}
        assert call("PATCH", path, both, token=admin).body["format"] == "email"
        assert call("PATCH", path, {"format": "slack"}, token=admin).status == 422
    assert call("PATCH", path, {"format": "fax"}, token=admin).status == 422


# -- which events ------------------------------------------------------------------------------


@LOOPBACK
@PANEL
def test_a_test_is_one_delivery_also_for_a_webhook_of_every_kind(
    server: Server, add_token: AddToken, call: Call
) -> None:
    admin = add_token("admin")
    with listening() as receiver:
        wish = {"name": "all", "url": receiver.url}
        made = call("POST", "webhooks", wish, token=admin).body
        path = f"webhooks/{made['id']}"
        assert call("POST", f"{path}/test", token=admin).body["kind"] == "webhook.test"
        call("POST", f"{path}/rotate", token=admin)
        call("PATCH", path, {"name": "everything"}, token=admin)
        webhooks.run()
    body = sent(receiver)
    assert is_as_described("test", body)
    assert body["type"] == "webhook.test"
    assert body["data"]["link"] == f"https://panel.example.com/webhooks/{made['id']}/"


@LOOPBACK
def test_kinds_that_begin_alike_are_named_at_once(
    server: Server, add_token: AddToken, call: Call
) -> None:
    admin = add_token("admin")
    with listening() as receiver:
        wish = {"name": "x", "url": receiver.url, "kinds": ["change.*"]}
        made = call("POST", "webhooks", wish, token=admin)
        assert (made.status, made.body["kinds"]) == (201, ["change.*"])
        succeed(call, add_token)
        webhooks.run()
    kinds = [json.loads(body)["type"] for _, _, body in receiver.received]
    assert sorted(kinds) == ["change.queued", "change.running", "change.succeeded"]
    refused = call("POST", "webhooks", {**wish, "kinds": ["chang.*"]}, token=admin)
    assert (refused.status, refused.body["code"]) == (422, "unknown_kind")
