"""From the chooser over the review to the end of a change and back, clicked and typed through."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser import acknowledge
from tests.desk import Desk
from tests.visits import MPM

pytestmark = pytest.mark.browser

CHOOSER = f"{MPM}?server=web03"
"""A server with prefork, PHP as a module and ruid2, which no test changes."""
THE_END = 60_000


def tab_to(page: Page, wanted: str) -> None:
    """Press Tab until the focus is on what the selector names."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement?.matches(wanted)", wanted):
            return
    raise AssertionError(f"Tab does not lead to {wanted}")


def test_a_change_is_made_with_keys_alone_and_taken_back_with_clicks(desk: Desk) -> None:
    page = desk.open(f"{MPM}?server=sandbox")
    before = page.locator("input[name=mpm]:checked").get_attribute("value")
    tab_to(page, "input[name=mpm]")
    with page.expect_response("**/mpm/plan/**"):
        page.keyboard.press("ArrowUp" if before == "prefork" else "ArrowDown")
    after = page.locator("input[name=mpm]:checked").get_attribute("value")
    assert after != before
    expect(page.locator("#summary")).to_contain_text(
        re.compile(rf"{before}\s.*to\s+{after}", re.DOTALL)
    )
    expect(page.locator("#review button")).to_be_enabled()
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/*/")
    expect(page.get_by_text("confirmed by server")).to_be_visible()
    tab_to(page, "#id_reason")
    page.keyboard.type("without a mouse")
    if page.locator("#id_acknowledged").count():
        tab_to(page, "#id_acknowledged")
        page.keyboard.press("Space")
    tab_to(page, "#decide button")
    focused = page.locator("#decide button")
    expect(focused).to_have_accessible_name(f"Change sandbox to {after}")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/history/\d+/$"))
    expect(page.get_by_role("heading", name="What happened")).to_be_visible(timeout=THE_END)
    expect(page.locator(".story")).to_contain_text("without a mouse")
    expect(page.locator("#state")).to_contain_text("Succeeded")
    first = page.url
    page.get_by_role("link", name="Roll back").click()
    page.get_by_label("Reason").fill("back again")
    acknowledge(page)
    page.get_by_role("button", name=f"Roll sandbox back to {before}").click()
    expect(page).not_to_have_url(re.compile(r"rollback"))
    expect(page.get_by_role("heading", name="What happened")).to_be_visible(timeout=THE_END)
    expect(page.locator("#state")).to_contain_text("Succeeded")
    expect(page.locator(".story")).to_contain_text("back again")
    page.goto(first)
    expect(page.get_by_role("link", name="Roll back")).to_have_count(0)
    expect(page.get_by_text("was already rolled back")).to_be_visible()


def test_the_switch_of_itk_says_why_it_is_off_and_what_it_would_do(desk: Desk) -> None:
    page = desk.open(f"{CHOOSER}&mpm=event")
    switch = page.get_by_role("switch", name="MPM ITK")
    expect(switch).to_be_disabled()
    expect(page.locator("#itk")).to_contain_text("unavailable with event")
    page.get_by_role("link", name="Select prefork with MPM ITK").click()
    expect(page.locator("#summary")).to_contain_text("to prefork + ITK")
    expect(switch).to_be_checked()
    expect(page.locator("#findings")).to_contain_text("mail(), shell_exec(), and sudo")
    expect(page).to_have_url(re.compile("itk=on"))
    switch.click()
    expect(page.locator("#summary")).to_contain_text("No changes needed")
    switch.press("Space")
    expect(page.locator("#summary")).to_contain_text("to prefork + ITK")
    page.get_by_role("radio", name="worker", exact=True).check()
    # A switch that was on stays on, and the page says what that means.
    expect(page.locator("#summary")).to_contain_text("1 blocker")
    page.get_by_role("link", name="Use worker without MPM ITK").click()
    expect(page.locator("#summary")).to_contain_text("to worker")
    expect(switch).not_to_be_checked()


def test_the_advisor_takes_other_answers_than_the_servers_own(desk: Desk) -> None:
    page = desk.open(f"{MPM}?server=web03&mpm=event")  # prefork fits in its memory
    advice = page.locator("#advice")
    expect(page.locator(".advisor fieldset").first).to_be_hidden()
    page.get_by_text("Why?").click()
    threads = page.get_by_role("group", name="Threads supported")
    with page.expect_response("**/mpm/plan/**"):
        threads.get_by_label("No", exact=True).check()
    expect(advice).to_contain_text("prefork is recommended")
    expect(page.locator("#recommended-prefork")).to_contain_text("recommended here")
    expect(page.locator("#recommended-event")).not_to_contain_text("recommended")
    expect(page).to_have_url(re.compile("threads=no"))
    page.reload()
    expect(advice).to_contain_text("prefork is recommended")
    expect(threads.get_by_label("No", exact=True)).to_be_checked()
    with page.expect_response("**/mpm/plan/**"):
        threads.get_by_label("Yes", exact=True).check()
    expect(page).not_to_have_url(re.compile("threads="))


@pytest.mark.parametrize("choice", ["mpm=event", "mpm=event&itk=on", "mpm=event&keep=ea-php74-php"])
def test_every_fix_is_a_button_that_leads_to_a_choice_without_that_trouble(
    choice: str, desk: Desk
) -> None:
    page = desk.open(f"{CHOOSER}&{choice}")
    fixes = page.locator("#findings .fixes a")
    labels = fixes.all_inner_texts()
    assert labels, "there is something to mend"
    for number, label in enumerate(labels):
        desk.open(f"{CHOOSER}&{choice}")
        fix = fixes.nth(number)
        trouble = fix.locator("xpath=ancestor::div[contains(@class, 'finding')][1]")
        code = trouble.get_attribute("data-code")
        address = page.url
        fix.click()
        expect(page).not_to_have_url(address)
        expect(page.locator(f"#findings [data-code={code}]")).to_have_count(0)
        expect(page.locator("header.bar")).to_have_count(1)
        expect(page.get_by_role("heading", name="This change")).to_be_focused()
        assert page.title().startswith("Apache MPM"), label
        if number == 0:
            page.reload()
            expect(page.locator(f"#findings [data-code={code}]")).to_have_count(0)


def test_the_values_for_the_chosen_mpm_are_copied(desk: Desk) -> None:
    page = desk.open(f"{CHOOSER}&mpm=event")
    for mpm in ("worker", "prefork"):
        with page.expect_response("**/mpm/plan/**"):
            page.get_by_role("radio", name=mpm, exact=True).check()
        copies = page.locator("#capacity").get_by_role("button", name="Copy", exact=True)
        expect(copies).to_have_count(1)
        copies.click()
        expect(page.locator("#capacity").get_by_role("button", name="Copied")).to_be_visible()
        assert desk.copied().startswith(f"<IfModule mpm_{mpm}_module>")
        assert "MaxRequestWorkers" in desk.copied()
    page.get_by_text("Figures and limits").click()
    expect(page.get_by_role("row", name=re.compile("^Peak memory"))).to_be_visible()


def test_what_must_stay_is_named_and_let_go_again(desk: Desk) -> None:
    page = desk.open(f"{CHOOSER}&mpm=event")
    page.get_by_text("All packages in this change").click()
    page.get_by_role("link", name="Keep php74-php").click()
    expect(page.locator("#summary")).to_contain_text("1 blocker")
    expect(page.locator("#extras")).to_contain_text("php74-php")
    page.locator("#extras a").click()
    expect(page.locator("#summary")).not_to_contain_text("1 blocker")
    expect(page.locator("#extras li")).to_have_count(0)


def test_the_review_is_left_and_found_again_as_a_whole_page(desk: Desk) -> None:
    page = desk.open(f"{CHOOSER}&mpm=worker")
    page.get_by_role("button", name="Review change").click()
    page.wait_for_url("**/review/*/")
    address = page.url
    page.get_by_role("link", name="Edit selection").click()
    expect(page.get_by_role("radio", name="worker", exact=True)).to_be_checked()
    page.go_back()
    expect(page.get_by_role("heading", name="Findings")).to_be_visible()
    tab = page.context.new_page()
    tab.goto(address)
    expect(tab.locator("header.bar")).to_have_count(1)
    expect(tab.get_by_role("button", name="Waiting for the plan…")).to_be_disabled()
    tab.close()


def test_a_window_is_asked_for_and_the_change_waits_for_it(desk: Desk) -> None:
    page = desk.open(f"{MPM}review/{{review_later}}/")
    page.get_by_label("Schedule").check()
    later = datetime.now(UTC) + timedelta(days=30)
    page.get_by_label("Start after", exact=True).fill(f"{later:%Y-%m-%d}T21:00")
    page.get_by_label("Ticket").fill("HOST-4499")
    acknowledge(page)
    page.get_by_role("button", name="Schedule change for web14").click()
    page.wait_for_url(re.compile(r"/history/\d+/$"))
    expect(page.locator("#state")).to_contain_text("Scheduled")
    expect(
        page.get_by_text(f"Scheduled for {later:%b} {later.day}, {later:%Y}, 9:00 PM")
    ).to_be_visible()
    page.get_by_role("button", name="Cancel change").click()
    expect(page.locator("#state")).to_contain_text("Canceled")
    expect(page.locator("#outcome-title")).to_have_text("Canceled. Nothing was changed.")
