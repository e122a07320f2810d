"""Pages in rough hands: long words, text from right to left, magnified, without a script, in forced
colors, clicked twice, and a session that ends while somebody types."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser import acknowledge, faults, give_password
from tests.desk import Desk

pytestmark = pytest.mark.browser

EA4 = "software/easyapache4/"
MPM = f"{EA4}mpm/"
HISTORY = f"{EA4}history/"
LONG_HOST = f"{'verylongname' * 5}.{'customer' * 7}.example.net"
THE_END = 60_000
WIDTHS = (390, 720, 1440)
"""A telephone, a window of 1440 px at 200 %, and that window."""


def overflows(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@contextmanager
def host_name(desk: Desk, server: str, name: str) -> Iterator[None]:
    def update(to: str) -> None:
        done = desk.panel.manage("mpm", "server", "update", server, "--hostname", to)
        assert done.returncode == 0, done.stderr

    update(name)
    try:
        yield
    finally:
        update(f"{server}.example.net")


def switched(desk: Desk, **said: str) -> int:
    """The number of a change of the sandbox to another MPM."""
    manage = desk.panel.manage
    status = json.loads(manage("mpm", "status", "--server", "sandbox", "--json").stdout)
    to = "worker" if status["mpm"] == "event" else "event"
    options = [word for name, text in said.items() for word in (f"--{name}", text)]
    done = manage("mpm", "switch", to, "--server", "sandbox", "--yes", "--wait", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = json.loads(manage("mpm", "history", "--server", "sandbox", "--json").stdout)
    return int(listed["items"][0]["id"])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_host_name_without_an_end_pushes_nothing_off_the_page(desk: Desk, width: int) -> None:
    page = desk.another(viewport={"width": width, "height": 844})
    with host_name(desk, "web14", LONG_HOST):
        for path in ("", "servers/", "servers/web14/", f"{MPM}?server=web14&mpm=event", HISTORY):
            desk.open(f"{path}{'&' if '?' in path else '?'}server=web14", page)
            assert not overflows(page), path
        name = page.locator(".chosen .name")
        expect(name).to_have_attribute("title", LONG_HOST)


def test_words_without_an_end_and_from_right_to_left_are_read_as_they_were_meant(
    desk: Desk,
) -> None:
    long = switched(desk, reason="x" * 500, ticket="T" * 64)
    arabic = switched(desk, reason="تغيير عاجل للخادم! 🔥 (before 3 a.m.)", ticket="تذكرة-42")
    for width in WIDTHS:
        page = desk.another(viewport={"width": width, "height": 844})
        for number in (long, arabic):
            for query in ("", "?part=share", "?part=timeline", "?print=1"):
                desk.open(f"{HISTORY}{number}/{query}", page)
                assert not overflows(page), (width, number, query)
        for path in (HISTORY, f"{HISTORY}?text=xxx", "tools/?q=xxx", ""):
            desk.open(path, page)
            assert not overflows(page), (width, path)
    page = desk.open(f"{HISTORY}{arabic}/")
    reason = page.get_by_role("row", name=re.compile("^Reason")).get_by_role("cell")
    assert reason.evaluate("one => getComputedStyle(one).direction") == "rtl"
    desk.open(HISTORY)
    row = page.locator("tr", has_text=f"#{arabic} ")
    assert row.locator(".reason").evaluate("one => getComputedStyle(one).direction") == "rtl"
    assert row.locator("td").first.evaluate("one => getComputedStyle(one).direction") == "ltr"


@pytest.mark.parametrize("width", [390, 720])
def test_german_fits_on_a_telephone_and_magnified(desk: Desk, width: int) -> None:
    page = desk.another(viewport={"width": width, "height": 844}, locale="de-DE")
    for path in (
        *("?server={server}", HISTORY, "tools/?q=shop", "servers/"),
        *(f"{MPM}?server={{server}}&mpm=event", f"{HISTORY}{{succeeded}}/?print=1"),
        *(f"{MPM}review/{{review_answered}}/", f"{HISTORY}{{failed}}/", f"{HISTORY}{{restored}}/"),
        *(f"{EA4}doctor/?server=web06", f"{HISTORY}{{scheduled}}/", f"{HISTORY}{{running}}/"),
    ):
        desk.open(path, page)
        expect(page.locator("html")).to_have_attribute("lang", "de")
        assert not overflows(page), path


def test_in_forced_colors_what_is_chosen_and_how_it_is_stay_visible(desk: Desk) -> None:
    """Windows' contrast themes take every background away: states have words and borders."""
    page = desk.another(forced_colors="active", viewport={"width": 1440, "height": 900})
    for path in ("?server={server}", f"{MPM}?server={{server}}&mpm=event", f"{HISTORY}{{failed}}/"):
        desk.open(path, page)
        assert faults(page) == []
        bare = page.locator(".tag:visible, .finding:visible, .switch:visible").evaluate_all(
            "all => all.filter(one => getComputedStyle(one).borderTopStyle === 'none')"
            ".map(one => one.outerHTML)"
        )
        assert bare == [], path
    # A step that is done is told from one that waits by its own colors, which stay.
    done, waiting = page.locator(".steps li.done").first, page.locator(".steps li.waiting").first
    ground = "one => getComputedStyle(one, '::before').backgroundColor"
    assert done.evaluate(ground) != waiting.evaluate(ground)


def test_a_second_click_on_apply_makes_no_second_change(desk: Desk) -> None:
    """Both clicks are sent before an answer is there; the page that opens is the change's."""
    page = reviewed(desk, "sandbox")
    acknowledge(page)
    before = newest(desk)
    page.locator("#decide button.primary").dblclick()
    page.wait_for_url(re.compile(r"/history/\d+/$"))
    expect(page.get_by_role("heading", name="What happened")).to_be_visible(timeout=THE_END)
    assert newest(desk) == before + 1


def test_back_after_apply_names_the_change_and_offers_nothing_twice(desk: Desk) -> None:
    page = reviewed(desk, "sandbox")
    acknowledge(page)
    page.locator("#decide button.primary").click()
    page.wait_for_url(re.compile(r"/history/\d+/$"))
    number = page.url.rstrip("/").rpartition("/")[2]
    expect(page.get_by_role("heading", name="What happened")).to_be_visible(timeout=THE_END)
    page.go_back()
    expect(page.locator("main")).to_contain_text(f"Applied as change #{number}.")
    expect(page.locator("#decide button.primary")).to_have_count(0)
    page.reload()
    expect(page.locator("main")).to_contain_text(f"Applied as change #{number}.")


def newest(desk: Desk) -> int:
    said = desk.panel.manage("mpm", "history", "--json").stdout
    return max(int(one["id"]) for one in json.loads(said)["items"])


def reviewed(desk: Desk, server: str) -> Page:
    """The review of a change of ``server`` to an MPM that it has not."""
    page = desk.open(f"{MPM}?server={server}")
    now = page.locator("input[name=mpm]:checked").get_attribute("value")
    desk.open(f"{MPM}?server={server}&mpm={'worker' if now == 'event' else 'event'}")
    page.get_by_role("button", name="Review change").click()
    page.wait_for_url("**/review/*/")
    expect(page.get_by_text("confirmed by server")).to_be_visible()
    return page


def test_what_was_typed_into_any_form_outlives_the_session(desk: Desk) -> None:
    page = desk.another()
    desk.open("tokens/add/", page)
    page.get_by_label("Name", exact=True).fill("Nightly deploy")
    page.get_by_label("Allowed networks").fill("198.51.100.0/24")
    page.get_by_label("read", exact=False).first.check()
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_text("Your session expired")).to_be_visible()
    give_password(page, desk.panel)
    expect(page.get_by_label("Name", exact=True)).to_have_value("Nightly deploy")
    expect(page.get_by_label("Allowed networks")).to_have_value("198.51.100.0/24")
    expect(page.get_by_label("read", exact=False).first).to_be_checked()
    # What is left unsaved is not taken for what is stored.
    page.get_by_role("link", name="Cancel").click()
    desk.open("tokens/add/", page)
    expect(page.get_by_label("Name", exact=True)).to_have_value("")


# -- without JavaScript ----------------------------------------------------------------------------


@pytest.fixture
def plain(desk: Desk) -> Page:
    return desk.another(java_script_enabled=False, viewport={"width": 1440, "height": 900})


def test_itk_is_enabled_and_disabled_without_javascript(desk: Desk, plain: Page) -> None:
    desk.panel.manage(
        "mpm", "switch", "prefork", "--no-itk", "--server", "sandbox", "--yes", "--wait"
    )
    for verb in ("Enable", "Disable"):
        desk.open(f"{MPM}?server=sandbox", plain)
        plain.get_by_role("switch", name="MPM ITK").click()
        plain.get_by_role("button", name="Update plan").click()
        expect(plain.locator("#summary")).to_contain_text("prefork + ITK")
        plain.get_by_role("button", name="Review change").click()
        button = plain.get_by_role("button", name=f"{verb} MPM ITK on sandbox")
        until(plain, button.count)
        acknowledge(plain)
        button.click()
        until(plain, plain.get_by_role("heading", name="What happened").count)
        expect(plain.locator("#state")).to_contain_text("Succeeded")


def test_a_change_is_scheduled_moved_and_canceled_without_javascript(
    desk: Desk, plain: Page
) -> None:
    desk.open(f"{MPM}?server=sandbox", plain)
    now = plain.locator("input[name=mpm]:checked").get_attribute("value")
    desk.open(f"{MPM}?server=sandbox&mpm={'worker' if now == 'event' else 'event'}", plain)
    plain.get_by_role("button", name="Review change").click()
    until(plain, plain.locator("#decide button.primary").count)
    acknowledge(plain)
    plain.get_by_label("Schedule").check()
    tomorrow = datetime.now() + timedelta(days=1)  # noqa: DTZ005  # as a person types it
    plain.get_by_label("Start after", exact=False).first.fill(f"{tomorrow:%Y-%m-%dT03:00}")
    plain.locator("#decide button.primary").click()
    expect(plain.locator("#state")).to_contain_text("Scheduled")
    plain.get_by_label("Start after", exact=False).first.fill(f"{tomorrow:%Y-%m-%dT04:00}")
    plain.get_by_role("button", name="Save schedule").click()
    expect(plain.locator("main")).to_contain_text("4:00 AM")
    plain.get_by_role("button", name="Cancel change").click()
    until(plain, plain.get_by_text("Canceled. Nothing was changed.").count)


def test_a_token_is_created_rotated_and_revoked_without_javascript(desk: Desk, plain: Page) -> None:
    name = f"plain{time.time_ns()}"
    desk.open("tokens/add/", plain)
    plain.get_by_label("Name", exact=True).fill(name)
    plain.get_by_role("button", name="Create token").click()
    expect(plain.locator("#issued")).to_be_visible()
    for act in ("Rotate", "Revoke"):
        plain.get_by_role("button", name=f"Actions for {name}").first.click()
        menu = plain.locator(".row-menu:popover-open")
        menu.locator("summary", has_text=act).click()
        menu.locator("details[open] button").click()
        expect(plain.get_by_role("status").first).to_be_visible()
    revoked = plain.get_by_role("row", name=name).filter(has_text="revoked")
    expect(revoked).to_have_count(1)


def until(page: Page, there: Callable[[], int]) -> None:
    """Load the page again and again, as its refresh tag makes a browser do."""
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end, page.inner_text("main")
        time.sleep(0.3)
        page.reload()
