"""Overview: what needs attention, every server with its health, and what changed last."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from playwright.sync_api import Page, expect

from easyapache.agent.simulated.server import SimulatedServer
from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Observation, Profile
from mpm.changes.services.outside import adopt
from mpm.changes.services.request import request_change
from mpm.models import Change
from mpm.servers.inventory import record_scan
from mpm.servers.models import Pulse, Server
from mpm.web.overview import FAILED_FOR, MOST_ITEMS, MOST_SERVERS, RECENT
from tests.browser import COLOURS, faults
from tests.desk import Desk
from tests.panel.reports import carried_out, finish, outside_change
from tests.past.machine import ago
from tests.web.conftest import ADMIN, HISTORY
from tests.web.test_whole_servers import failed_half_way, repaired

KnownServer = Callable[..., Server]
LINK = re.compile(r'href="([^"]+)"')


def part(client: Client, label: str, query: str = "") -> str:
    """The words of one card of the page, "" where it is not there."""
    page = client.get(f"/{query}").content.decode()
    _, found, rest = page.partition(f'aria-labelledby="{label}"')
    return words(rest.partition("</section>")[0]) if found else ""


def words(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", markup.partition(">")[2])).split())


def items(client: Client, query: str = "") -> list[str]:
    """The rows of Needs attention as one reads them, with where their buttons lead."""
    page = client.get(f"/{query}").content.decode()
    rows = page.partition('<ul class="attention">')[2].partition("</ul>")[0].split("<li>")[1:]
    return [f"{words(f'>{row}')} -> {re.findall(LINK, row)[0]}" for row in rows]


# -- what needs attention --------------------------------------------------------------------------


def test_where_nothing_is_wrong_the_page_says_so_and_when_it_was_last_checked(
    admin: Client, server: Server, known_server: KnownServer
) -> None:
    other = known_server("web02")
    other.installed_profiles.update(confirmed_at=timezone.now() - timedelta(seconds=42))
    said = part(admin, "attention")
    assert re.fullmatch(
        r"Needs attention Everything looks good\. Last checked [45]\d s ago \.", said
    )
    assert "2 servers · 0 need attention" in words(admin.get("/").content.decode())


def test_a_panel_without_servers_says_how_to_get_one_and_not_that_all_is_well(
    admin: Client,
) -> None:
    page = admin.get("/").content.decode()
    assert "No servers yet." in page
    assert "server add" in page  # an agent whose server was not added is ignored
    assert "Everything looks good" not in page
    assert "/help/how-to/install/" in page


def test_an_incomplete_change_is_the_first_row_with_its_age_and_one_button(
    admin: Client, server: Server
) -> None:
    with ago(minutes=2):
        change = failed_half_way(server)
    (item,) = items(admin)
    assert item.startswith(f"web01: Change #{change.pk} didn't finish and couldn't be undone.")
    assert "2 min ago Open Diagnostics" in item
    assert item.endswith("/doctor/?server=web01")
    assert "Needs attention" in part(admin, "servers")
    repaired(server)
    assert items(admin) == []


def test_everything_that_is_wrong_with_one_server_is_one_row(
    admin: Client, server: Server, stock_profile: Callable[..., Profile]
) -> None:
    failed_half_way(server)
    torn = replace(stock_profile(), facts={"unfinished_transaction": "218"}, running=None)
    record_scan(server, torn, timezone.now(), "scan")
    Server.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    (item,) = items(admin)
    for sentence in ("didn't finish", "transaction was interrupted", "The agent is offline."):
        assert sentence in item
    page = admin.get("/").content.decode()
    assert page.count("The agent is offline. What this panel shows") == 1, "not said twice"


def test_an_external_change_waits_there_until_it_is_accepted(admin: Client, server: Server) -> None:
    change = outside_change(server)
    (item,) = items(admin)
    assert f"External change #{change.pk} from prefork to worker isn’t accepted yet." in item
    assert item.endswith(f"{HISTORY}{change.pk}/")
    adopt(change, ADMIN)
    assert items(admin) == []


def test_an_external_change_that_another_change_came_after_waits_no_more(
    admin: Client, server: Server
) -> None:
    outside_change(server)
    carried_out(server, Choice.parse("event"))
    assert items(admin) == []


def test_a_scheduled_change_says_when_it_starts(admin: Client, server: Server) -> None:
    start = timezone.now() + timedelta(hours=5, minutes=57, seconds=30)
    change = request_change(
        server,
        Choice.parse("event"),
        actor=ADMIN,
        not_before=start,
        not_after=start + timedelta(hours=1),
    )
    (item,) = items(admin)
    assert f"Change #{change.pk} from prefork to event is scheduled." in item
    assert "UTC, starts in 5 h 57 min View change" in item
    assert "1 server · 0 need attention" in words(admin.get("/").content.decode())


def test_a_change_that_failed_is_there_until_it_is_tried_again_or_three_days_old(
    admin: Client, server: Server
) -> None:
    with ago(days=FAILED_FOR.days, minutes=1):
        finish(request_change(server, Choice.parse("event"), actor=ADMIN), "restored")
    assert items(admin) == []
    change = finish(request_change(server, Choice.parse("event"), actor=ADMIN), "restored")
    (item,) = items(admin)
    assert f"Change #{change.pk} from prefork to event failed and was rolled back." in item
    finish(request_change(server, Choice.parse("event"), actor=ADMIN))
    assert items(admin) == []


def test_a_part_of_the_panel_that_stopped_is_one_row_with_what_to_do(
    admin: Client, server: Server
) -> None:
    Pulse.beat("control", timezone.now() - timedelta(minutes=5))
    page = admin.get("/").content.decode()
    assert page.count("The control worker has stopped.") == 2, "once to be seen, once in its link"
    (item,) = items(admin)
    assert item.startswith("The control worker has stopped.")
    assert item.endswith("/help/how-to/monitor/#ea4panelnotworking")
    help_page = admin.get("/help/how-to/monitor/").content.decode()
    assert 'id="ea4panelnotworking"' in help_page


def test_many_silent_agents_share_one_row(
    admin: Client, server: Server, known_server: KnownServer
) -> None:
    for number in range(2, 8):
        known_server(f"web{number:02}")
    Server.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    (item,) = items(admin)
    assert item.startswith("7 agents are offline: web01, web02, web03, 4 more. 5 min ago")
    Server.objects.filter(name__gt="web02").update(last_seen_at=timezone.now())
    assert [item.split(":")[0] for item in items(admin)] == ["web01", "web02"]
    Server.objects.filter(name="web07").update(last_seen_at=None)
    assert items(admin)[-1].startswith("web07: The agent has never connected.")


def test_the_worst_comes_first_and_what_does_not_fit_is_counted(
    admin: Client, server: Server, known_server: KnownServer, stock_profile: Callable[..., Profile]
) -> None:
    stopped = replace(stock_profile(), running=None)
    for number in range(MOST_ITEMS):
        known_server(f"app{number:02}", profile=stopped)
    outside_change(server)
    assert len(items(admin)) == MOST_ITEMS
    assert all("Apache isn't running." in item for item in items(admin))
    assert "Show 1 more" in part(admin, "attention")
    assert len(items(admin, "?all=1")) == MOST_ITEMS + 1
    assert "External change" in items(admin, "?all=1")[-1]
    page = admin.get("/?all=1").content.decode()
    (refreshed,) = re.findall(r'id="overview"\s+hx-get="/([^"]+)"', page)
    assert len(items(admin, unescape(refreshed))) == MOST_ITEMS + 1, "and stays so"
    (more,) = re.findall(r'id="attention-all" href="([^"]+)"', admin.get("/").content.decode())
    assert unescape(more) == "?server=app00&all=1"


# -- the tables ------------------------------------------------------------------------------------


def test_servers_show_health_mpm_last_change_and_agent(
    admin: Client, server: Server, finished_change: Change
) -> None:
    row = part(admin, "servers")
    assert f"web01 Simulated Healthy prefork #{finished_change.pk} Succeeded" in row
    assert "Online" in row


def test_a_server_whose_observers_disagree_is_out_of_sync(
    admin: Client, server: Server, stock_profile: Callable[..., Profile]
) -> None:
    event = Observation(("event",))
    record_scan(server, replace(stock_profile(), running=event), timezone.now(), "scan")
    assert "Needs attention event out of sync" in part(admin, "servers")


def test_the_newest_changes_of_all_servers_are_listed(
    admin: Client, server: Server, known_server: KnownServer
) -> None:
    made = []
    for name in ("web02", "web03"):
        other = known_server(name)
        asked = (request_change(other, Choice.parse("event"), actor=ADMIN) for _ in range(5))
        made += [finish(change, "restored") for change in asked]
    said = part(admin, "recent")
    assert [int(found) for found in re.findall(r"#(\d+) prefork", said)] == [
        change.pk for change in reversed(made)
    ][:RECENT]


def test_somebody_without_a_name_is_named_in_the_readers_language(
    admin: Client, server: Server
) -> None:
    outside_change(server, user="")
    for path in ("/", HISTORY):
        page = admin.get(path, headers={"Accept-Language": "de"}).content.decode()
        *_before, rows = page.split("<tbody>")
        assert "eine Person auf dem Server" in rows
        assert "a user on the server" not in rows


def test_tools_are_in_the_sidebar_only(admin: Client, server: Server) -> None:
    page = admin.get("/").content.decode()
    assert "tool-cards" not in page
    assert 'id="tools"' in page


def test_only_an_administrator_is_offered_a_change(
    admin: Client, support: Client, server: Server
) -> None:
    assert "Change MPM on web01" in admin.get("/").content.decode()
    assert "Change MPM on" not in support.get("/").content.decode()


@pytest.mark.parametrize("count", [2, 300])
def test_the_page_asks_as_often_with_many_servers_as_with_few(
    admin: Client, server: Server, count: int
) -> None:
    now = timezone.now()
    Server.objects.bulk_create(
        Server(name=f"app{n:03}", created_at=now, last_seen_at=now) for n in range(count)
    )
    failed_half_way(server)
    admin.get("/")
    with CaptureQueriesContext(connection) as asked:
        page = admin.get("/").content.decode()
    assert len(asked) == 7
    shown = re.findall('<a id="server-([^"]+)"', page)
    assert len(shown) == min(count + 1, MOST_SERVERS)
    assert shown[0] == "web01", "whoever is unwell comes first"


def test_no_query_of_the_page_reads_all_changes(
    admin: Client, server: Server, finished_change: Change
) -> None:
    admin.get("/")
    with CaptureQueriesContext(connection) as asked:
        admin.get("/")
    of_changes = [one["sql"] for one in asked if 'FROM "mpm_change" ' in one["sql"]]
    assert len(of_changes) >= 2
    for sql in of_changes:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = [str(row[3]) for row in cursor.fetchall()]
        assert "SCAN mpm_change" not in plan, plan


def test_what_is_refreshed_is_a_part_of_the_page_and_keeps_its_server(
    admin: Client, server: Server
) -> None:
    page = admin.get("/?server=web01").content.decode()
    (address,) = re.findall(r'id="overview"\s+hx-get="([^"]+)"\s+hx-trigger="every 15s"', page)
    piece = admin.get(unescape(address), headers={"HX-Request": "true"}).content.decode()
    assert piece.lstrip().startswith("<div")
    assert "<h1" not in piece
    assert 'id="overview-lead" hx-swap-oob="true"' in piece
    assert "server=web01" in address


# -- the simulated server --------------------------------------------------------------------------


def test_the_banner_of_a_simulated_server_stands_on_its_own_pages_only(
    admin: Client, server: Server, finished_change: Change
) -> None:
    ea4 = "/software/easyapache4/"
    own = (ea4, f"{ea4}mpm/", f"{ea4}packages/", f"{ea4}doctor/", "/servers/web01/")
    for path in (*own, f"{HISTORY}{finished_change.pk}/"):
        assert "is a simulated server" in admin.get(path).content.decode(), path
    for path in ("/", "/servers/", "/users/", "/tokens/", "/webhooks/", HISTORY, "/help/"):
        page = admin.get(path).content.decode()
        assert "is a simulated server" not in page, path
        bar = page.split('class="chosen"')[1].split("</button>")[0]
        menu = page.split('id="server-menu"')[1].split("</nav>")[0]
        assert "Simulated" in bar
        assert "Simulated" in menu


def test_a_search_of_servers_that_finds_none_offers_to_clear_it(
    admin: Client, server: Server
) -> None:
    page = unescape(admin.get("/servers/?q=zzz").content.decode())
    assert "No servers match “zzz”." in page
    assert re.search(r'href="/servers/[^"]*">Clear search', page)
    assert "Redis URL" not in page


# -- in a browser ----------------------------------------------------------------------------------


def newest(page: Page) -> int:
    found = re.search(
        r"#(\d+)", page.locator("section[aria-labelledby=recent] tbody a").first.inner_text()
    )
    assert found is not None
    return int(found[1])


@pytest.mark.browser
def test_the_overview_is_live_and_keeps_the_focus_where_it_is(desk: Desk) -> None:
    desk.panel.manage("mpm", "switch", "event", "--server", "sandbox", "--yes", "--wait")
    desk.page.clock.install()
    page = desk.open("?server=sandbox")
    page.locator("h1").evaluate("one => { one.dataset.kept = 'yes' }")
    last = page.locator("#last-sandbox")
    before = last.inner_text()
    last.focus()
    made = desk.panel.manage("mpm", "switch", "worker", "--server", "sandbox", "--yes", "--wait")
    assert made.returncode == 0, made.stderr
    page.clock.fast_forward(15_000)
    expect(last).not_to_have_text(before)
    expect(last).to_be_focused()
    assert f"#{newest(page)}" == last.inner_text()
    assert page.locator("h1").get_attribute("data-kept") == "yes", "the page itself was not loaded"
    row = page.locator("section[aria-labelledby=servers] tr", has_text="sandbox")
    expect(row).to_contain_text("worker")


@pytest.mark.browser
def test_the_bar_says_with_a_word_that_its_server_needs_attention_and_stays_true(
    desk: Desk,
) -> None:
    desk.page.clock.install()
    page = desk.open("?server=web04")
    tag = page.locator(".chosen .health .tag")
    expect(tag).to_have_text("Needs attention")
    page.locator("#chosen-health").evaluate("one => one.replaceChildren('out of date')")
    page.locator("#chosen-dot").evaluate("one => { one.className = 'dot healthy' }")
    page.clock.fast_forward(15_000)
    expect(tag).to_have_text("Needs attention")
    expect(page.locator("#chosen-dot")).to_have_class("dot critical")


def until_health_is(desk: Desk, state: str) -> None:
    """The agent of the sandbox looks at it every few seconds."""
    end = time.monotonic() + 60
    while True:
        said = desk.panel.manage("mpm", "server", "show", "sandbox", "--json").stdout
        if json.loads(said)["health"]["state"] == state:
            return
        assert time.monotonic() < end, said


@pytest.mark.browser
def test_a_page_left_open_says_when_its_server_breaks_and_when_it_is_whole_again(
    desk: Desk,
) -> None:
    """On any page: the bar, the count in the sidebar and the banner, without loading it anew and
    without touching what somebody is typing."""
    desk.page.clock.install()
    page = desk.open("software/easyapache4/mpm/?server=sandbox&mpm=event")
    count, banner = page.locator("#count-doctor"), page.locator("#unsound")
    expect(page.locator("#chosen-dot")).to_have_class("dot healthy")
    expect(count).to_be_hidden()
    expect(banner).to_be_empty()
    page.locator("h1").evaluate("one => { one.dataset.kept = 'yes' }")
    host = SimulatedServer(desk.panel.folder / "servers" / "sandbox" / "state.json")
    with host.state() as state:
        running, state["running"] = state["running"], None
    try:
        until_health_is(desk, "critical")
        page.clock.fast_forward(15_000)
        expect(count).to_have_text("1")
        expect(page.locator("#chosen-dot")).to_have_class("dot critical")
        expect(banner).to_contain_text("Apache isn't running")
        expect(banner.get_by_role("link", name="Open Diagnostics")).to_be_visible()
        assert faults(page) == []
    finally:
        with host.state() as state:
            state["running"] = running
        until_health_is(desk, "healthy")
    page.clock.fast_forward(15_000)
    expect(count).to_be_hidden()
    expect(banner).to_be_empty()
    assert page.locator("h1").get_attribute("data-kept") == "yes", "the page was not loaded again"


@pytest.mark.browser
def test_a_session_that_ends_takes_nobody_away_from_a_page(desk: Desk) -> None:
    page = desk.another()
    page.clock.install()
    desk.open("tokens/add/", page)
    page.get_by_label("Name", exact=True).fill("Nightly")
    page.context.clear_cookies(name="sessionid")
    with page.expect_response("**/frame/**"):
        page.clock.fast_forward(15_000)
    expect(page.get_by_label("Name", exact=True)).to_have_value("Nightly")


@pytest.mark.browser
def test_each_row_of_the_overview_leads_where_something_can_be_done(desk: Desk) -> None:
    page = desk.open("?server={server}")
    rows = page.locator(".attention li")
    expect(rows.filter(has_text="web04.example.net")).to_contain_text("didn't finish")
    rows.filter(has_text="web04.example.net").get_by_role("link").click()
    expect(page.locator("h1")).to_contain_text("Diagnostics")
    expect(page.locator(".chosen")).to_contain_text("web04")
    desk.open("?server={server}")
    scheduled = rows.filter(has_text=f"#{desk.known['scheduled']} ")
    expect(scheduled).to_contain_text("starts in")
    scheduled.get_by_role("link").click()
    expect(page.get_by_text("Scheduled for").first).to_be_visible()


@pytest.mark.browser
@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_on_the_overview(desk: Desk, locale: str, width: int) -> None:
    page = desk.another(locale=locale, viewport={"width": width, "height": 844})
    desk.open("", page)
    page.emulate_media(color_scheme="light")
    assert faults(page) == []
    page.emulate_media(color_scheme="dark")
    assert faults(page, COLOURS) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    buttons = page.locator(".attention .button")
    small = [box for box in buttons.all() if (box.bounding_box() or {"height": 0})["height"] < 24]
    assert small == []
