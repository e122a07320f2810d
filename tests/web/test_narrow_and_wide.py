"""The frame of a page on a telephone and on a very wide screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import sign_in
from tests.desk import Desk
from tests.visits import EA4, HISTORY, MPM

pytestmark = pytest.mark.browser


@pytest.fixture
def phone(desk: Desk) -> Page:
    return desk.another(viewport={"width": 390, "height": 844})


@pytest.mark.parametrize("path", ["servers/", HISTORY, f"{EA4}packages/?server={{server}}", ""])
def test_links_in_tables_are_high_enough_for_a_finger(desk: Desk, phone: Page, path: str) -> None:
    desk.open(path, phone)
    found = phone.locator("main :is(td, th) a:visible").all()[:30]
    assert found
    low = [
        one.inner_text() for one in found if (one.bounding_box() or {"height": 0})["height"] < 28
    ]
    assert low == []


def test_rows_of_a_folded_table_begin_below_the_title_of_their_card(
    desk: Desk, phone: Page
) -> None:
    desk.open("?server={server}", phone)
    card = phone.locator("section[aria-labelledby=servers]")
    title, row = (card.locator(one).first.bounding_box() for one in ("h2", "tbody th a"))
    assert title is not None
    assert row is not None
    assert title["x"] == row["x"]


def test_the_bar_of_the_chooser_is_there_on_a_telephone_once_something_is_chosen(
    desk: Desk, phone: Page
) -> None:
    desk.open(f"{MPM}?server=web03", phone)
    bar = phone.locator(".summary")
    expect(phone.locator("#summary")).to_contain_text("No changes needed")
    expect(bar).to_be_hidden()
    phone.get_by_role("radio", name="worker", exact=True).check()
    expect(bar).to_be_visible()
    expect(bar).to_contain_text("web03")
    wide = desk.open(f"{MPM}?server=web03")
    expect(wide.locator(".summary")).to_be_visible()


def test_without_javascript_the_bar_keeps_the_button_that_it_takes(
    browser: Browser, desk: Desk
) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    desk.opened.append(context)
    page = context.new_page()
    sign_in(page, desk.panel)
    desk.open(f"{MPM}?server=web03", page)
    expect(page.get_by_role("button", name="Update plan")).to_be_visible()


def test_a_wide_screen_is_used_to_1440_px_and_nothing_is_cut_off(desk: Desk) -> None:
    page = desk.another(viewport={"width": 1920, "height": 1000})
    for path in ("", HISTORY, f"{MPM}?server=web03&mpm=worker"):
        desk.open(path, page)
        box = page.locator("main").bounding_box()
        assert box is not None
        assert box["width"] == 1440
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # The line and the ground of the bar are painted up to the edge of the window.
    outset = page.locator(".summary").evaluate("one => getComputedStyle(one).borderImageOutset")
    assert outset.split()[1] == "1920px"
