"""The whole job in a browser: from the click to the running httpd and back, on a real server."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from easyapache.demo.panel import Panel
from easyapache.lab.server import Lab
from tests.browser import sign_in
from tests.stack import MakePanel

CHOOSER = "software/easyapache4/mpm/?server=lab"
HISTORY = "software/easyapache4/history/"
CHANGE_SECONDS = 120


@pytest.fixture
def lab(panel: Panel) -> Lab:
    return Lab.open(panel.folder / "servers" / "lab")


@pytest.fixture
def administrator(page: Page, panel: Panel) -> Page:
    sign_in(page, panel)
    wait_for_first_look(panel)
    return page


def wait_for_first_look(panel: Panel) -> None:
    """The agent looks at its server as soon as both sides are up."""
    end = time.monotonic() + 60
    while panel.manage("mpm", "status", "--server", "lab", "--json").returncode != 0:
        assert time.monotonic() < end, panel.manage("mpm", "status", "--server", "lab").stderr
        time.sleep(0.5)


def choose(page: Page, panel: Panel, mpm: str, *, itk: bool) -> None:
    """Choose on the page and wait until it says what that would do."""
    page.goto(panel.address + CHOOSER)
    # The whole row is the radio button's label.
    page.locator(f"label[for=mpm-{mpm}]").click()
    expect(page.get_by_role("radio", name=mpm, exact=True)).to_be_checked()
    switch = page.get_by_role("switch", name="MPM ITK")
    if mpm == "prefork":
        expect(switch).to_be_enabled()
        if switch.is_checked() != itk:
            switch.click()
    wanted = f"{mpm} + ITK" if itk else mpm
    expect(page.locator("#summary")).to_contain_text(f"to {wanted}")


def change(page: Page, panel: Panel, mpm: str, *, itk: bool) -> str:
    """Choose, review, confirm and follow to the end, never loading the page again by hand.
    Returns the address of the change."""
    choose(page, panel, mpm, itk=itk)
    page.get_by_role("button", name="Review change").click()
    expect(page.get_by_text("answered", exact=False).first).to_be_visible()
    page.get_by_label("Reason").fill(f"To {mpm}, from a browser")
    page.get_by_label("Ticket").fill("E2E-1")
    page.get_by_role("button", name=re.compile(r"^(Change|Switch) .*")).click()
    page.wait_for_url(re.compile(r".*/history/\d+/$"))
    story = page.get_by_role("heading", name="What happened")
    expect(story).to_be_visible(timeout=CHANGE_SECONDS * 1000)
    return page.url


JOURNEY = (
    ("event", False),
    ("worker", False),
    ("prefork", False),
    ("prefork", True),
    ("prefork", False),
)


@pytest.mark.browser
@pytest.mark.lab
def test_every_way_between_the_mpms_is_gone_and_httpd_itself_confirms_it(
    administrator: Page, panel: Panel, lab: Lab
) -> None:
    addresses = []
    for mpm, itk in JOURNEY:
        before = lab.status()
        address = change(administrator, panel, mpm, itk=itk)
        assert address not in addresses
        addresses.append(address)
        after = lab.status()
        assert (after.running, after.itk) == (mpm, itk)
        assert after.installed == (mpm,)
        expect(administrator.locator("#state")).to_contain_text("succeeded", ignore_case=True)
        expect(administrator.get_by_text(f"To {mpm}, from a browser").first).to_be_visible()
        assert before != after
    administrator.goto(panel.address + HISTORY)
    rows = administrator.get_by_role("row").filter(has=administrator.get_by_role("link", name="#"))
    expect(rows).to_have_count(len(JOURNEY))
    for row in rows.all():
        expect(row).to_contain_text("E2E-1")
        expect(row).to_contain_text("admin")


@pytest.mark.browser
@pytest.mark.lab
def test_the_page_follows_the_change_while_it_is_made(
    administrator: Page, panel: Panel, lab: Lab
) -> None:
    target = "event" if lab.status().running != "event" else "worker"
    choose(administrator, panel, target, itk=False)
    administrator.get_by_role("button", name="Review change").click()
    administrator.get_by_role("button", name=re.compile(r"^Change .*")).click()
    administrator.wait_for_url(re.compile(r".*/history/\d+/$"))
    seen: list[str] = []
    end = time.monotonic() + CHANGE_SECONDS
    while "What happened" not in administrator.inner_text("main"):
        steps = administrator.locator(".steps [aria-current=step] strong").all_inner_texts()
        seen += [step for step in steps if step not in seen]
        assert time.monotonic() < end
        administrator.wait_for_timeout(50)
    assert len(seen) >= 3, seen
    assert lab.status().running == target


@pytest.mark.browser
@pytest.mark.lab
def test_the_review_names_php_and_ruid2_before_they_go_and_keeping_them_blocks(
    page: Page, make_panel: MakePanel
) -> None:
    panel = make_panel()
    sign_in(page, panel)
    wait_for_first_look(panel)
    choose(page, panel, "event", itk=False)
    findings = page.locator("#findings")
    expect(findings).to_contain_text("ruid2")
    expect(findings).to_contain_text(re.compile("PHP 7.4|php74"))
    page.goto(f"{panel.address}{CHOOSER}&mpm=event&keep=ea-php74-php")
    expect(page.locator("#summary")).to_contain_text("stands in the way")
    page.get_by_role("button", name="Review change").click()
    expect(page.get_by_text("Something stands in the way")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile(r"^Change .*"))).to_have_count(0)
    assert Lab.open(panel.folder / "servers" / "lab").status().running == "prefork"
