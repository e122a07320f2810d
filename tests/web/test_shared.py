"""A link that shows one change to somebody without an account: what it shows, what it does not,
and until when."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from mpm.access.services.actor import Actor, NotAllowed
from mpm.changes.services.request import request_change
from mpm.changes.services.sharing import SALT, share
from mpm.models import Change, Event
from mpm.servers.models import Server
from tests.web.conftest import ADMIN, HISTORY, logged, report_steps


def link_of(change: Change, days: int = 7) -> str:
    return f"/shared/{share(change, ADMIN, days).token}/"


def test_support_makes_a_link_and_a_stranger_reads_the_change(
    support: Client, finished_change: Change
) -> None:
    page = f"{HISTORY}{finished_change.pk}/"
    answer = support.post(f"{page}share/", {"days": "7", "include": ["reason"]})
    assert answer.status_code == 302
    shown = unescape(support.get(f"{page}?part=share").content.decode())
    found = re.search(r'value="http://testserver(/shared/[^"]+)"', shown)
    assert found
    answer = Client().get(found[1])
    assert answer.status_code == 200
    words = unescape(answer.content.decode())
    assert "prefork" in words
    assert "Long keep-alive" in words
    assert "No connections were refused" in words


def test_it_shows_one_change_and_leads_nowhere_else(server: Server) -> None:
    who = replace(ADMIN, address="203.0.113.9", request_id="r-1234567")
    change = request_change(server, Choice.parse("event"), actor=who)
    logged(change, b"2026-03-03T21:04:11.802Z packages  Installing : ea-apache24-mod_mpm_event\n")
    report_steps(change, outcome="succeeded")
    words = Client().get(link_of(change)).content.decode()
    assert re.findall(r"<a\b", words) == []
    assert re.findall(r"<(?:form|script|button|nav)\b", words) == []
    for secret in ("203.0.113.9", "r-1234567", change.uuid, "Installing : "):
        assert secret not in words


def test_it_is_kept_by_nobody_and_no_other_site_learns_of_it(finished_change: Change) -> None:
    good = link_of(finished_change)
    for path in (good, "/shared/nonsense/"):
        answer = Client().get(path)
        assert answer["Cache-Control"] == "no-store"
        assert "noindex" in answer["X-Robots-Tag"]
        assert answer["Referrer-Policy"] == "no-referrer"
        assert b'name="robots" content="noindex' in answer.content
        assert "sessionid" not in answer.cookies


def test_the_link_signs_nobody_in(finished_change: Change) -> None:
    visitor = Client()
    assert visitor.get(link_of(finished_change)).status_code == 200
    assert visitor.get(f"{HISTORY}{finished_change.pk}/").status_code == 302


@pytest.mark.parametrize("spoil", [lambda t: t[:-1], lambda t: "x" + t, lambda t: t[::-1]])
def test_an_altered_link_says_that_it_does_not_work(
    spoil: Callable[[str], str], finished_change: Change
) -> None:
    token = link_of(finished_change).split("/")[2]
    answer = Client().get(f"/shared/{spoil(token)}/")
    assert answer.status_code == 404
    assert b"This link doesn" in answer.content
    assert b"prefork" not in answer.content


def test_a_link_of_another_change_cannot_be_made_from_this_one(finished_change: Change) -> None:
    """Even the panel's own signature opens nothing that history does not know."""
    said = {"change": finished_change.uuid, "link": "0" * 24, "until": 4_000_000_000}
    token = signing.Signer(salt=SALT).sign_object(said)
    assert Client().get(f"/shared/{token}/").status_code == 410


def test_a_link_whose_time_is_over_says_so(
    finished_change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link_of(finished_change, days=1)
    later = timezone.now() + timedelta(days=1, seconds=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    answer = Client().get(path)
    assert answer.status_code == 410
    assert b"This link has expired" in answer.content
    assert b"prefork" not in answer.content


def test_links_that_were_taken_back_show_nothing_and_new_ones_do(
    support: Client, finished_change: Change
) -> None:
    old = link_of(finished_change)
    support.post(f"{HISTORY}{finished_change.pk}/share/", {"take_back": "yes"})
    assert Client().get(old).status_code == 410
    assert Client().get(link_of(finished_change)).status_code == 200


def test_who_made_a_link_is_in_the_history(admin: Client, finished_change: Change) -> None:
    admin.post(f"{HISTORY}{finished_change.pk}/share/", {"days": "30"})
    event = Event.objects.get(kind="change.shared")
    assert (event.actor_name, event.data["days"], event.change_id) == (
        "ada",
        30,
        finished_change.pk,
    )
    assert b"Share link created" in admin.get(f"{HISTORY}{finished_change.pk}/").content


@pytest.mark.parametrize("days", ["", "0", "365", "x"])
def test_a_link_is_good_for_a_time_that_is_offered(
    days: str, admin: Client, finished_change: Change
) -> None:
    admin.post(f"{HISTORY}{finished_change.pk}/share/", {"days": days})
    assert not Event.objects.filter(kind="change.shared").exists()


def test_a_change_that_runs_and_a_person_without_a_role_get_no_link(
    admin: Client, running_change: Change
) -> None:
    admin.post(f"{HISTORY}{running_change.pk}/share/", {"days": "7"})
    with pytest.raises(NotAllowed):
        share(running_change, Actor(name="x", role=""), 7)
    assert not Event.objects.filter(kind="change.shared").exists()


def test_the_rehearsal_has_a_card_of_its_own(admin: Client, finished_change: Change) -> None:
    words = unescape(admin.get(f"{HISTORY}{finished_change.pk}/?part=checks").content.decode())
    card = words.split('id="rehearsal-title"')[1].split("</section>")[0]
    assert "Passed" in card
    assert "rehearsal is well" in card
    assert "took" in card
