"""The change history, clicked through: every filter, the chart, the pages, the files, the link."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser import COLOURS, faults
from tests.desk import Desk, text_of
from tests.visits import HISTORY

pytestmark = pytest.mark.browser

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
NOT_ENDED = ("Running", "Scheduled", "Queued", "Canceling")
FILTERS: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    ("Search", "shop http/2", lambda row: "shop" in row),
    ("Server", "web07", lambda row: "web07" in row),
    ("User", "ben", lambda row: "ben" in row),
    ("Result", "Failed, rolled back", lambda row: "Failed, rolled back" in row),
    ("Result", "Not finished", lambda row: any(state in row for state in NOT_ENDED)),
    ("Source", "Outside the panel", lambda row: "Outside the panel" in row),
    ("From", "worker", lambda row: "worker to" in row or "worker →" in row),
    ("To", "prefork", lambda row: "to prefork" in row or "→ prefork" in row),
    ("ITK", "off", lambda row: "ITK" not in row),
    ("Ticket", "HOST-4471", lambda row: "HOST-4471" in row),
    ("End date", YESTERDAY, lambda row: bool(row)),
    ("Start date", YESTERDAY, lambda row: bool(row)),
    ("Request ID", "r-4711-0815", lambda row: "ada" in row),
)


def rows_of(page: Page) -> list[str]:
    """As one reads them, but for how long ago each was: that is another from second to second."""
    rows = page.locator("section[aria-labelledby=list] tbody tr")
    texts = (" ".join(text.split()) for text in rows.all_inner_texts())
    return [re.sub(r"\b\d+ (s|min|h|days?) (ago|\d+ min)", "", text) for text in texts]


def narrow(page: Page, label: str, value: str) -> None:
    """Through its field, which may be behind a button that opens it."""
    field = page.get_by_label(label, exact=True)
    behind = page.locator(".drop").filter(has=field)
    if not field.is_visible():
        behind.locator("summary").click()
    if field.evaluate("one => one.tagName") == "SELECT":
        field.select_option(label=value)
    else:
        field.fill(value)
    within = behind if behind.count() else page.locator(".filters .search")
    with page.expect_navigation():
        within.get_by_role("button").click()


def test_every_filter_narrows_the_list_and_stays_in_its_form_and_address(desk: Desk) -> None:
    page = desk.open(HISTORY)
    everything = len(rows_of(page))
    for label, value, fits in FILTERS:
        desk.open(HISTORY)
        narrow(page, label, value)
        rows = rows_of(page)
        assert rows, f"nothing fits {label} {value}"
        assert [row for row in rows if not fits(row)] == [], (label, value)
        assert "?" in page.url
        assert not re.search(r"=(&|$)", page.url), "no filter that is empty"
        field = page.get_by_label(label, exact=True)
        chip = page.locator(".drop").filter(has=field)
        if chip.count():
            expect(chip.locator("summary .value")).to_contain_text(value)
            chip.locator("summary").click()
        if field.evaluate("one => one.tagName") == "INPUT":
            expect(field).to_have_value(value)
    page.get_by_role("link", name="Clear filters").click()
    expect(page).to_have_url(re.compile(r"/history/(\?server=[^&]*)?$"))
    assert len(rows_of(page)) == everything


def test_filters_are_combined_and_the_address_is_the_search_for_everybody(desk: Desk) -> None:
    page = desk.open(HISTORY)
    narrow(page, "User", "ada")
    narrow(page, "Result", "Succeeded")
    narrow(page, "Search", "shop")
    found = rows_of(page)
    assert 0 < len(found) < 50
    assert all("ada" in row and "Succeeded" in row for row in found)
    saved = page.url
    other = desk.another()
    other.goto(saved)
    assert rows_of(other) == found
    narrow(page, "Search", "nothing that was ever written")
    expect(page.get_by_text("No changes found.")).to_be_visible()
    page.go_back()
    assert rows_of(page) == found


def test_a_day_of_the_chart_shows_the_changes_of_that_day(desk: Desk) -> None:
    page = desk.open(f"{HISTORY}?person=ada")
    bar = page.locator("svg.chart a").first
    told = re.match(r"(.+): (\d+) changes?, (\d+) failed", bar.get_attribute("aria-label") or "")
    assert told is not None
    day, count = told[1], int(told[2])
    bar.click()
    page.wait_for_url("**since=*until=*")
    rows = rows_of(page)
    assert len(rows) == count
    assert all(day in row and "ada" in row for row in rows)
    bars = page.locator("svg.chart a")
    bars.last.focus()
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert rows_of(page)


def test_a_preset_adds_to_the_search_and_is_taken_back_by_the_same_click(desk: Desk) -> None:
    page = desk.open(f"{HISTORY}?person=ada")
    presets = page.locator(".presets")
    with page.expect_navigation():
        presets.get_by_role("link", name="Last 24 hours").click()
    assert "last=24h" in page.url
    assert "person=ada" in page.url
    lately = rows_of(page)
    with page.expect_navigation():
        presets.get_by_role("link", name="Failed").click()
    failed = rows_of(page)
    assert 0 < len(failed) < len(lately)
    assert all("Needs attention" in row or "Not started" in row for row in failed)
    expect(presets.locator("[aria-current]")).to_have_count(2)
    with page.expect_navigation():
        presets.get_by_role("link", name="Failed").click()
    assert rows_of(page) == lately
    desk.open(HISTORY)
    with page.expect_navigation():
        presets.get_by_role("link", name="External").click()
    assert all("Outside the panel" in row for row in rows_of(page))


def test_what_opens_below_a_filter_closes_with_escape_and_with_a_click_elsewhere(
    desk: Desk,
) -> None:
    page = desk.open(HISTORY)
    opened = page.locator(".drop[open]")
    page.locator(".drop summary", has_text="Server").click()
    expect(page.locator(".filters").get_by_label("Server", exact=True)).to_be_visible()
    page.locator(".drop summary", has_text="Date").click()
    expect(opened).to_have_count(1)
    page.get_by_label("Start date").focus()
    page.keyboard.press("Escape")
    expect(opened).to_have_count(0)
    expect(page.locator(".drop summary", has_text="Date")).to_be_focused()
    page.keyboard.press("Enter")
    expect(opened).to_have_count(1)
    page.locator("h1").click()
    expect(opened).to_have_count(0)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_first_change_stands_above_the_fold_and_a_day_can_be_touched(
    desk: Desk, width: int, height: int
) -> None:
    page = desk.another(viewport={"width": width, "height": height})
    desk.open(f"{HISTORY}?server={{server}}", page)
    top = page.locator("section[aria-labelledby=list] tbody a").first.bounding_box()
    assert top is not None
    assert top["y"] < height * 0.75
    bar = page.locator("svg.chart a").last.bounding_box()
    assert bar is not None
    assert bar["width"] >= 24
    assert bar["height"] >= 60
    assert bar["x"] + bar["width"] <= width, "the latest day is in sight"
    wide = page.locator(".filters").bounding_box()
    assert wide is not None
    assert width < 1000 or wide["height"] < 70, "one row"


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_on_the_history_with_a_filter_open(
    desk: Desk, locale: str, width: int
) -> None:
    page = desk.another(locale=locale, viewport={"width": width, "height": 844})
    desk.open(f"{HISTORY}?text=shop&person=ada", page)
    for number in (0, 3, 4):
        page.locator(".drop").nth(number).evaluate("one => { one.open = true }")
        page.emulate_media(color_scheme="light")
        assert faults(page) == []
        page.emulate_media(color_scheme="dark")
        assert faults(page, COLOURS) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_older_and_newer_pages_join_without_a_gap(desk: Desk) -> None:
    page = desk.open(HISTORY)
    first = rows_of(page)
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**cursor=*")
    second = rows_of(page)
    assert not set(first) & set(second)

    def number(row: str) -> int:
        found = re.match(r"#(\d+)", row)
        assert found is not None, row
        return int(found[1])

    numbers = [number(row) for row in (*first, *second)]
    assert numbers == list(range(numbers[0], 0, -1))
    with page.expect_navigation():
        page.get_by_role("link", name="Newer").click()
    assert rows_of(page) == first


def test_what_the_filters_leave_is_fetched_as_csv_and_as_json(desk: Desk) -> None:
    page = desk.open(HISTORY)
    narrow(page, "User", "deploy")
    shown = [row.split()[0].removeprefix("#") for row in rows_of(page)]
    with page.expect_download() as fetched:
        page.get_by_role("link", name="CSV").click()
    table = list(csv.DictReader(io.StringIO(text_of(fetched.value))))
    assert [row["id"] for row in table] == shown
    with page.expect_download() as fetched:
        page.get_by_role("link", name="JSON").click()
    assert fetched.value.suggested_filename == "changes.json"
    listed = json.loads(text_of(fetched.value))
    assert [str(one["id"]) for one in listed] == shown
    with page.expect_download() as fetched:
        page.get_by_role("link", name="Audit log").click()
    assert json.loads(text_of(fetched.value))


def test_a_row_leads_to_its_change_and_back_to_where_it_was(desk: Desk) -> None:
    page = desk.open(f"{HISTORY}?ticket=HOST-4471")
    where = page.url
    page.get_by_role("link", name=re.compile(rf"^#{desk.known['succeeded']} ")).click()
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    page.locator("#lead").get_by_role("link", name="HOST-4471").click()
    expect(page.locator(".drop .value")).to_have_text("HOST-4471")
    page.go_back()
    page.go_back()
    expect(page).to_have_url(where)
    expect(page.locator("header.bar")).to_have_count(1)
