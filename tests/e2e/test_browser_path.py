"""The whole job in a browser: from the click to the running httpd and back, on a real server."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from bench.live_page import AIM_MS, Watch
from demo.panel import Panel
from lab.server import Lab
from tests.browser import sign_in
from tests.main_job import HISTORY, keeping_php_blocks, make, wait_for_first_look


@pytest.fixture
def lab(panel: Panel) -> Lab:
    return Lab.open(panel.folder / "servers" / "lab")


@pytest.fixture
def administrator(page: Page, panel: Panel) -> Page:
    sign_in(page, panel)
    wait_for_first_look(panel)
    return page


@pytest.fixture
def watch(administrator: Page, panel: Panel) -> Watch:
    """Which lines and steps the pages showed, and how long after the server told of them."""
    return Watch(administrator, panel.folder / "spool" / "lab")


JOURNEY = (
    ("event", False),
    ("worker", False),
    ("prefork", False),
    ("prefork", True),
    ("prefork", False),
)


@pytest.mark.browser
@pytest.mark.lab
def test_every_way_between_the_mpms_is_gone_in_a_browser_and_httpd_itself_confirms_it(
    administrator: Page, panel: Panel, lab: Lab, watch: Watch
) -> None:
    page = administrator
    keeping_php_blocks(page, panel)
    assert lab.status().running == "prefork"
    for number, (mpm, itk) in enumerate(JOURNEY, 1):
        steps = make(page, panel, mpm, itk=itk)
        assert len(steps) >= 3, (steps, page.inner_text("main"))
        after = lab.status()
        assert (after.running, after.itk, after.installed) == (mpm, itk, (mpm,))
        expect(page.locator("#state")).to_contain_text("succeeded", ignore_case=True)
        expect(page.get_by_text(f"To {mpm}, from a browser").first).to_be_visible()
        uuid = (
            page.locator("tr", has=page.get_by_text("Change ID", exact=True))
            .locator("td")
            .inner_text()
        )
        for late in watch.late(number, uuid):
            assert late, page.inner_text("main")
            assert min(late) < AIM_MS, late
    page.goto(panel.address + HISTORY)
    rows = page.get_by_role("row").filter(has=page.get_by_role("link", name="#"))
    expect(rows).to_have_count(len(JOURNEY))
    for row in rows.all():
        expect(row).to_contain_text("E2E-1")
        expect(row).to_contain_text("admin")
