"""What only a browser shows: keys, work without JavaScript, going back."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.panel import Panel
from tests.browser import PATIENCE_MS, Complaints, acknowledge, sign_in

pytestmark = pytest.mark.browser

EA4 = "software/easyapache4"
MPM = f"{EA4}/mpm/"


@pytest.fixture(scope="module")
def used_panel(simulated_panel: Panel, past: dict[str, str]) -> Panel:
    """A panel with a past, whose own server has prefork."""
    assert past["server"] == "sandbox"
    simulated_panel.manage("mpm", "switch", "prefork", "--server", "sandbox", "--yes", "--wait")
    return simulated_panel


def opened(
    browser: Browser, panel: Panel, role: str = "administrator", **options: Any
) -> Generator[Page, None, None]:
    context = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
    context.set_default_timeout(PATIENCE_MS)
    page, complaints = context.new_page(), Complaints()
    complaints.listen(page)
    sign_in(page, panel, role)
    yield page
    context.close()
    assert complaints.messages == []


@pytest.fixture
def plain_page(browser: Browser, used_panel: Panel) -> Iterator[Page]:
    """A browser without JavaScript."""
    yield from opened(browser, used_panel, java_script_enabled=False)


@pytest.fixture
def admin_page(browser: Browser, used_panel: Panel) -> Iterator[Page]:
    yield from opened(browser, used_panel, timezone_id="Europe/Berlin")


def test_the_whole_job_is_done_without_javascript(plain_page: Page, used_panel: Panel) -> None:
    page = plain_page
    page.goto(f"{used_panel.address}{MPM}?server=sandbox")
    page.get_by_role("radio", name="event", exact=True).check()
    page.get_by_role("button", name="Update plan").click()
    expect(page.locator("#summary")).to_contain_text("to install")
    page.get_by_role("button", name="Review change").click()
    confirm = page.get_by_role("button", name=re.compile("^Change sandbox to event"))
    wait_by_loading(page, confirm.count)
    page.get_by_label("Reason").fill("without a script")
    acknowledge(page)
    confirm.click()
    wait_by_loading(page, page.get_by_role("heading", name="What happened").count)
    expect(page.locator(".story")).to_contain_text("without a script")
    page.get_by_role("link", name="Roll back").click()
    acknowledge(page)
    page.get_by_role("button", name=re.compile("^Roll sandbox back to prefork")).click()
    wait_by_loading(page, page.get_by_role("heading", name="What happened").count)
    expect(page.locator(".story")).to_contain_text("The change succeeded")
    page.get_by_role("link", name="Change history").first.click()
    expect(page.get_by_role("link", name=re.compile("event to prefork")).first).to_be_visible()


def wait_by_loading(page: Page, there: Any) -> None:
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end, page.content()[-3000:]
        time.sleep(0.5)
        page.reload()


def test_the_chooser_is_used_with_keys_alone(admin_page: Page, used_panel: Panel) -> None:
    page = admin_page
    page.goto(f"{used_panel.address}{MPM}?server=sandbox&mpm=event")
    page.get_by_role("radio", name="event", exact=True).focus()
    with page.expect_response(lambda answer: "/mpm/plan/" in answer.url):
        page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="worker", exact=True)).to_be_focused()
    expect(page.locator("#summary")).to_contain_text("to worker")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#summary")).not_to_contain_text("to worker")
    switch = page.get_by_role("switch", name="MPM ITK")
    expect(switch).to_be_enabled()
    switch.focus()
    page.keyboard.press("Space")
    expect(page.locator("#summary")).to_contain_text("prefork + ITK")
    expect(switch).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/**")


def test_a_fix_is_a_button_and_back_shows_a_whole_page(admin_page: Page, used_panel: Panel) -> None:
    page = admin_page
    page.goto(f"{used_panel.address}{MPM}?server=sandbox&mpm=event&itk=on")
    page.locator(".finding.block .fixes a").first.click()
    expect(page.locator(".finding.block")).to_have_count(0)
    expect(page.locator("#this-change")).to_be_focused()
    page.goto(f"{used_panel.address}{EA4}/history/")
    page.go_back()
    expect(page.locator("header.bar")).to_have_count(1)
    expect(page.locator("#chooser")).to_have_count(1)
    kept = page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))")
    # htmx keeps the address it is at; no page, and nothing of ours, is kept anywhere.
    assert set(kept) <= {"htmx-current-path-for-history"}


def test_slash_goes_to_the_search(admin_page: Page, used_panel: Panel) -> None:
    page = admin_page
    page.goto(used_panel.address)
    page.keyboard.press("/")
    page.keyboard.type("undo")
    expect(page.locator(".tools-found a").first).to_have_text("Change history")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/history/(\?server=[^&]*)?$"))


def test_a_session_that_ended_elsewhere_leads_to_the_sign_in_page_and_back(
    admin_page: Page, used_panel: Panel
) -> None:
    page = admin_page
    page.goto(f"{used_panel.address}{MPM}?server=sandbox&mpm=event")
    page.context.clear_cookies(name="sessionid")
    # A click and no more: by the time a check() would look, the page is the sign-in's.
    page.get_by_role("radio", name="worker", exact=True).click()
    page.wait_for_url(re.compile(r"/login/\?next=/software/.*/mpm/"))
    expect(page.locator("header.bar")).to_have_count(1)
    name, password = used_panel.accounts["administrator"]
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/mpm/\?server=sandbox&.*mpm=worker"))


def test_a_new_sign_in_in_another_tab_does_not_break_this_one(
    admin_page: Page, used_panel: Panel
) -> None:
    page = admin_page
    page.goto(f"{used_panel.address}{EA4}/profiles/save/?server=sandbox")
    other = page.context.new_page()
    other.goto(used_panel.address)
    other.locator("button[popovertarget=account-menu]").click()
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/login/**")
    sign_in(other, used_panel)
    page.get_by_label("File name, without .json").fill(f"kept-{time.time_ns()}")
    page.get_by_role("button", name="Save as profile").click()
    page.wait_for_url(re.compile(r"/profiles/own-\d+/(\?server=[^&]*)?$"))
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".notice.success")).to_contain_text("Restored kept-")


def test_times_are_in_the_readers_zone_and_exact_when_pointed_at(
    admin_page: Page, used_panel: Panel
) -> None:
    page = admin_page
    page.goto(f"{used_panel.address}{EA4}/history/1/")
    stamp = page.locator(".page-head time").first
    assert "Europe/Berlin" in (stamp.get_attribute("title") or "")


def test_colours_are_kept_without_javascript(plain_page: Page, used_panel: Panel) -> None:
    page = plain_page
    page.goto(f"{used_panel.address}preferences/")
    page.get_by_role("combobox", name="Theme").select_option("dark")
    page.get_by_role("button", name="Save").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_support_sees_the_choice_but_no_button(browser: Browser, used_panel: Panel) -> None:
    pages = opened(browser, used_panel, role="support")
    page = next(pages)
    page.goto(f"{used_panel.address}{MPM}?server=sandbox")
    page.get_by_role("radio", name="event", exact=True).check()
    expect(page.locator("#summary")).to_contain_text("to event")
    expect(page.get_by_role("button", name="Review change")).to_have_count(0)
    expect(page.locator("#review")).to_contain_text("administrators")
    pages.close()
