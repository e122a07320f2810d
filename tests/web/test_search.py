"""One search: changes by number, ticket and words, servers, packages and tools."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from playwright.sync_api import Browser, expect

from easyapache.ea4.mpm import Choice
from mpm.changes.services.request import request_change
from mpm.models import Change
from mpm.servers.models import Server
from mpm.web.search import AT_ONCE
from tests.browser import COLOURS, faults, sign_in
from tests.desk import Desk
from tests.panel.reports import finish
from tests.web.conftest import ADMIN, HISTORY

PACKAGES = "/software/easyapache4/packages/"
BELOW = {"HX-Request": "true"}


def links(client: Client, query: str, path: str = "/tools/found/") -> list[str]:
    """Where what was found leads."""
    page = client.get(path, {"q": query}, headers=BELOW if "found" in path else {})
    text = page.content.decode().rpartition("<main")[2]
    return [unescape(one) for one in re.findall(r'<a [^>]*href="([^"]+)"', text)]


@pytest.mark.parametrize("path", ["/tools/found/", "/tools/"])
@pytest.mark.parametrize("query", ["{pk}", "HOST-4471", "host 4471", "keep-ALIVE", "mod_mpm_event"])
def test_a_change_is_found_by_number_ticket_reason_and_package(
    admin: Client, finished_change: Change, path: str, query: str
) -> None:
    found = links(admin, query.format(pk=finished_change.pk), path)
    assert f"{HISTORY}{finished_change.pk}/" in found


def test_a_number_with_its_sign_finds_that_change_only_and_opens_it(
    admin: Client, finished_change: Change
) -> None:
    other = finish(request_change(finished_change.server, Choice.parse("event"), actor=ADMIN))
    assert links(admin, f"#{finished_change.pk}") == [f"{HISTORY}{finished_change.pk}/"]
    answer = admin.get("/tools/", {"q": f"#{other.pk}"})
    assert answer["Location"] == f"{HISTORY}{other.pk}/"
    page = unescape(admin.get("/tools/", {"q": "#999"}).content.decode())
    assert "Nothing matches “#999”." in page


def test_a_server_is_found_by_its_name_and_by_its_host_name(
    admin: Client, server: Server, known_server: Callable[..., Server]
) -> None:
    known_server("db07", hostname="shop.example.net")
    for query in ("db07", "SHOP.example"):
        assert "/servers/db07/" in links(admin, query)
    Server.objects.filter(name="db07").update(active=False)
    assert "/servers/db07/" not in links(admin, "db07")


def test_a_package_is_found_with_whether_the_server_has_it(admin: Client, server: Server) -> None:
    page = admin.get("/tools/", {"q": "mod_mpm", "server": "web01"}).content.decode()
    assert "Packages on web01" in page
    rows = re.findall(r'packages/([^/"]+)/\?server=web01"(.*?)</li>', page, re.DOTALL)
    found = {name: "installed" in row for name, row in rows}
    assert found["ea-apache24-mod_mpm_prefork"] is True
    assert found["ea-apache24-mod_mpm_event"] is False
    assert next(iter(found)) == "ea-apache24-mod_mpm_prefork", "what is installed comes first"


def test_tools_are_found_and_come_first(admin: Client, server: Server) -> None:
    assert links(admin, "undo")[0].startswith(HISTORY)
    assert links(admin, "webhook")[0].startswith("/webhooks/")


def test_whoever_may_only_look_is_shown_no_tool_they_cannot_use(
    support: Client, server: Server
) -> None:
    assert not [one for one in links(support, "webhook") if one.startswith("/webhooks/")]


def test_of_many_a_few_are_shown_with_a_way_to_all_of_them(
    admin: Client, server: Server, known_server: Callable[..., Server]
) -> None:
    for number in range(AT_ONCE + 1):
        known_server(f"db{number:02}")
        change = request_change(server, Choice.parse("event"), actor=ADMIN, reason="db blog")
        finish(change, "restored")
    found = links(admin, "db0")
    assert len([one for one in found if re.fullmatch("/servers/[^/]+/", one)]) == AT_ONCE
    assert "/servers/?q=db0&server=" in " ".join(found)
    found = links(admin, "blog")
    assert len([one for one in found if re.fullmatch(rf"{HISTORY}\d+/", one)]) == AT_ONCE
    (every,) = [one for one in found if "text=blog" in one]
    assert admin.get(every).content.decode().count('class="what"') == AT_ONCE + 1


def test_what_was_typed_is_marked_and_never_markup(admin: Client, finished_change: Change) -> None:
    page = admin.get("/tools/", {"q": "keep"}).content.decode()
    assert "<mark>keep</mark>-alive" in page
    page = admin.get("/tools/", {"q": "<script>alert(1)</script>\0"}).content.decode()
    assert "<script>alert" not in page
    assert admin.get("/tools/found/", {"q": "x" * 5000}, headers=BELOW).status_code == 200
    assert admin.get("/tools/", {"q": '" OR *'}).status_code == 200


def test_an_empty_search_says_what_can_be_searched(admin: Client, server: Server) -> None:
    page = " ".join(admin.get("/tools/").content.decode().split())
    assert "Enter a search term." in page
    assert "Search for a change number such as #35" in page
    assert links(admin, "  ") == []


@pytest.mark.parametrize("path", ["/tools/", "/tools/found/"])
def test_a_search_takes_no_more_than_six_queries(
    admin: Client, finished_change: Change, path: str
) -> None:
    admin.get(path)
    with CaptureQueriesContext(connection) as asked:
        admin.get(path, {"q": "event"}, headers=BELOW if "found" in path else {})
    assert len(asked) <= 6, "\n".join(query["sql"][:160] for query in asked.captured_queries)


# -- in a browser ----------------------------------------------------------------------------------


@pytest.mark.browser
def test_everything_is_found_from_one_field_with_keys_alone(desk: Desk) -> None:
    page = desk.open("?server={server}")
    found = page.locator("header .tools-found")
    page.keyboard.press("/")
    page.keyboard.type("HOST-4471")
    first = found.get_by_role("link").first
    expect(first.locator("mark")).to_have_text("HOST-4471")
    page.keyboard.press("ArrowDown")
    expect(first).to_be_focused()
    page.keyboard.press("Escape")
    expect(found).to_be_empty()
    expect(page.locator("#tool-search")).to_be_focused()
    page.keyboard.type("web06")
    found.get_by_role("link", name="web06.example.net").click()
    expect(page.locator(".chosen")).to_contain_text("web06")
    page.keyboard.press("/")
    page.keyboard.type("mod_http2")
    found.get_by_role("link", name="ea-apache24-mod_http2").click()
    expect(page.locator("h1")).to_contain_text("mod_http2")
    expect(page.locator(".chosen")).to_contain_text("web06")
    page.keyboard.press("/")
    page.keyboard.type(f"#{desk.known['succeeded']}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/history/{desk.known['succeeded']}/**")


@pytest.mark.browser
def test_the_search_works_without_javascript(browser: Browser, desk: Desk) -> None:
    context = browser.new_context(java_script_enabled=False)
    desk.opened.append(context)
    page = context.new_page()
    sign_in(page, desk.panel)
    page.locator("#tool-search").fill("shop")
    page.locator("#tool-search").press("Enter")
    expect(page.get_by_role("heading", name="Changes")).to_be_visible()
    page.locator("main .hits a").first.click()
    expect(page.locator("h1")).to_contain_text("→")


@pytest.mark.browser
@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_while_and_after_searching(desk: Desk, locale: str, width: int) -> None:
    page = desk.another(locale=locale, viewport={"width": width, "height": 844})
    desk.open("users/", page)
    page.keyboard.press("/")
    page.keyboard.type("web0")
    page.locator(".tools-found a:visible").first.wait_for()
    for opened in (True, False):
        if not opened:
            desk.open("tools/?q=event", page)
        page.emulate_media(color_scheme="light")
        assert faults(page) == []
        page.emulate_media(color_scheme="dark")
        assert faults(page, COLOURS) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
