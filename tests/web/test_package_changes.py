"""A change whose MPM stays the same says so: "packages of worker", and not "worker → worker"."""

from __future__ import annotations

from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from mpm.changes.services.planning import plan_for
from mpm.changes.services.request import request_change
from mpm.changes.services.rollback import roll_back
from mpm.history.customer import ticket_text
from mpm.models import Change
from mpm.notify.bodies import _what
from mpm.schemas.change import Change as ChangeSchema
from mpm.servers.models import Server
from tests.panel.reports import carried_out, finish
from tests.panel.test_command_line import mpm
from tests.web.conftest import ADMIN, HISTORY, MPM

ARROWS = ("prefork → prefork", "prefork to prefork", "prefork with ITK → prefork with ITK")
EXTRA = Choice.parse("prefork", add=["ea-apache24-mod_suexec"])


def text(client: Client, path: str) -> str:
    page = unescape(client.get(path).content.decode())
    return " ".join(page.split())


@pytest.fixture
def back(server: Server) -> Change:
    """The rollback of a change that only added a package."""
    return finish(roll_back(carried_out(server, EXTRA), ADMIN))


def test_every_door_names_the_packages_of_the_mpm_that_stays(admin: Client, back: Change) -> None:
    assert (back.from_mpm, back.to_mpm) == ("prefork", "prefork")
    doors = {
        "title": text(admin, f"{HISTORY}{back.pk}/"),
        "report": text(admin, f"{HISTORY}{back.pk}/?print=1"),
        "history": text(admin, HISTORY),
        "overview": text(admin, "/"),
        "search": text(admin, "/tools/?q=mod_suexec"),
        "ticket": ticket_text(back),
        "notification": _what(ChangeSchema.of(back)),
    }
    doors["command line"] = mpm("history")[1]
    for door, said in doors.items():
        assert "packages of prefork" in said.casefold(), door
        assert not any(arrow in said for arrow in ARROWS), door


def test_the_review_and_the_plan_of_such_a_change_say_so_too(admin: Client, server: Server) -> None:
    said = text(admin, f"{MPM}?server=web01&mpm=prefork&add=ea-apache24-mod_suexec")
    assert "packages of prefork" in said.partition('id="summary"')[2]
    assert plan_for(server, EXTRA).headline.startswith("packages of prefork · ")


def test_the_overview_says_so_of_one_that_is_scheduled(admin: Client, server: Server) -> None:
    start = timezone.now() + timedelta(hours=2)
    made = request_change(server, EXTRA, actor=ADMIN, not_before=start)
    said = text(admin, "/")
    assert f"Change #{made.pk} to the packages of prefork is scheduled." in said
    admin.cookies.load({"django_language": "de"})
    assert f"Änderung #{made.pk} an den Paketen von prefork ist geplant." in text(admin, "/")
