"""More servers than the menu in the bar holds."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import timezone

from mpm.models import Change
from mpm.servers.models import Server
from mpm.web.page_context import MOST_IN_MENU
from tests.web.conftest import HISTORY


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
    assert re.search(r'All servers\s+<span class="count">50</span>', chosen)


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
