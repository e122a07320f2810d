"""The pages of webhooks: added, tried, read about, sent again; and only by administrators."""

from __future__ import annotations

import re
import time

import pytest
from django.test import Client, override_settings
from django.utils import timezone
from playwright.sync_api import Page, expect
from standardwebhooks import Webhook as Receiver

from demo.panel import Panel
from mpm.models import Delivery, Event, Webhook
from mpm.notify import webhooks
from mpm.servers.models import Server
from tests.api.receiver import listening
from tests.browser import sign_in
from tests.stack import MakePanel
from tests.web.conftest import ADMIN

LOOPBACK = override_settings(WEBHOOK_ALLOWED_NETWORKS=["127.0.0.0/8"])
CHAT = {
    "name": "Chat",
    "url": "https://8.8.8.8/hook",
    "format": "generic",
    "kinds": ["change.failed"],
}


def secret_in(page: bytes) -> str:
    found = re.search(rb'<code id="secret">(whsec_[\w+/=]+)</code>', page)
    assert found
    return found[1].decode()


def test_a_webhook_is_added_and_its_secret_shown_once(admin: Client, server: Server) -> None:
    answer = admin.post("/webhooks/add/", {**CHAT, "servers": ["web01"]}, follow=True)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    made = Webhook.objects.get()
    assert secret_in(answer.content) == webhooks.secret(made)
    assert (made.kinds, made.servers, made.created_by_name) == (["change.failed"], ["web01"], "ada")
    assert b"whsec_" not in admin.get(f"/webhooks/{made.uuid}/").content
    assert b"Chat" in admin.get("/webhooks/").content
    rotated = admin.post(f"/webhooks/{made.uuid}/alter/", {"action": "rotate"}, follow=True)
    made.refresh_from_db()
    assert secret_in(rotated.content) == webhooks.secret(made)
    kinds = Event.objects.filter(kind__startswith="webhook.").values_list("kind", flat=True)
    assert list(kinds.order_by("pk")) == ["webhook.created", "webhook.rotated"]


@pytest.mark.parametrize(
    "mistake",
    [
        {"name": ""},
        {"url": "http://169.254.169.254/"},
        {"url": "javascript:alert(1)"},
        {"format": "carrier pigeon"},
        {"format": "email"},
        {"kinds": ["everything"]},
        {"servers": ["nowhere"]},
    ],
)
def test_a_mistake_is_explained_and_adds_nothing(
    admin: Client, server: Server, mistake: dict[str, object]
) -> None:
    answer = admin.post("/webhooks/add/", {**CHAT, **mistake})
    assert answer.status_code == 422
    assert b'class="mistake" role="alert"' in answer.content
    assert not Webhook.objects.exists()


@LOOPBACK
def test_the_log_shows_every_attempt_and_sends_again(admin: Client, server: Server) -> None:
    with listening(500, 204, body=b"<b>no room</b>") as receiver:
        made = webhooks.make(ADMIN, name="Chat", url=receiver.url, kinds=["change.failed"])
        path = f"/webhooks/{made.uuid}/"
        assert b"Test sent" in admin.post(f"{path}alter/", {"action": "test"}, follow=True).content
        webhooks.deliver_due(timezone.now())
        page = admin.get(path).content.decode()
        assert "The endpoint returned 500." in page
        assert "&lt;b&gt;no room&lt;/b&gt;" in page
        assert ">waiting<" in page
        delivery = Delivery.objects.get()
        admin.post(f"{path}{delivery.uuid}/again/")
        webhooks.deliver_due(timezone.now())
    assert ">delivered<" in admin.get(path).content.decode()
    assert ">delivered<" in admin.get("/webhooks/").content.decode()
    assert len(receiver.received) == 2
    assert admin.post(f"{path}nothing/again/").status_code == 404
    other = webhooks.make(ADMIN, name="Other", url="https://8.8.8.8/")
    assert admin.post(f"/webhooks/{other.uuid}/{delivery.uuid}/again/").status_code == 404


def test_it_is_switched_off_and_on_and_removed(admin: Client, server: Server) -> None:
    made = webhooks.make(ADMIN, name="Chat", url="https://8.8.8.8/")
    path = f"/webhooks/{made.uuid}/"
    for action, active in (("off", False), ("on", True), ("nonsense", True)):
        answer = admin.post(f"{path}alter/", {"action": action}, follow=True)
        assert answer.redirect_chain == [(path, 302)]
        said = {"off": "Chat is disabled.", "on": "Chat is enabled."}.get(action, "Chat")
        assert said in answer.content.decode()
        made.refresh_from_db()
        assert made.active is active
    removed = admin.post(f"{path}alter/", {"action": "remove"}, follow=True)
    assert b"Chat was removed." in removed.content
    assert admin.get(path).status_code == 404


@pytest.mark.parametrize("form", ["slack", "teams"])
def test_a_webhook_is_created_in_the_format_of_its_receiver(
    admin: Client, server: Server, form: str
) -> None:
    admin.post("/webhooks/add/", {**CHAT, "format": form})
    made = Webhook.objects.get()
    assert made.format == form
    shown = admin.get(f"/webhooks/{made.uuid}/").content.decode()
    assert made.get_format_display() in shown
    assert made.get_format_display() in admin.get("/webhooks/").content.decode()


@override_settings(SMTP_URL="smtp://127.0.0.1")
def test_a_webhook_becomes_an_e_mail_when_its_address_and_format_are_edited(
    admin: Client, server: Server
) -> None:
    made = webhooks.make(ADMIN, name="Chat", url="https://8.8.8.8/", kinds=["change.*"])
    path = f"/webhooks/{made.uuid}/edit/"
    page = admin.get(path).content.decode()
    assert 'value="https://8.8.8.8/"' in page
    kept = {"name": "Chat", "kinds": ["change.*"]}
    half = admin.post(path, {**kept, "url": "https://8.8.8.8/", "format": "email"})
    assert half.status_code == 422
    assert "the URL must be mailto:" in half.content.decode()
    wish = {**kept, "name": "On call", "url": "mailto:ops@example.com", "format": "email"}
    answer = admin.post(path, wish, follow=True)
    assert answer.redirect_chain == [(f"/webhooks/{made.uuid}/", 302)]
    assert "On call was updated." in answer.content.decode()
    made.refresh_from_db()
    assert (made.name, made.url, made.format) == ("On call", "mailto:ops@example.com", "email")
    assert made.kinds == ["change.*"], "what REST had set and the page does not offer stays"
    assert Event.objects.filter(kind="webhook.updated").count() == 1
    assert admin.post(path, wish).status_code == 302
    assert Event.objects.filter(kind="webhook.updated").count() == 1, "nothing was changed"
    assert admin.get("/webhooks/nobody/edit/").status_code == 404


def test_old_deliveries_are_on_pages(admin: Client, server: Server) -> None:
    made = webhooks.make(ADMIN, name="Chat", url="https://8.8.8.8/")
    sent = [webhooks.send_test(made, ADMIN).uuid for _ in range(30)][::-1]
    first = admin.get(f"/webhooks/{made.uuid}/").content.decode()
    link = re.search(r'rel="next"\s+href="(\?before=\d+)"', first)
    assert link
    second = admin.get(f"/webhooks/{made.uuid}/{link[1]}").content.decode()
    assert [one for one in sent if f">{one}<" in first] == sent[:25]
    assert [one for one in sent if f">{one}<" in second] == sent[25:]
    assert admin.get(f"/webhooks/{made.uuid}/?before=-1").status_code == 200


def test_support_and_strangers_see_no_webhooks(support: Client, server: Server) -> None:
    made = webhooks.make(ADMIN, name="Chat", url="https://8.8.8.8/")
    delivery = webhooks.send_test(made, ADMIN)
    path = f"/webhooks/{made.uuid}/"
    for page in ("/webhooks/", path, "/webhooks/add/", f"{path}edit/"):
        assert support.get(page).status_code == 403
        assert Client().get(page).status_code == 302
    for page in (
        "/webhooks/add/",
        f"{path}edit/",
        f"{path}alter/",
        f"{path}{delivery.uuid}/again/",
    ):
        assert support.post(page, {**CHAT, "action": "remove"}).status_code == 403
    assert Webhook.objects.count() == 1
    assert b'href="/webhooks/"' not in support.get("/").content


# -- in a browser ----------------------------------------------------------------------------


@pytest.fixture
def webhook_panel(make_panel: MakePanel) -> Panel:
    """A panel that may send to this machine."""
    return make_panel("--simulated", WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8")


@pytest.mark.browser
def test_a_receiver_is_added_tried_and_read_about_by_hand(page: Page, webhook_panel: Panel) -> None:
    sign_in(page, webhook_panel)
    page.get_by_role("link", name="Webhooks", exact=True).click()
    page.get_by_role("link", name="Create webhook").click()
    with listening(500, 204, body=b"come back later") as receiver:
        page.get_by_label("Name", exact=True).fill("Chat")
        page.get_by_label("Endpoint URL").fill(receiver.url)
        page.get_by_label("A change failed", exact=True).check()
        page.get_by_role("button", name="Create webhook").click()
        secret = page.locator("#secret").inner_text()
        page.get_by_role("button", name="Send test").click()
        address = page.url
        end = time.monotonic() + 60
        while not page.get_by_text("delivered", exact=True).count():
            assert time.monotonic() < end, page.content()[-3000:]
            time.sleep(0.5)
            page.goto(address)
    page.locator("td details summary").click()
    expect(page.locator("td details")).to_contain_text("come back later")
    _, headers, body = receiver.received[-1]
    Receiver(secret).verify(body, headers)


@pytest.mark.browser
def test_a_webhook_is_removed_only_after_its_consequence_was_read(
    page: Page, webhook_panel: Panel
) -> None:
    sign_in(page, webhook_panel)
    page.goto(f"{webhook_panel.address}webhooks/add/")
    page.get_by_label("Name", exact=True).fill("Chat")
    page.get_by_label("Endpoint URL").fill("http://127.0.0.1:1/")
    page.get_by_role("button", name="Create webhook").click()
    remove = page.get_by_role("button", name="Remove Chat")
    expect(remove).to_be_hidden()
    page.locator("summary", has_text="Remove").click()
    expect(page.get_by_text("You can’t undo this.")).to_be_visible()
    remove.click()
    expect(page.locator(".notice.success")).to_contain_text("Chat was removed.")


@pytest.mark.browser
def test_a_webhook_is_edited_by_hand_from_the_menu_of_its_row(
    page: Page, webhook_panel: Panel
) -> None:
    sign_in(page, webhook_panel)
    page.goto(f"{webhook_panel.address}webhooks/add/")
    page.get_by_label("Name", exact=True).fill("Chat")
    page.get_by_label("Endpoint URL").fill("http://127.0.0.1:1/")
    page.get_by_role("button", name="Create webhook").click()
    page.goto(f"{webhook_panel.address}webhooks/")
    menu = page.locator(".row-menu")
    expect(menu).to_be_hidden()
    page.get_by_role("button", name="Actions for Chat").click()
    expect(menu).to_be_visible()
    menu.get_by_role("link", name="Edit Chat").click()
    page.get_by_label("Endpoint URL").fill("http://127.0.0.1:2/services/T0")
    page.get_by_label("Format").select_option(label="Slack: incoming webhook")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice.success")).to_contain_text("Chat was updated.")
    expect(page.get_by_role("row", name="Format")).to_contain_text("Slack")
    expect(page.get_by_role("row", name="Endpoint URL")).to_contain_text("127.0.0.1:2/services/T0")
    page.reload()  # sends nothing again
    expect(page.locator(".notice.success")).to_have_count(0)
