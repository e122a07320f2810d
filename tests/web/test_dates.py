"""Dates and times as the reader wants them: American unless another way was chosen."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils.translation import override as in_language
from playwright.sync_api import expect

from easyapache.ea4.mpm import Choice
from mpm.changes.services.request import request_change
from mpm.models import Change
from mpm.servers.models import Server
from mpm.web.dates import Style, override, written
from tests.browser import COLOURS, RULES, faults
from tests.desk import Desk
from tests.web.conftest import ADMIN, HISTORY, person, report_steps

AT = datetime(2026, 11, 30, 21, 11, 4, tzinfo=UTC).astimezone(ZoneInfo("America/New_York"))


@pytest.mark.parametrize(
    ("language", "style", "name", "expected"),
    [
        ("en", Style(), "SHORT_DATETIME_FORMAT", "Nov 30, 2026, 4:11 PM EST"),
        ("en", Style(), "EXACT_FORMAT", "Nov 30, 2026, 4:11:04 PM EST"),
        ("en", Style(clock="24"), "SHORT_DATETIME_FORMAT", "Nov 30, 2026, 16:11 EST"),
        ("en", Style(clock="12"), "SHORT_DATETIME_FORMAT", "Nov 30, 2026, 4:11 PM EST"),
        ("en", Style("day-first"), "SHORT_DATETIME_FORMAT", "30 Nov 2026, 4:11 PM EST"),
        ("en", Style("day-first", "24"), "SHORT_DATETIME_FORMAT", "30 Nov 2026, 16:11 EST"),
        ("en", Style("day-first", "24"), "DATETIME_FORMAT", "30 November 2026, 16:11 EST"),
        ("en", Style("day-first", "24"), "CLOCK_FORMAT", "16:11:04"),
        ("en", Style("day-first", "24"), "CLOCK_WITHOUT_ZONE", "16:11"),
        ("de", Style(), "SHORT_DATETIME_FORMAT", "30. Nov. 2026, 16:11 EST"),
        ("de", Style("day-first", "24"), "SHORT_DATETIME_FORMAT", "30. Nov. 2026, 16:11 EST"),
        ("de", Style(clock="12"), "TIME_FORMAT", "4:11 nachm. EST"),
    ],
)
def test_a_time_is_written_in_the_language_and_the_style_of_its_reader(
    language: str, style: Style, name: str, expected: str
) -> None:
    with in_language(language), override(style):
        assert written(AT, name) == expected


def test_a_style_ends_where_it_was_asked_for() -> None:
    with in_language("en"):
        with override(Style(clock="24")):
            assert written(AT, "TIME_FORMAT") == "16:11 EST"
        assert written(AT, "TIME_FORMAT") == "4:11 PM EST"


@pytest.fixture
def finished(server: Server) -> Change:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    report_steps(change, outcome="succeeded")
    return change


def test_what_was_chosen_is_how_every_page_writes_its_times(
    admin: Client, finished: Change
) -> None:
    zone = ZoneInfo("America/New_York")
    at = (finished.started_at or finished.requested_at).astimezone(zone)
    address = f"{HISTORY}{finished.pk}/?print=1"
    admin.post("/preferences/", {"zone": "America/New_York"})
    american = unescape(admin.get(address).content.decode())
    assert f"{at:%B} {at.day}, {at:%Y} at {at:%I:%M %p %Z}".replace(" at 0", " at ") in american
    admin.post("/preferences/", {"dates": "day-first", "clock": "24"})
    page = unescape(admin.get(address).content.decode())
    assert f"{at.day} {at:%B %Y} at {at:%H:%M %Z}" in page
    assert re.search(rf"{at.day} {at:%b %Y}, {at:%H:%M}:\d\d {at:%Z}", page)
    for text in (page, unescape(admin.get(HISTORY).content.decode())):
        assert not re.search(rf"{at:%b} {at.day},|{at:%B} {at.day},|\d [AP]M\b", text)


def test_a_choice_is_taken_back_with_an_empty_one(admin: Client, server: Server) -> None:
    admin.post("/preferences/", {"dates": "day-first", "clock": "24"})
    admin.post("/preferences/", {"dates": "", "clock": ""})
    page = admin.get("/preferences/?server=web01").content.decode()
    assert 'data-dates=""' in page
    assert 'data-clock=""' in page


@pytest.mark.parametrize("choice", [{"dates": "chinese"}, {"clock": "13"}])
def test_a_style_that_does_not_exist_is_refused(admin: Client, choice: dict[str, str]) -> None:
    assert admin.post("/preferences/", choice).status_code == 422
    admin.cookies["dates"] = "chinese"
    admin.cookies["clock"] = "13"
    assert admin.get("/preferences/").status_code == 200


def test_a_german_page_offers_its_clock_and_no_order_of_english_dates(admin: Client) -> None:
    admin.post("/preferences/", {"language": "de"})
    page = admin.get("/preferences/").content.decode()
    assert 'id="dates"' not in page
    assert 'id="clock"' in page


def test_the_script_writes_a_time_as_the_server_does(desk: Desk) -> None:
    """The first page is put right before the server knows the zone."""
    style = {"dates": "day-first", "clock": "24"}
    for chosen in ({}, style):
        page = desk.another(timezone_id="America/New_York")
        page.context.clear_cookies(name="zone")
        page.context.add_cookies(
            [
                {"name": name, "value": value, "url": desk.panel.address}
                for name, value in chosen.items()
            ]
        )
        desk.open("software/easyapache4/history/{succeeded}/", page)
        times = page.locator("time[data-form]").all_inner_texts()
        assert times
        page.reload()  # Now the server knows it.
        assert page.locator("time[data-form]").all_inner_texts() == times


def test_the_theme_is_one_of_three_in_the_account_menu(desk: Desk) -> None:
    page = desk.another()
    desk.open("?server={server}", page)
    for name, theme in (("Dark", "dark"), ("Light", "light"), ("System", "auto")):
        page.locator("button[popovertarget=account-menu]").click()
        themes = page.get_by_role("group", name="Theme")
        themes.get_by_role("button", name=name).click()
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        page.locator("button[popovertarget=account-menu]").click()
        expect(themes.locator("[aria-pressed=true]")).to_have_text(name)
        assert faults(page, RULES if theme == "auto" else COLOURS) == []
        page.keyboard.press("Escape")


@pytest.mark.parametrize("language", ["en", "de"])
def test_preferences_are_accessible_also_on_a_telephone(language: str, desk: Desk) -> None:
    page = desk.another(viewport={"width": 390, "height": 844})
    page.context.add_cookies(
        [{"name": "django_language", "value": language, "url": desk.panel.address}]
    )
    desk.open("preferences/", page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert faults(page, RULES if scheme == "light" else COLOURS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_sign_in_page_says_what_this_is_and_whom_to_ask(db: None) -> None:
    person("ada", "administrator")
    page = unescape(Client().get("/login/").content.decode())
    assert "MPM Manager for EasyApache 4</p>" in page
    assert "Forgot your password? Ask an administrator." in page
    assert ">Username</label>" in page
