"""Two tabs of one browser on two servers; and whose server it is, on a telephone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import faults
from tests.desk import Desk

pytestmark = pytest.mark.browser

MPM = "software/easyapache4/mpm/"


def server_of(page: Page) -> str:
    return page.locator(".chosen .name").inner_text()


def test_two_tabs_on_two_servers_never_influence_each_other(desk: Desk) -> None:
    one = desk.open(f"{MPM}?server=web03&mpm=worker")
    other = one.context.new_page()
    desk.complaints.listen(other)
    desk.open("?server=web06", other)
    expect(other.locator(".chosen")).to_contain_text("web06")
    one.get_by_role("link", name="Reset").click()
    expect(one.locator("h1")).to_contain_text("web03")
    one.locator("#tools").get_by_role("link", name="Users and roles").click()
    expect(one.locator(".chosen")).to_contain_text("web03")
    one.locator("#tools").get_by_role("link", name="Apache MPM").click()
    expect(one.locator("h1")).to_contain_text("web03")
    one.reload()
    expect(one.locator("h1")).to_contain_text("web03")
    other.locator(".crumbs a, #tools a").filter(has_text="Apache MPM").first.click()
    expect(other.locator("h1")).to_contain_text("web06")
    # A form of the first tab leads back to its own server as well.
    one.locator("button[popovertarget=account-menu]").click()
    one.get_by_role("button", name=re.compile("Dark|Light")).first.click()
    expect(one.locator(".chosen")).to_contain_text("web03")
    other.close()


def test_a_page_that_named_no_server_names_it_from_then_on(desk: Desk) -> None:
    page = desk.open("?server=web03")
    desk.open("users/")
    expect(page).to_have_url(re.compile(r"/users/\?server=web03$"))
    elsewhere = page.context.new_page()
    desk.complaints.listen(elsewhere)
    desk.open("?server=web06", elsewhere)
    page.reload()
    expect(page.locator(".chosen")).to_contain_text("web03")
    elsewhere.close()


def test_the_servers_name_is_whole_on_a_telephone(desk: Desk) -> None:
    phone = desk.another(viewport={"width": 390, "height": 844})
    for path in ("?server=web03", f"{MPM}?server=web03&mpm=worker"):
        desk.open(path, phone)
        name = phone.locator(".chosen .name")
        assert name.evaluate("one => one.scrollWidth <= one.clientWidth")
        assert "web03.example.net" in name.inner_text()
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert faults(phone) == []
