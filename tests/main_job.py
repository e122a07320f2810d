"""The main job as a person does it in any browser: choose, review, confirm and watch."""

from __future__ import annotations

import re
import time

from playwright.sync_api import Error, Page, expect

from demo.panel import Panel
from tests.browser import acknowledge

CHOOSER = "software/easyapache4/mpm/?server=lab"
HISTORY = "software/easyapache4/history/"
CHANGE_SECONDS = 120


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


def keeping_php_blocks(page: Page, panel: Panel) -> None:
    """The fresh server has PHP as a module and ruid2: both are named before they go, in the
    chooser and in the review, and whoever says that one must stay is not offered the change."""
    choose(page, panel, "event", itk=False)
    findings = page.locator("#findings")
    expect(findings).to_contain_text("ruid2")
    expect(findings).to_contain_text(re.compile("PHP 7.4|php74"))
    page.get_by_role("button", name="Review change").click()
    leaving = page.get_by_role("row").filter(has_text=re.compile("ea-php74-php|mod_ruid2"))
    expect(leaving).to_have_count(2)
    expect(page.get_by_role("button", name=re.compile(r"^Change .*"))).to_be_visible()
    for kept in ("ea-php74-php", "ea-apache24-mod_ruid2"):
        page.goto(f"{panel.address}{CHOOSER}&mpm=event&keep={kept}")
        expect(page.locator("#summary")).to_contain_text("1 blocker")
        review = page.get_by_role("button", name="Review change")
        expect(review).to_be_disabled()
        expect(review).to_have_accessible_description("Resolve the blockers to continue.")


def make(page: Page, panel: Panel, mpm: str, *, itk: bool) -> list[str]:
    """Choose, review, confirm and follow to the end, never loading the page again by hand.
    Returns the steps the page showed as running, in their order."""
    choose(page, panel, mpm, itk=itk)
    page.get_by_role("button", name="Review change").click()
    return confirm(page, f"To {mpm}, from a browser")


def confirm(page: Page, reason: str) -> list[str]:
    """Confirm the review that is open and follow its change as ``make`` does."""
    page.get_by_label("Reason").fill(reason)
    page.get_by_label("Ticket").fill("E2E-1")
    acknowledge(page)
    page.get_by_role("button", name=re.compile(r"^(Change|Enable|Disable|Roll) .*")).click()
    page.wait_for_url(re.compile(r".*/history/\d+/$"))
    story = page.get_by_role("heading", name="What happened")
    running = page.locator(".steps [aria-current=step] strong")
    seen: list[str] = []
    end = time.monotonic() + CHANGE_SECONDS
    while not story.is_visible():
        try:
            seen += [step for step in running.all_inner_texts() if step not in seen]
        except Error:
            # The page loads itself anew at the end of the change, perhaps at this instant.
            page.wait_for_load_state()
        assert time.monotonic() < end, page.inner_text("main")
        page.wait_for_timeout(50)
    return seen
