"""What somebody sees who has nothing yet, or doesn't know their way: empty lists and keys."""

from __future__ import annotations

from html import unescape

import pytest
from django.test import Client
from playwright.sync_api import expect

from mpm.servers.models import Server
from tests.browser import COLOURS, RULES, faults
from tests.desk import Desk

EA4 = "/software/easyapache4/"


def words(client: Client, path: str) -> str:
    return " ".join(unescape(client.get(path).content.decode()).split())


@pytest.mark.parametrize(
    "path", ["/servers/", EA4, f"{EA4}mpm/", f"{EA4}packages/", f"{EA4}profiles/", f"{EA4}doctor/"]
)
def test_without_a_server_every_page_says_how_to_add_one(path: str, admin: Client) -> None:
    page = words(admin, path)
    assert "No servers yet." in page
    assert "<code>ea4-mpm mpm server add web03</code>" in page
    assert 'href="/help/how-to/install/"' in page
    assert 'href="/help/explanation/choosing-an-mpm/"' in page


@pytest.mark.parametrize(
    ("path", "title", "help_page", "action"),
    [
        ("/tokens/", "No tokens yet.", "how-to/use-the-rest-api", "/tokens/add/"),
        ("/webhooks/", "No webhooks yet.", "how-to/notify-other-programs", "/webhooks/add/"),
        ("/users/", "You’re the only user.", "", "/users/add/"),
        (f"{EA4}profiles/", "No profiles of your own yet.", "", f"{EA4}profiles/save/"),
        (f"{EA4}history/", "No changes yet.", "", f"{EA4}mpm/"),
    ],
)
def test_an_empty_list_says_what_it_is_for_and_what_to_do(
    path: str, title: str, help_page: str, action: str, admin: Client, server: Server
) -> None:
    page = words(admin, f"{path}?server=web01")
    empty = page.split('<div class="empty">')[1].split("</div>")[0]
    assert title in empty
    assert f'href="{action}?server=web01"' in empty
    head = (
        page.split('<div class="page-head">')[1].split("<table")[0].split('<div class="empty">')[0]
    )
    assert f'href="{action}?server=web01"' not in head, "one button for one thing"
    assert not help_page or f'href="/help/{help_page}/?server=web01"' in empty


def test_the_question_mark_shows_the_keys_and_what_is_typed_stays_typed(desk: Desk) -> None:
    page = desk.open("?server={server}")
    keys = page.get_by_role("heading", name="Keyboard shortcuts")
    expect(keys).to_be_hidden()
    page.keyboard.press("?")
    expect(keys).to_be_visible()
    assert faults(page) == []
    page.keyboard.press("?")
    expect(keys).to_be_hidden()
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.keyboard.press("/")
    page.keyboard.type("mpm?")
    expect(keys).to_be_hidden()
    expect(page.locator("[data-tool-search]:visible")).to_have_value("mpm?")
    page.keyboard.press("Escape")
    page.locator("main").click()
    page.keyboard.press("?")
    page.get_by_role("link", name="All shortcuts").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keyboard shortcuts")


def test_the_bar_leads_to_help_and_from_there_to_steps_words_and_keys(desk: Desk) -> None:
    page = desk.open("?server={server}")
    page.get_by_role("link", name="Help", exact=True).first.click()
    expect(page.get_by_role("heading", name="Getting started")).to_be_visible()
    expect(page.locator(".lead")).to_contain_text("Version")
    for name, title in (
        ("Know what each step does", "What each step does"),
        ("glossary", "Glossary"),
        ("keyboard shortcuts", "Keyboard shortcuts"),
        ("Make your first change", "Your first change"),
    ):
        page.get_by_role("article").get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        page.go_back()


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_keys_are_accessible_on_a_telephone_too(language: str, desk: Desk) -> None:
    page = desk.another(viewport={"width": 390, "height": 844})
    page.context.add_cookies(
        [{"name": "django_language", "value": language, "url": desk.panel.address}]
    )
    desk.open("preferences/", page)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert faults(page, RULES if scheme == "light" else COLOURS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_running_change_leads_to_what_its_steps_do(desk: Desk) -> None:
    page = desk.open("software/easyapache4/history/{running}/")
    page.get_by_role("link", name="What each step does").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What each step does")


def test_on_a_telephone_the_current_step_has_its_name(desk: Desk) -> None:
    page = desk.another(viewport={"width": 390, "height": 844})
    desk.open("software/easyapache4/history/{running}/", page)
    now = page.locator(".step-now:visible")
    expect(now).to_have_count(1)
    expect(now).to_contain_text("Packages")
    desk.open("software/easyapache4/history/{failed}/", page)
    expect(page.locator(".step-now:visible").first).to_contain_text("Packages failed")
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(page.locator(".step-now:visible")).to_have_count(0)
