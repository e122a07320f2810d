"""A change that nobody asked the panel for: it shows up by itself, and is adopted or taken back."""

from __future__ import annotations

import re
import time

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import expect

from easyapache.agent.simulated.server import SimulatedServer
from easyapache.celery import app
from mpm.models import Event
from mpm.servers.models import Server
from tests.browser import acknowledge
from tests.desk import Desk
from tests.panel.reports import outside_change
from tests.past.machine import replace_mpm
from tests.visits import HISTORY

MINUTE = 60
A_LOOK = 5
"""Seconds that a look at a server may take, its way through the broker included."""
OUTSIDE = f"{HISTORY}?of=sandbox&origin=outside"


def test_servers_are_looked_at_often_enough_to_show_a_change_within_a_minute() -> None:
    plan = app.conf.beat_schedule["rescan"]
    assert plan["schedule"] == settings.RESCAN_SECONDS
    assert plan["schedule"] + A_LOOK <= MINUTE
    assert plan["options"]["expires"] <= plan["schedule"]


def shown(desk: Desk) -> int:
    """How many changes from outside the list has; it has fewer than a page."""
    desk.open(OUTSIDE)
    return desk.page.locator("section[aria-labelledby=list] tbody tr").count()


def by_hand(desk: Desk, host: SimulatedServer, to: str) -> None:
    """Change the server without the panel, and wait until the panel says so of itself. Ends on
    the page of that change."""
    known = shown(desk)
    replace_mpm(host, to)
    end = time.monotonic() + MINUTE
    while shown(desk) == known:
        assert time.monotonic() < end, "nobody noticed"
        time.sleep(0.3)
    desk.page.locator("section[aria-labelledby=list] tbody a").first.click()
    expect(desk.page.get_by_role("heading", level=1)).to_contain_text(to)


def other_than(mpm: str) -> str:
    return "worker" if mpm != "worker" else "event"


def runs(host: SimulatedServer) -> str:
    seen = host.inspect().running
    assert seen is not None
    return seen.mpm or ""


@pytest.mark.browser
def test_what_is_done_by_hand_shows_up_by_itself_and_is_adopted_or_taken_back(desk: Desk) -> None:
    host = SimulatedServer(desk.panel.folder / "servers" / "sandbox" / "state.json")
    page = desk.page
    meant = other_than(runs(host))
    by_hand(desk, host, meant)
    expect(page.locator(".story")).to_contain_text("outside this panel")
    page.get_by_role("button", name="Accept").click()
    expect(page.locator("#flash")).to_contain_text("External change accepted")
    expect(page.locator("main")).to_contain_text("Accepted by admin")
    expect(page.get_by_role("button", name="Adopt")).to_have_count(0)
    by_hand(desk, host, other_than(meant))
    page.get_by_role("link", name="Roll back…").click()
    acknowledge(page)
    page.get_by_role("button", name=f"Roll sandbox back to {meant}").click()
    page.wait_for_url(re.compile(r"/history/\d+/$"))
    expect(page.get_by_role("heading", name="What happened")).to_be_visible(timeout=60_000)
    expect(page.locator("#state")).to_contain_text("Succeeded")
    assert runs(host) == meant


def test_an_administrator_adopts_once_and_history_says_who(
    admin: Client, support: Client, server: Server
) -> None:
    change = outside_change(server)
    page = f"{HISTORY}{change.pk}/"
    answer = admin.post(f"/{page}adopt/", follow=True)
    assert answer.redirect_chain == [(f"/{page}", 302)]
    assert b"External change accepted." in answer.content
    change.refresh_from_db()
    assert change.adopted_by == "ada"
    assert change.adopted_at is not None
    event = Event.objects.get(kind="change.accepted")
    assert (event.actor_name, event.change_id) == ("ada", change.pk)
    again = admin.post(f"/{page}adopt/", follow=True)
    assert b"was already accepted" in again.content
    assert Event.objects.filter(kind="change.accepted").count() == 1
    for client in (admin, support):
        shown = client.get(f"/{page}").content
        assert b"Accepted by ada on" in shown
        assert b"/adopt/" not in shown
