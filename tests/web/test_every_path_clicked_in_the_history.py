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
    rows = page.locator("section[aria-labelledby=list] tbody tr")
    return [" ".join(text.split()) for text in rows.all_inner_texts()]


def narrow(page: Page, label: str, value: str) -> None:
    field = page.get_by_label(label, exact=True)
    if not field.is_visible():
        page.get_by_text("More filters").click()
    if field.evaluate("one => one.tagName") == "SELECT":
        field.select_option(label=value)
    else:
        field.fill(value)
    with page.expect_navigation():
        page.get_by_role("button", name="Apply", exact=True).click()


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
        field = page.get_by_label(label, exact=True)
        expect(field).to_be_visible()
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
    expect(page.get_by_label("Ticket", exact=True)).to_have_value("HOST-4471")
    page.go_back()
    page.go_back()
    expect(page).to_have_url(where)
    expect(page.locator("header.bar")).to_have_count(1)
