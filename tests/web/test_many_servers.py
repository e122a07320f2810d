"""More servers than the menu in the bar holds."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mpm.models import Change, State
from mpm.servers.models import Server
from mpm.web.page_context import MOST_IN_MENU
from tests.web.conftest import HISTORY, MPM


@pytest.fixture
def fleet(server: Server) -> None:
    """Forty-nine servers before web01, and one that was retired."""
    now = timezone.now()
    rows = [Server(name=f"app{n:03}", created_at=now) for n in range(49)]
    Server.objects.bulk_create([*rows, Server(name="old01", created_at=now, active=False)])


def menu(page: str) -> list[str]:
    part = page.split('id="server-menu"')[1].split("</nav>")[0]
    return re.findall(r'href="\?server=([^"]+)"', part)


def test_the_server_that_is_meant_stands_in_the_menu_and_all_are_counted(
    admin: Client, fleet: None
) -> None:
    first = admin.get("/").content.decode()
    assert menu(first) == [f"app{n:03}" for n in range(MOST_IN_MENU)]
    chosen = admin.get("/?server=web01").content.decode()
    assert menu(chosen) == [*(f"app{n:03}" for n in range(MOST_IN_MENU - 1)), "web01"]
    assert menu(admin.get("/").content.decode()) == menu(chosen)
    assert re.search(r'All servers\s+<span class="count"\s+id="count-servers"\s*>50</span>', chosen)


def test_a_server_that_is_not_there_is_not_found_and_a_retired_one_is_forgotten(
    admin: Client, fleet: None
) -> None:
    for name in ("nowhere", "old01", "x" * 200):
        assert admin.get(f"/software/easyapache4/?server={name}").status_code == 404
    admin.get("/?server=web01")
    Server.objects.filter(name="web01").update(active=False)
    assert "app000" in admin.get("/").content.decode()


def test_a_page_about_one_server_names_it_and_remembers_the_choice_of_another(
    admin: Client, fleet: None, finished_change: Change
) -> None:
    page = admin.get(f"{HISTORY}{finished_change.pk}/?server=app007").content.decode()
    bar = page.split('class="chosen"')[1].split("</button>")[0]
    assert "web01" in bar
    home = admin.get("/").content.decode()
    assert "app007" in home.split('class="chosen"')[1].split("</button>")[0]


LARGE = 400_000
"""Bytes of a page, uncompressed, that a browser still shows at once."""


def test_five_hundred_servers_and_five_thousand_changes_make_no_page_long(
    admin: Client, server: Server
) -> None:
    now = timezone.now()
    rows = [Server(name=f"app{n:03}", created_at=now, last_seen_at=now) for n in range(499)]
    servers = [*Server.objects.bulk_create(rows), server]
    Change.objects.bulk_create(
        Change(
            server=servers[n % 500],
            server_name=servers[n % 500].name,
            state=State.SUCCEEDED,
            from_mpm="prefork",
            to_mpm="event",
            choice={},
            plan={},
            digest="0" * 32,
            base_digest="0" * 32,
            reason=f"number {n}",
            search=f"number {n}",
            origin="web",
            actor_name="ada",
            requested_at=now - timedelta(minutes=5000 - n),
        )
        for n in range(5000)
    )
    for path in ("/", "/servers/", HISTORY, f"{HISTORY}?text=number", "/tools/?q=app", MPM):
        query = {"server": "web01"} if "?" not in path else {}
        admin.get(path, query)  # the first visit notes which server was chosen
        with CaptureQueriesContext(connection) as asked:
            answer = admin.get(path, query)
        assert answer.status_code == 200, path
        assert len(answer.content) < LARGE, (path, len(answer.content))
        assert len(asked) <= 8, (path, [one["sql"][:90] for one in asked.captured_queries])
    home = admin.get("/?server=web01").content.decode()
    assert "500 servers" in home
    assert 'rel="next"' in admin.get(HISTORY).content.decode()
