"""The report of a change on paper: what one attaches to an incident."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client
from playwright.sync_api import expect

from easyapache.ea4.mpm import Choice
from mpm import VERSION
from mpm.changes.services.request import request_change
from mpm.models import Change
from mpm.servers.models import Server
from tests.browser import COLOURS, RULES, faults
from tests.desk import Desk
from tests.web.conftest import ADMIN, HISTORY, report_steps

PARTS = (
    "What happened",
    "Steps",
    "Packages",
    "Trial start",
    "Checks",
    "Visitor impact",
    "Timeline",
)


@pytest.fixture
def finished(server: Server) -> Change:
    change = request_change(
        server, Choice.parse("event"), actor=ADMIN, reason="HTTP/2 for the shop", ticket="T-1"
    )
    report_steps(change, outcome="succeeded")
    return change


def words(client: Client, path: str) -> str:
    text = unescape(client.get(path).content.decode())
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_a_report_says_of_what_it_is_and_when_it_was_printed(
    admin: Client, finished: Change
) -> None:
    admin.post("/preferences/", {"zone": "America/New_York"})
    page = words(admin, f"{HISTORY}{finished.pk}/?print=1")
    head = page.split("What happened")[0]
    assert "MPM Manager for EasyApache 4 Change report" in head
    assert "Server web01" in head
    assert f"Change #{finished.pk}" in head
    assert "Outcome Succeeded" in head
    printed = (
        r"Printed \w{3} \d+, \d{4}, \d+:\d\d:\d\d [AP]M E[SD]T by ada, time zone America/New_York"
    )
    assert re.search(printed, head)
    for fact in ("Requested by ada", "Ticket T-1", "Reason HTTP/2 for the shop", "After event"):
        assert fact in head
    assert f"web01 · Change #{finished.pk} · Succeeded Version {VERSION}" in page


def test_a_report_has_all_parts_and_nothing_to_click_but_printing(
    admin: Client, finished: Change
) -> None:
    text = unescape(admin.get(f"{HISTORY}{finished.pk}/?print=1").content.decode())
    for part in PARTS:
        assert re.search(rf"<h2[^>]*>\s*{part}\s*</h2>", text), part
    assert "<form" not in text
    assert text.count("<button") == 1
    assert not re.search(r"<details(?![^>]* open)", text), "paper cannot be opened"
    assert "Next steps" not in text


def test_the_steps_of_a_report_are_not_cut_short(desk: Desk) -> None:
    page = desk.open("software/easyapache4/history/{failed}/?print=1")
    steps = page.get_by_role("region", name="Steps")
    expect(steps.get_by_role("row", name=re.compile("^Packages"))).to_contain_text(
        "The installed packages don't match the plan"
    )
    expect(steps.get_by_role("row", name=re.compile("^Restore packages"))).to_contain_text("Failed")
    expect(page.get_by_role("heading", name="Cause")).to_be_visible()


def test_a_report_is_printed_on_sheets_with_a_foot_and_checks_begin_a_new_one(desk: Desk) -> None:
    page = desk.open("software/easyapache4/history/{succeeded}/?print=1")
    page.emulate_media(media="print")
    expect(page.locator(".bar")).to_be_hidden()
    style = "(selector, name) => getComputedStyle(document.querySelector(selector))[name]"

    def styled(selector: str, name: str) -> str:
        return str(
            page.evaluate(f"([selector, name]) => ({style})(selector, name)", [selector, name])
        )

    assert styled(".new-sheet", "breakBefore") == "page"
    assert styled(".report-foot", "display") == "table-footer-group"
    columns = styled(".report-facts", "gridTemplateColumns").split()
    assert len(columns) == 2
    page.set_viewport_size({"width": 700, "height": 990})  # about A4 without its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    sheets = page.pdf(format="A4", print_background=True).count(b"/Type /Page\n")
    assert 3 <= sheets <= 5


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_report_is_accessible_in_both_themes_and_on_a_telephone(
    language: str, desk: Desk
) -> None:
    page = desk.another(viewport={"width": 390, "height": 844})
    page.context.add_cookies(
        [{"name": "django_language", "value": language, "url": desk.panel.address}]
    )
    for name in ("succeeded", "failed"):
        desk.open(f"software/easyapache4/history/{{{name}}}/?print=1", page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert faults(page, RULES if scheme == "light" else COLOURS) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
