"""The page of a change, clicked through: its log, its link for others, its end."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser import PATIENCE_MS, give_password
from tests.desk import Desk, Voice, text_of
from tests.visits import HISTORY

pytestmark = pytest.mark.browser

MOST = 2000
CHANGE, LONG = f"{HISTORY}{{succeeded}}/", f"{HISTORY}{{long}}/?part=log"
RUNNING = f"{HISTORY}{{running}}/"


def lines_of(page: Page) -> list[str]:
    return page.locator("[data-lines] .line .text").all_inner_texts()


def test_a_log_is_searched_line_after_line_and_shows_its_first_error(desk: Desk) -> None:
    page = desk.open(LONG)
    search = page.get_by_role("searchbox", name="Search the log")
    search.fill("file number 12")
    page.get_by_role("button", name="Search", exact=True).click()
    sought = page.locator(".line.sought .text")
    expect(sought).to_have_text("looked at file number 12")
    expect(sought).to_be_in_viewport()
    page.get_by_role("button", name="Next").click()
    expect(sought).to_have_text("looked at file number 120")
    search.fill("nowhere at all")
    search.press("Enter")
    expect(page.get_by_text("No log lines match “nowhere at all”.")).to_be_visible()
    page.get_by_role("link", name="First error").click()
    expect(page.locator(".line.bad.sought")).to_contain_text("<b>file number 700</b>")


def test_a_log_is_fetched_whole_and_byte_for_byte(desk: Desk) -> None:
    page = desk.open(LONG)
    with page.expect_download() as whole:
        page.get_by_role("link", name="Download").click()
    text = text_of(whole.value)
    assert whole.value.suggested_filename == f"change-{desk.known['long']}.log"
    assert text.count("looked at file number") == 3999
    assert "preflight" in text.splitlines()[0]


def test_earlier_lines_come_above_until_the_page_is_full_and_then_push_the_latest_out(
    desk: Desk,
) -> None:
    page = desk.open(LONG)
    earlier = page.get_by_role("link", name="Show earlier lines")
    seen = lines_of(page)
    while len(seen) < MOST:
        had = len(seen)
        assert had <= MOST
        earlier.click()
        expect(page.locator("[data-lines] .line")).not_to_have_count(had)
        seen = lines_of(page)
    earlier.click()
    expect(page.get_by_role("button", name="Follow")).to_be_visible()
    full = lines_of(page)
    assert len(full) == MOST
    assert "looked at file number 3999" not in full
    numbers = [int(line.rpartition(" ")[2]) for line in full if line.startswith("looked")]
    assert numbers == sorted(numbers), "in their order, without a gap"
    assert numbers[-1] - numbers[0] + 1 in (len(numbers), len(numbers) + 1)
    page.get_by_role("button", name="Follow").click()
    expect(page.locator("[data-lines] .line").last).to_contain_text("file number 3999")


def test_a_log_is_followed_held_and_never_more_than_two_thousand_lines_long(
    desk: Desk, voice: Voice
) -> None:
    known = desk.known
    page = desk.open(f"{HISTORY}{{spare_running}}/")
    last = page.locator("[data-lines] .line").last
    where = voice.log("web10", known["uuid"], int(known["log_size"]), "first of the new ones")
    expect(last).to_contain_text("first of the new ones")
    page.get_by_role("button", name="Pause").click()
    where = voice.log("web10", known["uuid"], where, "while it is held")
    page.wait_for_timeout(700)
    expect(last).to_contain_text("first of the new ones")
    page.get_by_role("button", name="Follow").click()
    expect(last).to_contain_text("while it is held")
    for part in range(3):
        lines = [f"line {number} of part {part}" for number in range(900)]
        where = voice.log("web10", known["uuid"], where, *lines)
        expect(last).to_contain_text(f"line 899 of part {part}")
    assert len(lines_of(page)) == MOST
    assert page.evaluate("document.querySelector('[data-log]').scrollTop") > 0
    expect(page.get_by_role("link", name="Show earlier lines")).to_have_attribute(
        "href", re.compile(r"\?before=\d+#log")
    )
    voice.ends("web10", known["uuid"], int(known["last_report"]) + 1)
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    expect(page.locator("#state")).to_contain_text("Succeeded")


def test_a_link_is_made_copied_opened_without_an_account_and_taken_back(desk: Desk) -> None:
    page = desk.open(f"{HISTORY}{{restored}}/")
    page.get_by_role("link", name="Share…").click()
    page.get_by_label("Expires in").select_option("30 days")
    page.get_by_role("button", name="Create link").click()
    page.locator("#share").get_by_role("button", name="Copy").first.click()
    expect(page.locator("#share").get_by_role("button", name="Copied")).to_be_visible()
    link = desk.copied()
    assert "/shared/" in link
    stranger = desk.another(signed_in=False)
    stranger.goto(link)
    expect(stranger.get_by_role("heading", name="Summary")).to_be_visible()
    expect(stranger.locator("header.bar")).to_contain_text("Expires")
    assert stranger.locator("a, button, form").count() == 0
    page.locator("summary", has_text="Revoke links").click()
    page.get_by_text("Every link to this change stops working now.").wait_for()
    page.get_by_role("button", name="Revoke links").click()
    stranger.reload()
    expect(stranger.get_by_role("heading", name="This link has expired")).to_be_visible()


def test_the_text_for_the_ticket_is_copied(desk: Desk) -> None:
    page = desk.open(CHANGE)
    page.get_by_role("button", name="Copy for ticket").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = desk.copied()
    assert copied.startswith(f"Change #{desk.known['succeeded']}")
    assert "Outcome: " in copied
    assert copied.rstrip().endswith(page.url)


def test_a_change_on_paper_is_its_story_without_the_panel_around_it(desk: Desk) -> None:
    page = desk.open(CHANGE)
    page.get_by_role("link", name="Print report").click()
    page.evaluate("window.print = () => { document.title = 'printed'; }")
    page.get_by_role("button", name="Print").click()
    expect(page).to_have_title("printed")
    page.emulate_media(media="print")
    for gone in ("header.bar", "nav.tools", "nav.crumbs", ".console", ".page-actions", ".tabs"):
        expect(page.locator(gone)).to_be_hidden()
    for kept in ("What happened", "What changed", "Checks", "Timeline"):
        expect(page.get_by_role("heading", name=kept)).to_be_visible()
    # Dark colours are for screens.
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_change_is_canceled_while_that_is_possible_and_later_says_why_not(desk: Desk) -> None:
    page = desk.open(f"{HISTORY}{{spare_cancelable}}/")
    page.get_by_role("button", name="Cancel change").click()
    expect(page.locator("#flash")).to_contain_text("Cancel requested")
    expect(page.get_by_text("Cancel requested. Waiting for the server.")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel change")).to_have_count(0)
    desk.open(RUNNING)
    button = page.get_by_role("button", name="Cancel change")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_have_accessible_description(re.compile("Too late to cancel"))
    button.click(force=True)
    expect(page.locator("#state")).to_contain_text("Running")


def test_the_clock_of_a_change_that_takes_days_counts_hours(desk: Desk) -> None:
    page = desk.open(f"{HISTORY}{{silent}}/")
    expect(page.locator("[data-since]")).to_have_text(re.compile(r"^7\d:\d\d:\d\d$"))


def test_nothing_moves_for_whoever_asked_that_nothing_move(desk: Desk) -> None:
    running = "getComputedStyle(document.querySelector('.steps .started'), '::before')"
    page = desk.open(RUNNING)
    assert page.evaluate(f"{running}.animationName") == "breathe"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(f"{running}.animationName") == "none"
    page.goto(f"{desk.panel.address}software/easyapache4/mpm/?server=web03&mpm=prefork")
    switch = "getComputedStyle(document.querySelector('.switch'), '::before')"
    assert page.evaluate(f"{switch}.transitionDuration") in ("0s", "")


def slowly(route: Route) -> None:
    time.sleep(1.2)
    route.continue_()


def test_a_session_that_ends_while_a_change_is_followed_leads_to_the_sign_in_and_back(
    desk: Desk,
) -> None:
    other = desk.another()
    desk.open(RUNNING, other)
    # Slower than two polls: what is asked meanwhile must not begin the way there anew.
    other.route("**/login/**", slowly)
    other.context.clear_cookies(name="sessionid")
    expect(other).to_have_url(re.compile(r"/login/\?next=/software/"), timeout=PATIENCE_MS)
    expect(other.locator("header.bar")).to_have_count(1)
    give_password(other, desk.panel)
    other.wait_for_url(f"**/history/{desk.known['running']}/")
    expect(other.locator("#state")).to_contain_text("Running")
