"""The pages of API tokens: made and shown once, rotated, revoked; and only by administrators."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from demo.panel import Panel
from mpm.access import tokens
from mpm.models import Event, Token
from mpm.servers.models import Server
from tests.browser import faults, sign_in
from tests.web.conftest import ADMIN

GRANTS = {"name": "deploy", "purpose": "CI", "scopes": ["read", "change"], "expires": "90"}


def text_in(page: bytes) -> str:
    found = re.search(rb'<code id="issued">(ea4mpm_\w+)</code>', page)
    assert found
    return found[1].decode()


def test_a_token_is_shown_once_and_works(admin: Client, server: Server) -> None:
    form = {**GRANTS, "servers": ["web01"], "networks": "127.0.0.1", "implied_removals": "on"}
    answer = admin.post("/tokens/add/", form, follow=True)
    assert answer.redirect_chain == [("/tokens/", 302)]
    assert answer["Cache-Control"] == "no-store"
    text = text_in(answer.content)
    token = tokens.check(text, "127.0.0.1")
    assert (token.servers, token.networks) == (["web01"], ["127.0.0.1/32"])
    assert token.scopes == ["read", "change"]
    assert token.implied_removals is True
    assert token.expires_at is not None
    assert timedelta(days=89) < token.expires_at - timezone.now() <= timedelta(days=90)
    again = admin.get("/tokens/").content
    assert text.encode() not in again
    assert token.key_id.encode() in again
    assert Event.objects.get(kind="token.created").actor_name == "ada"


@pytest.mark.parametrize(
    "mistake",
    [
        {"name": ""},
        {"scopes": []},
        {"scopes": ["root"]},
        {"servers": ["nowhere"]},
        {"networks": "10.0.0.0/99"},
        {"expires": "1000000"},
        {"per_minute": "0"},
    ],
)
def test_a_mistake_is_explained_and_makes_nothing(
    admin: Client, server: Server, mistake: dict[str, object]
) -> None:
    answer = admin.post("/tokens/add/", {**GRANTS, **mistake})
    assert answer.status_code == 422
    assert b'role="alert"' in answer.content
    assert not Token.objects.exists()


def test_rotating_shows_the_new_one_and_ends_the_old_when_said(
    admin: Client, server: Server
) -> None:
    old = tokens.issue(ADMIN, name="deploy", scopes=["change"])
    path = f"/tokens/{old.token.key_id}/rotate/"
    new = text_in(admin.post(path, {"overlap": "24"}, follow=True).content)
    assert new != old.text
    now = timezone.now()
    for text in (old.text, new):
        assert tokens.check(text, "127.0.0.1").name == "deploy"
    with pytest.raises(tokens.Denied):
        tokens.check(old.text, "127.0.0.1", now + timedelta(hours=25))
    assert tokens.check(new, "127.0.0.1", now + timedelta(hours=25)).pk
    key = tokens.check(new, "127.0.0.1").key_id
    admin.post(f"/tokens/{key}/rotate/", {"overlap": "0"})
    with pytest.raises(tokens.Denied):
        tokens.check(new, "127.0.0.1", timezone.now() + timedelta(seconds=1))
    refused = admin.post(f"/tokens/{key}/rotate/", {"overlap": "24"}, follow=True)
    assert b"Create a new one" in refused.content


def test_revoking_ends_it_at_once(admin: Client, server: Server) -> None:
    issued = tokens.issue(ADMIN, name="deploy", scopes=["read"])
    path = f"/tokens/{issued.token.key_id}/revoke/"
    assert b"deploy was revoked." in admin.post(path, follow=True).content
    with pytest.raises(tokens.Denied):
        tokens.check(issued.text, "127.0.0.1")
    page = admin.get("/tokens/").content
    assert b">revoked<" in page
    assert path.encode() not in page
    assert admin.post("/tokens/nobody/revoke/").status_code == 404


def test_support_and_strangers_see_no_tokens(support: Client, server: Server) -> None:
    issued = tokens.issue(ADMIN, name="deploy", scopes=["read"])
    key = issued.token.key_id
    assert support.get("/tokens/").status_code == 403
    for action in ("add", f"{key}/edit", f"{key}/rotate", f"{key}/revoke"):
        path = f"/tokens/{action}/"
        assert support.post(path, GRANTS).status_code == 403
        assert Client().post(path, GRANTS)["Location"].startswith("/login/")
    assert Token.objects.count() == 1
    assert tokens.check(issued.text, "127.0.0.1").pk
    assert b'href="/tokens/?server=web01"' not in support.get("/").content


def test_a_token_is_edited_and_what_it_may_do_stays(admin: Client, server: Server) -> None:
    token = tokens.issue(ADMIN, name="java", scopes=["change"], networks=["192.0.2.7"]).token
    path = f"/tokens/{token.key_id}/edit/"
    assert path in admin.get("/tokens/").content.decode()
    assert b'value="java"' in admin.get(path).content
    form = {"name": "billing", "purpose": "WHMCS", "implied_removals": "on", "scopes": "admin"}
    answer = admin.post(path, form, follow=True)
    assert answer.redirect_chain == [("/tokens/", 302)]
    assert "billing was updated." in answer.content.decode()
    assert "implied removals" in answer.content.decode()
    token.refresh_from_db()
    assert (token.name, token.purpose, token.implied_removals) == ("billing", "WHMCS", True)
    assert (token.scopes, token.networks) == (["change"], ["192.0.2.7/32"])
    assert Event.objects.get(kind="token.updated").actor_name == "ada"
    wrong = admin.post(path, {"name": ""})
    assert (wrong.status_code, b'role="alert"' in wrong.content) == (422, True)
    tokens.revoke(token, ADMIN)
    late = admin.post(path, form)
    assert (late.status_code, b"Create a new one" in late.content) == (422, True)
    assert admin.get("/tokens/nobody/edit/").status_code == 404


def test_the_tools_lead_there(admin: Client, server: Server) -> None:
    assert b'href="/tokens/?server=web01"' in admin.get("/").content


# -- in a browser ----------------------------------------------------------------------------


def made(page: Page, panel: Panel, name: str) -> str:
    page.goto(f"{panel.address}tokens/")
    page.get_by_role("link", name="Create token").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Change: change the MPM").check()
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_role("status")).to_contain_text(f"Token for {name}")
    return page.locator("#issued").inner_text()


@pytest.mark.browser
def test_a_token_is_made_rotated_and_revoked_by_hand(page: Page, simulated_panel: Panel) -> None:
    sign_in(page, simulated_panel)
    page.get_by_role("link", name="API tokens", exact=True).click()
    first = made(page, simulated_panel, "by hand")
    assert tokens.TOKEN.match(first)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == first
    row = page.get_by_role("row", name=re.compile(first.split("_")[1]))
    row.get_by_role("button", name="Actions for by hand").click()
    row.locator("summary", has_text="Rotate").click()
    row.get_by_label("Old token expires").select_option(label="in 7 days")
    row.get_by_role("button", name="Rotate").click()
    expect(page.locator("#issued")).not_to_have_text(first)
    second = page.locator("#issued").inner_text()
    statuses = [
        page.request.get(
            f"{simulated_panel.address}api/v1/token", headers={"Authorization": f"Bearer {text}"}
        ).status
        for text in (first, second)
    ]
    assert statuses == [200, 200]
    page.reload()  # sends nothing again, and the token is gone from the page
    expect(page.locator("#issued")).to_have_count(0)
    row = page.get_by_role("row", name=re.compile(second.split("_")[1]))
    row.get_by_role("button", name="Actions for by hand").click()
    expect(row.get_by_role("button", name="Revoke")).to_be_hidden()
    row.locator("summary", has_text="Revoke").click()
    expect(row).to_contain_text("Programs that use by hand stop working immediately")
    row.get_by_role("button", name="Revoke").click()
    expect(page.locator(".notice.success")).to_contain_text("by hand was revoked.")
    expect(page.locator("body")).not_to_contain_text(second)
    gone = page.request.get(
        f"{simulated_panel.address}api/v1/token", headers={"Authorization": f"Bearer {second}"}
    )
    assert gone.status == 401


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_a_page_that_shows_a_token(
    width: int, scheme: Literal["light", "dark"], browser: Browser, simulated_panel: Panel
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    sign_in(page, simulated_panel)
    made(page, simulated_panel, "a name that is as long as names of programs are")
    said = faults(page)
    said += ["too wide"] if page.evaluate("document.body.scrollWidth > innerWidth") else []
    context.close()
    assert said == []


@pytest.mark.browser
def test_support_is_told_that_tokens_are_not_theirs(page: Page, simulated_panel: Panel) -> None:
    sign_in(page, simulated_panel, "support")
    expect(page.get_by_role("link", name="API tokens")).to_have_count(0)
    page.goto(f"{simulated_panel.address}tokens/")
    expect(page.locator("main")).to_contain_text("You don’t have permission")
