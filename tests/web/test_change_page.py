"""The page of a change: its outcome first, its parts in tabs, calm while it runs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from easyapache.agent.simulated.server import SimulatedServer
from tests.desk import Desk
from tests.visits import HISTORY

pytestmark = pytest.mark.browser

THE_END = 60_000
WIDE, NARROW = (1440, 1200), (390, 2400)
"""A width, and how high the summary of a change may be there, in pixels."""
MOST_SHIFT = 10
ENDED = ("succeeded", "restored", "failed", "canceled", "moved")

WATCH = """() => {
    const first = {};
    window.moved = {};
    window.titles = [];
    window.shifts = [];
    new PerformanceObserver((list) => {
        for (const one of list.getEntries()) {
            for (const source of one.sources) {
                const by = Math.abs(source.currentRect.top - source.previousRect.top);
                window.shifts.push([by, source.node?.nodeName, source.node?.className]);
            }
        }
    }).observe({type: "layout-shift", buffered: false});
    const look = () => {
        if (!document.querySelector("#live[data-poll]")) return;
        for (const name of ["#live .steps", "#live .kept", "#log", ".console", "#request"]) {
            const place = document.querySelector(name)?.getBoundingClientRect();
            if (!place) continue;
            const top = place.top + scrollY;
            first[name] ??= top;
            window.moved[name] = Math.max(window.moved[name] ?? 0, Math.abs(top - first[name]));
        }
        if (window.titles.at(-1) !== document.title) window.titles.push(document.title);
        requestAnimationFrame(look);
    };
    look();
}"""


STORED = ("--stored", "--yes", "--json")


def begun(desk: Desk) -> str:
    """A change of the simulated server that has just been requested; the path of its page."""
    host = SimulatedServer(desk.panel.folder / "servers" / "sandbox" / "state.json")
    seen = host.inspect().running
    target = "event" if seen is None or seen.mpm != "event" else "prefork"
    made = desk.panel.manage("mpm", "switch", target, "--server", "sandbox", *STORED)
    assert made.returncode == 0, made.stderr
    return f"{HISTORY}{json.loads(made.stdout)['change']['id']}/"


def ended(page: Page) -> None:
    expect(page.get_by_role("heading", name="What happened")).to_be_visible(timeout=THE_END)


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_on_the_page_of_a_running_change_moves_by_more_than_ten_pixels(
    width: int, desk: Desk
) -> None:
    path = begun(desk)
    page = desk.page
    page.set_viewport_size({"width": width, "height": 900})
    desk.open(path)
    page.evaluate(WATCH)
    ended(page)
    moved: dict[str, float] = page.evaluate("window.moved")
    assert set(moved) >= {"#live .steps", "#live .kept", "#log", ".console"}, moved
    assert {name: by for name, by in moved.items() if by > MOST_SHIFT} == {}
    titles: list[str] = page.evaluate("window.titles")
    assert any(re.match(r"\d/7 · #\d+ sandbox · ", title) for title in titles), titles


def test_the_result_takes_the_place_of_the_running_change_without_a_new_page(desk: Desk) -> None:
    path = begun(desk)
    page = desk.open(path)
    page.evaluate("window.here = true")
    expect(page.locator("#progress-title")).to_have_text(
        re.compile(r"^Step \d of 7: \w+"), timeout=THE_END
    )
    expect(page.locator(".clock")).to_have_text(re.compile(r"\d\d:\d\d\s+·\s+usually [\d.–]+ s"))
    expect(page.locator(".phase")).to_contain_text("close this page")
    assert page.locator("progress").get_attribute("max") == "14"
    ended(page)
    assert page.evaluate("window.here") is True
    expect(page.locator("#outcome-title")).to_be_focused()
    expect(page.locator("#outcome-title")).to_have_text(
        re.compile(r"^Succeeded\. sandbox now runs")
    )
    expect(page.get_by_role("link", name="Roll back…")).to_be_visible()
    expect(page).to_have_title(re.compile(r"^✓ #\d+ sandbox · "))
    expect(page.locator("#state")).to_have_count(1)
    expect(page.locator("#lead")).to_contain_text("took")
    expect(page.locator(".story")).to_contain_text("isn’t measured on a simulated server")


HEIGHTS = """() => {
  const banner = document.querySelector("#unsound > *");
  const around = banner && getComputedStyle(banner);
  const margins = banner ? parseFloat(around.marginTop) + parseFloat(around.marginBottom) : 0;
  return [document.documentElement.scrollHeight, banner ? banner.offsetHeight + margins : 0];
}"""
"""Of the page, and of the banner in it that says what is wrong with its server by now: on a busy
machine an agent may be called offline while the tests run."""


@pytest.mark.parametrize("state", ENDED)
@pytest.mark.parametrize(("width", "most"), [WIDE, NARROW])
def test_the_summary_of_a_change_is_read_without_much_scrolling(
    width: int, most: int, state: str, desk: Desk
) -> None:
    desk.page.set_viewport_size({"width": width, "height": 900})
    page = desk.open(f"{HISTORY}{{{state}}}/")
    height, of_banner = page.evaluate(HEIGHTS)
    assert height - of_banner <= most
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_each_part_of_a_change_has_an_address_and_is_changed_without_a_new_page(
    desk: Desk,
) -> None:
    page = desk.open(f"{HISTORY}{{succeeded}}/")
    page.evaluate("window.here = true")
    tabs = page.get_by_role("navigation", name="Parts of this change")
    for name, heading in (
        ("Packages", "Packages"),
        ("Checks", "Trial start"),
        ("Visitor impact", "Visitor impact"),
        ("Log", "Log"),
        ("Timeline", "Timeline"),
        ("Ticket and sharing", "Ticket summary"),
    ):
        tabs.get_by_role("link", name=re.compile(f"^{name}")).click()
        expect(page.locator("#part").get_by_role("heading", name=heading)).to_be_visible()
        expect(tabs.locator("[aria-current=page]")).to_contain_text(name)
        expect(page).to_have_url(re.compile(r"\?part=\w+$"))
    assert page.evaluate("window.here") is True
    page.reload()
    expect(page.get_by_role("heading", name="Ticket summary")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    expect(page.locator("header.bar")).to_have_count(1)


def test_the_parts_of_a_change_are_there_without_javascript(desk: Desk) -> None:
    page = desk.another(java_script_enabled=False)
    desk.open(f"{HISTORY}{{succeeded}}/", page)
    page.get_by_role("link", name="Timeline").click()
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    page.get_by_role("link", name="Print report").click()
    for heading in ("What happened", "Packages", "Checks", "Timeline"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()


def test_a_change_that_restored_itself_has_its_steps_back_in_a_row_of_their_own(
    desk: Desk,
) -> None:
    page = desk.open(f"{HISTORY}{{restored}}/")
    expect(page.locator("#outcome-title")).to_have_text(re.compile(r"^Failed, rolled back\. "))
    forward = page.locator(".steps:not(.restore) li")
    back = page.locator(".steps.restore li")
    expect(forward).to_have_count(7)
    expect(back).to_have_count(3)
    places: Any = page.evaluate(
        "Array.from(document.querySelectorAll('.steps'), (one) => one.getBoundingClientRect().top)"
    )
    assert places[1] > places[0] + 50
    for about in page.locator(".steps .about").all_inner_texts():
        assert "…" not in about, about
    page.get_by_role("link", name="Timeline").click()
    expect(page.locator(".timeline li").filter(has_text="Preflight")).to_have_count(1)


def test_a_change_that_could_not_be_undone_has_one_primary_way_out(desk: Desk) -> None:
    page = desk.open(f"{HISTORY}{{failed}}/")
    primary = page.locator("main .button.primary")
    expect(primary).to_have_count(1)
    expect(primary).to_have_text("Undo the incomplete change…")
    expect(page.get_by_text("/kit/undo")).to_be_hidden()
    page.get_by_text("Other ways").click()
    expect(page.get_by_text("/kit/undo").first).to_be_visible()
    expect(page.get_by_role("link", name="Roll back…")).to_be_visible()
    titles = page.locator(".finding h3").all_inner_texts()
    assert len(titles) == len(set(titles))


def test_what_did_not_happen_is_not_told_as_if_it_had(desk: Desk) -> None:
    page = desk.open(f"{HISTORY}{{canceled}}/")
    expect(page.locator("#outcome-title")).to_have_text("Canceled. Nothing was changed.")
    expect(page.get_by_role("heading", name="What changed")).to_have_count(0)
    expect(page.get_by_role("link", name="Try again")).to_be_visible()
    page.get_by_role("link", name=re.compile("^Packages")).click()
    expect(page.get_by_role("heading", name="Planned packages (not applied)")).to_be_visible()
