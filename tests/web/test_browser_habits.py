"""What a person does without thinking, in a browser: search with a slash, press Enter, send a form
after lunch, stop a log to read it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from easyapache.demo.panel import Panel
from tests.browser import sign_in

pytestmark = pytest.mark.browser

EA4 = "software/easyapache4"


@pytest.fixture
def admin_page(page: Page, simulated_panel: Panel) -> Page:
    sign_in(page, simulated_panel)
    return page


def test_a_slash_searches_tools_on_a_telephone(admin_page: Page, simulated_panel: Panel) -> None:
    page = admin_page
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(simulated_panel.address)
    field = page.locator("#tool-search-in-menu")
    expect(field).to_be_hidden()
    page.keyboard.press("/")
    expect(field).to_be_focused()
    page.keyboard.type("undo")
    found = page.locator("nav.tools .tools-found a")
    expect(found).to_have_text("Change history")
    page.keyboard.press("ArrowDown")
    expect(found).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/history/")
    page.get_by_role("button", name="Tools").click()
    expect(page.locator("#tool-search-in-menu")).to_be_visible()
    expect(page.locator("#tool-search")).to_be_hidden()


def test_a_form_sent_after_the_session_ended_leads_back_to_it_and_says_so(
    admin_page: Page, simulated_panel: Panel
) -> None:
    page = admin_page
    page.goto(f"{simulated_panel.address}{EA4}/profiles/?server=sandbox")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Save as a profile").click()
    expect(page.get_by_role("status")).to_contain_text("what you sent did not arrive")
    name, password = simulated_panel.accounts["administrator"]
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Profiles", exact=True)).to_be_visible()
    expect(page.locator("#flash")).to_contain_text("nothing was sent, and nothing was changed")
    page.get_by_role("button", name="Save as a profile").click()
    page.wait_for_url("**/profiles/own-*/")
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#flash")).to_contain_text("Deleted")
