"""The main job in Firefox as the distribution has it, on a real server: there, back, and ITK."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from demo.panel import Panel
from lab.server import Lab
from tests.browser import sign_in
from tests.main_job import HISTORY, confirm, keeping_php_blocks, make, wait_for_first_look


@pytest.mark.browser
@pytest.mark.lab
def test_the_main_job_is_done_in_firefox_and_httpd_itself_confirms_it(
    firefox_page: Page, panel: Panel
) -> None:
    page, lab = firefox_page, Lab.open(panel.folder / "servers" / "lab")
    sign_in(page, panel)
    assert "Firefox/" in page.evaluate("navigator.userAgent")
    wait_for_first_look(panel)
    keeping_php_blocks(page, panel)
    before = lab.status()
    assert before.running == "prefork"

    assert len(make(page, panel, "event", itk=False)) >= 3, page.inner_text("main")
    assert (lab.status().running, lab.status().installed) == ("event", ("event",))
    succeeded(page)

    page.get_by_role("link", name="Roll back…").first.click()
    page.wait_for_url(re.compile(r".*/history/1/rollback/"))
    assert len(confirm(page, "Back again, from a browser")) >= 3, page.inner_text("main")
    after = lab.status()
    assert (after.running, after.itk, after.installed) == ("prefork", False, before.installed)
    succeeded(page)

    assert len(make(page, panel, "prefork", itk=True)) >= 3, page.inner_text("main")
    assert (lab.status().running, lab.status().itk) == ("prefork", True)
    succeeded(page)

    page.goto(panel.address + HISTORY)
    rows = page.get_by_role("row").filter(has=page.get_by_role("link", name="#"))
    expect(rows).to_have_count(3)
    for row in rows.all():
        expect(row).to_contain_text("E2E-1")


def succeeded(page: Page) -> None:
    expect(page.locator("#state")).to_contain_text("succeeded", ignore_case=True)
