"""Every page of the panel, as a browser shows it: nothing for axe to find, nothing cut off, nothing
said to the console, in light and dark, on a screen and on a telephone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pytest
from django.test import Client
from django.urls import get_resolver, resolve
from playwright.sync_api import Browser, Page, ViewportSize

from demo.panel import Panel
from mpm.servers.models import Server
from mpm.web.responses import page_above
from tests.browser import COLOURS, faults
from tests.stack import bare_panel, make_past, panel_without_labs
from tests.visits import FIRST_VISITS, VISITS, Visit, go, signed_in
from tests.web.test_pages import views_of

NO_PAGE = {
    "mpm-plan": "a part of the chooser",
    "review-answer": "a part of the review",
    "rollback-answer": "a part of the review of a rollback",
    "doctor-result": "a part of the doctor’s page",
    "change-live": "a part of the page of a change",
    "change-log": "a part of the page of a change",
    "frame": "a part of every page",
    "tools-found": "a part of every page",
    "change-raw-log": "a file",
    "history-events": "a file",
    "profile-download": "a file",
    "whm-enter": "leads to the page of a server, or to the sign-in page",
}
"""What answers to GET and is nothing that a person looks at by itself."""
FOR_PROGRAMS = ("/api/", "/^(?:")


def test_every_page_of_the_panel_is_in_the_list(admin: Client, server: Server) -> None:
    """What is not there only takes forms (and leads whoever opens it to the page above), or is
    named with what it is instead."""
    listed = set()
    for visit in (*VISITS, *FIRST_VISITS):
        path = visit.path.partition("?")[0].format_map(defaultdict(lambda: "1"))
        if visit.status != 404:
            listed.add(resolve(f"/{path}").view_name)
    missing, named = [], set()
    for path, pattern in views_of(get_resolver().url_patterns):
        name = pattern.name or ""
        if name in NO_PAGE:
            named.add(name)
        elif name not in listed and not path.startswith(FOR_PROGRAMS):
            address = re.sub("<[^>]+>", "1", path)
            if admin.get(address).headers.get("Location") != page_above(address):
                missing.append(path)
    assert missing == []
    assert named == set(NO_PAGE), "what is named here is there"
    assert not named & listed


SIZES = ((1440, 900), (390, 844))


def looked_at(page: Page, visit: Visit) -> list[str]:
    """What is wrong with the page that is open, on a screen and on a telephone, in both colour
    schemes, with nothing folded."""
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    said = []
    for width, height in SIZES:
        page.set_viewport_size(ViewportSize(width=width, height=height))
        name = f"{visit.name} at {width} px"
        page.emulate_media(color_scheme="light")
        said += [f"{name}: {fault}" for fault in faults(page)]
        page.emulate_media(color_scheme="dark")
        said += [f"{name}, dark: {fault}" for fault in faults(page, COLOURS)]
        too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        said += [f"{name} is {too_wide} px too wide"] if too_wide > 0 else []
    return said


def all_looked_at(
    browser: Browser, panel: Panel, visits: Sequence[Visit], known: Mapping[str, str]
) -> list[str]:
    said = []
    width, height = SIZES[0]
    size = ViewportSize(width=width, height=height)
    with signed_in(browser, panel, visits, size) as page_of:
        for visit in visits:
            page = page_of(visit)
            page.set_viewport_size(size)
            go(page, panel, visit, known)
            said += looked_at(page, visit)
    return said


@pytest.mark.browser
def test_there_is_nothing_to_find_fault_with_on_any_page(browser: Browser) -> None:
    with panel_without_labs() as panel:
        assert all_looked_at(browser, panel, VISITS, make_past(panel)) == []


@pytest.mark.browser
def test_there_is_nothing_to_find_fault_with_before_anything_has_happened(browser: Browser) -> None:
    with bare_panel() as panel:
        assert all_looked_at(browser, panel, FIRST_VISITS, {}) == []
