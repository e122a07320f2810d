"""What a person does without thinking, in a browser: search with a slash, press Enter, send a form
after lunch, stop a log to read it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from demo.panel import Panel
from tests.browser import acknowledge, sign_in

pytestmark = pytest.mark.browser

EA4 = "software/easyapache4"
CHOOSER = f"{EA4}/mpm/?server=sandbox"
THE_END = "Finished. View result"


@pytest.fixture
def admin_page(page: Page, simulated_panel: Panel) -> Page:
    sign_in(page, simulated_panel)
    return page


def test_a_slash_goes_to_the_search_on_a_telephone(
    admin_page: Page, simulated_panel: Panel
) -> None:
    page = admin_page
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(simulated_panel.address)
    field = page.locator("#tool-search-in-menu")
    expect(field).to_be_hidden()
    page.keyboard.press("/")
    expect(field).to_be_focused()
    page.keyboard.type("undo")
    found = page.locator("nav.tools .tools-found a").first
    expect(found).to_have_text("Change history")
    page.keyboard.press("ArrowDown")
    expect(found).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/history/(\?server=[^&]*)?$"))
    page.get_by_role("button", name="Tools").click()
    expect(page.locator("#tool-search-in-menu")).to_be_visible()
    expect(page.locator("#tool-search")).to_be_hidden()


def test_a_form_sent_after_the_session_ended_leads_back_to_it_and_says_so(
    admin_page: Page, simulated_panel: Panel
) -> None:
    page = admin_page
    page.goto(f"{simulated_panel.address}{EA4}/profiles/save/?server=sandbox")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Save as profile").click()
    expect(page.get_by_role("status")).to_contain_text("Your session expired")
    name, password = simulated_panel.accounts["administrator"]
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Save current state")).to_be_visible()
    expect(page.locator("#flash")).to_contain_text("Check the form and submit it again")
    page.get_by_role("button", name="Save as profile").click()
    page.wait_for_url(re.compile(r"/profiles/own-\d+/(\?server=[^&]*)?$"))
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#flash")).to_contain_text("Deleted")


def next_one(page: Page, panel: Panel) -> None:
    """On the chooser as it opens, choose the MPM below the present one with one key."""
    page.goto(panel.address + CHOOSER)
    page.locator("input[name=mpm]:checked").focus()
    page.keyboard.press("ArrowDown")


def test_enter_reviews_what_the_arrow_keys_chose(admin_page: Page, simulated_panel: Panel) -> None:
    page = admin_page
    wait_for_the_first_look(page, simulated_panel)
    page.goto(simulated_panel.address + CHOOSER)
    page.locator("input[name=mpm]:checked").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("No changes needed")
    next_one(page, simulated_panel)
    # At once, before the page has learned what the choice would do.
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/*/")
    next_one(page, simulated_panel)
    expect(page.locator("#review button")).to_be_enabled()
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/*/")


def wait_for_the_first_look(page: Page, panel: Panel) -> None:
    for _ in range(100):
        page.goto(panel.address + CHOOSER)
        if page.locator("input[name=mpm]:checked").count():
            return
        page.wait_for_timeout(200)
    raise AssertionError(page.content())


def begin(page: Page, panel: Panel) -> None:
    """Confirm a change; ends on its page, while it runs."""
    wait_for_the_first_look(page, panel)
    next_one(page, panel)
    expect(page.locator("#review button")).to_be_enabled()
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/*/")
    acknowledge(page)
    page.get_by_role("button", name=re.compile(r"^(Change|Enable|Disable) .*")).click()
    page.wait_for_url(re.compile(r".*/history/\d+/$"))


def test_a_paused_log_stays_as_it_is_when_the_change_ends(
    admin_page: Page, simulated_panel: Panel
) -> None:
    page = admin_page
    begin(page, simulated_panel)
    page.get_by_role("button", name="Pause").click()
    held = page.locator("[data-lines]").inner_text()
    end = page.get_by_role("link", name=THE_END)
    expect(end).to_be_visible(timeout=90_000)
    expect(page.locator("#state")).to_contain_text("Succeeded")
    expect(page.get_by_role("button", name="Follow")).to_be_visible()
    assert page.locator("[data-lines]").inner_text() == held
    end.click()
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()


def test_a_search_half_typed_stays_when_the_change_ends(
    admin_page: Page, simulated_panel: Panel
) -> None:
    page = admin_page
    begin(page, simulated_panel)
    page.get_by_role("searchbox", name="Search the log").fill("Instal")
    page.locator("h1").click()
    expect(page.get_by_role("link", name=THE_END)).to_be_visible(timeout=90_000)
    expect(page.get_by_role("searchbox", name="Search the log")).to_have_value("Instal")


def test_a_log_that_nobody_holds_follows_to_the_end_and_says_how_late_it_is(
    admin_page: Page, simulated_panel: Panel
) -> None:
    page = admin_page
    begin(page, simulated_panel)
    first = page.get_by_text("The log appears when the change starts.")
    expect(page.locator("[data-lines] .line").first).to_be_visible()
    expect(first).to_be_hidden()
    expect(page.locator("[data-lag]")).to_have_text(re.compile(r"^(< 1|\d+) ms$|^\d+\.\d s$"))
    expect(page.get_by_role("heading", name="What happened")).to_be_visible(timeout=90_000)
    expect(page.get_by_role("link", name=THE_END)).to_have_count(0)
