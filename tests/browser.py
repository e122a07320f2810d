"""Fixtures that give a test a page in headless Chromium or Firefox, and fail it when the page
complains."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import axe_core_python
import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from demo.panel import Panel

PATIENCE_MS = 20_000
"""How long a page may take for what a test waits for, on a machine that is busy with others."""
expect.set_options(timeout=PATIENCE_MS)
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text("utf-8")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast", "link-in-text-block")
"""The rules of axe that look at colours, which are all that the two schemes differ in."""


def chromium() -> str:
    """The distribution's Chromium. Raises FileNotFoundError when there is none."""
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    raise FileNotFoundError("chromium: bootstrap/prepare.py test installs it")


def firefox() -> str:
    """The distribution's Firefox. Raises FileNotFoundError when there is none."""
    for name in ("firefox-esr", "firefox"):
        found = shutil.which(name)
        if found:
            return found
    raise FileNotFoundError("firefox: bootstrap/prepare.py test installs it")


@contextmanager
def opened_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = _chromium(playwright)
        yield browser
        browser.close()


def _chromium(playwright: Playwright) -> Browser:
    # Chromium's own sandbox cannot be had as root; every page here is our own.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    # Every page is loaded anew: what would make its scripts faster later is never used.
    arguments.append("--js-flags=--max-lazy --no-opt")
    return playwright.chromium.launch(
        executable_path=chromium(), args=[*arguments, "--disable-dev-shm-usage"]
    )


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    """What drives every browser of this process. Playwright leaves an event loop behind that
    nothing of ours runs in; later tests of the process may use the database."""
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield playwright


@pytest.fixture(scope="session")
def browser(driver: Playwright) -> Iterator[Browser]:
    """One Chromium per process; each test opens its own context in it."""
    opened = _chromium(driver)
    yield opened
    opened.close()


@pytest.fixture
def firefox_page(driver: Playwright) -> Iterator[Page]:
    """A fresh, wide page in Firefox as the distribution has it, driven by the protocol that it
    speaks itself (WebDriver BiDi); the test fails when the page threw an error."""
    opened = driver.firefox.launch(channel="moz-firefox", executable_path=firefox())
    context = opened.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    page, complaints = context.new_page(), Complaints()
    complaints.listen(page)
    yield page
    opened.close()
    assert complaints.messages == []


class Complaints:
    """What a page said to its console or threw; a broken policy shows here too."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def listen(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", self._error)

    def _console(self, message: ConsoleMessage) -> None:
        # Answers like 409 and 422 are part of the conversation; Chromium calls each an error.
        expected = "Failed to load resource: the server responded with a status of 4"
        if message.type == "error" and not message.text.startswith(expected):
            self.messages.append(message.text)

    def _error(self, error: Error) -> None:
        self.messages.append(str(error))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh, wide page; the test fails when it threw or broke the security policy."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    page, complaints = context.new_page(), Complaints()
    complaints.listen(page)
    yield page
    context.close()
    assert complaints.messages == []


def sign_in(page: Page, panel: Panel, role: str = "administrator") -> None:
    """Through the form, as a person does; ends on the home page."""
    page.goto(f"{panel.address}login/")
    give_password(page, panel, role)
    page.wait_for_url(re.compile(f"^{re.escape(panel.address)}(\\?server=[^&]*)?$"))


def give_password(page: Page, panel: Panel, role: str = "administrator") -> None:
    """In the form that is open."""
    name, password = panel.accounts[role]
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def acknowledge(page: Page) -> None:
    """Tick that the warnings of a review were read, where it has any and its plan has arrived."""
    page.locator("#decide button:enabled, #decide a").first.wait_for()
    box = page.locator("#id_acknowledged")
    if box.count():
        box.check()


def faults(page: Page, rules: Sequence[str] = RULES) -> list[str]:
    """What axe finds, one line for each kind of fault. The page's own policy stays in force:
    axe comes in as the browser's owner, not as the page."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate(
        """async (rules) => (
            await axe.run(document, {
                runOnly: rules, resultTypes: ["violations"], preload: false, iframes: false })
        ).violations""",
        list(rules),
    )
    return [f"{one['id']}: {one['nodes'][0]['target']} {one['help']}" for one in found]
