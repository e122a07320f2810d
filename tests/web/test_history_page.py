"""The list of changes keeps its filters from page to page, and tells changes from outside apart."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from easyapache.ea4.mpm import Choice
from mpm.changes.services.outside import adopt
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change
from mpm.changes.services.rollback import roll_back
from mpm.history.models.search_index import _known, remove_words
from mpm.models import Change, State
from mpm.servers.models import Server
from tests.panel.told import ADMIN, after, outcome, outside_change
from tests.web.conftest import HISTORY, MPM

EA4 = "/software/easyapache4/"
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def two_pages(server: Server) -> list[Change]:
    """Eighty changes a minute apart from noon on 10 March, and one on each day around."""
    moments = [NOON - timedelta(days=1), *(NOON + timedelta(minutes=n) for n in range(80))]
    moments.append(NOON + timedelta(days=1))
    return Change.objects.bulk_create(
        Change(
            server=server,
            server_name=server.name,
            state=State.SUCCEEDED,
            from_mpm="prefork",
            to_mpm="event",
            choice={},
            plan={},
            digest="0" * 32,
            base_digest="0" * 32,
            reason=f"number {number}",
            origin="web",
            actor_name="ada",
            requested_at=moment,
        )
        for number, moment in enumerate(moments)
    )


def numbers(page: str) -> list[int]:
    return [int(found) for found in re.findall(r">#(\d+) ", page)]


def link(page: str, rel: str) -> str:
    found = re.search(rf'rel="{rel}"\s+href="([^"]+)"', page)
    assert found is not None
    return unescape(found[1])


def test_a_day_stays_the_day_that_was_asked_for_on_every_page(
    admin: Client, two_pages: list[Change]
) -> None:
    first = admin.get(f"{HISTORY}?since=2026-03-10&until=2026-03-10&of=web01").content.decode()
    older = admin.get(HISTORY + link(first, "next")).content.decode()
    back = admin.get(HISTORY + link(older, "prev")).content.decode()
    for page in (first, older, back):
        assert 'name="since" value="2026-03-10"' in page
        assert 'name="until" value="2026-03-10"' in page
        assert 'name="of" value="web01"' in page
        assert "until=2026-03-10&amp;" in page, "the files are of the same day"
    day = [change.pk for change in two_pages[1:-1]]
    assert sorted(numbers(first) + numbers(older)) == day
    assert numbers(back) == numbers(first)


def test_a_day_of_the_chart_keeps_the_other_filters(admin: Client, server: Server) -> None:
    request_change(server, Choice.parse("event"), actor=ADMIN, ticket="OPS 7&8")
    page = admin.get(f"{HISTORY}?ticket=OPS+7%268&since=2001-01-01").content.decode()
    (query,) = re.findall(r'<a href="(\?[^"]+)"\s+aria-label', page)
    assert "ticket=OPS+7%268" in unescape(query)
    assert "2001" not in query
    assert len(numbers(admin.get(HISTORY + unescape(query)).content.decode())) == 1


def test_a_change_from_outside_tells_its_own_story(
    admin: Client, support: Client, server: Server
) -> None:
    change = outside_change(server)
    page = admin.get(f"{HISTORY}{change.pk}/").content.decode()
    assert "External change by root" in page
    assert "web01 was changed from prefork to worker outside this panel by root." in page
    assert "Command: “dnf swap”." in page
    for wrong in ("Requested by", "Reason: ", "ucceeded", "took ", "Preflight", "the log."):
        assert wrong not in page
    assert "/adopt/" in page
    assert "/adopt/" not in support.get(f"{HISTORY}{change.pk}/").content.decode()
    adopt(change, ADMIN)
    page = admin.get(f"{HISTORY}{change.pk}/").content.decode()
    assert "Accepted by anna on" in page
    assert "/adopt/" not in page


def test_a_change_from_outside_is_told_in_german(admin: Client, server: Server) -> None:
    change = outside_change(server, user="")
    german = {"Accept-Language": "de"}
    page = admin.get(f"{HISTORY}{change.pk}/", headers=german).content.decode()
    told = "wurde web01 durch eine Person auf dem Server außerhalb dieses Panels"
    for words in (
        told,
        "Befehl: „dnf swap“.",
        "Diese externe Änderung wurde noch nicht überprüft",
    ):
        assert words in page
    assert told in admin.get(MPM, headers=german).content.decode()
    assert "nicht akzeptiert" in admin.get(HISTORY, headers=german).content.decode()


def test_a_module_installed_by_hand_leaves_the_mpm_as_it_was(admin: Client, server: Server) -> None:
    choice = Choice.parse("prefork", add=["ea-apache24-mod_suexec"])
    change = outside_change(server, choice, user="", command="")
    page = admin.get(f"{HISTORY}{change.pk}/").content.decode()
    assert "packages on web01 were changed outside this panel by a user on the server" in page
    assert "The MPM is still prefork." in page
    assert "from prefork to prefork" not in page


def test_what_nobody_has_adopted_is_marked_until_somebody_decides(
    admin: Client, server: Server
) -> None:
    change = outside_change(server)
    for path in (EA4, MPM):
        page = admin.get(path).content.decode()
        assert "This external change hasn’t been reviewed yet." in page
        assert f'href="{HISTORY}{change.pk}/"' in page
    assert "not accepted" in admin.get(HISTORY).content.decode()
    adopt(change, ADMIN)
    for path in (EA4, MPM, HISTORY):
        page = admin.get(path).content.decode()
        assert "This external change hasn’t been reviewed yet." not in page
        assert "not accepted" not in page


def test_what_was_taken_back_wants_no_decision(admin: Client, server: Server) -> None:
    change = outside_change(server)
    back = roll_back(change, ADMIN)
    assert "not accepted" in admin.get(HISTORY).content.decode()
    record_reports("web01", back.uuid, [outcome(1, "succeeded", after(back))])
    for path in (EA4, MPM, HISTORY, f"{HISTORY}{change.pk}/"):
        page = admin.get(path).content.decode()
        assert "not accepted" not in page
        assert "This external change" not in page
    assert "It was rolled back." in admin.get(f"{HISTORY}{change.pk}/").content.decode()


@pytest.mark.parametrize("path", [EA4, MPM, HISTORY, f"{HISTORY}{{change}}/"])
def test_a_change_from_outside_costs_no_more_queries_than_a_page_may(
    admin: Client, server: Server, path: str
) -> None:
    address = path.format(change=outside_change(server).pk)
    admin.get(address)
    with CaptureQueriesContext(connection) as asked:
        admin.get(address)
    assert len(asked) <= 8, "\n".join(query["sql"][:160] for query in asked.captured_queries)


def test_the_story_is_told_in_a_few_paragraphs(admin: Client, finished_change: Change) -> None:
    page = admin.get(f"{HISTORY}{finished_change.pk}/").content.decode()
    story = page.partition('class="body story">')[2].partition("</section>")[0]
    told = [paragraph for paragraph in re.findall(r"<p>(.*?)</p>", story) if paragraph]
    assert 2 <= len(told) <= 3
    assert "ada requested a change of" in told[0]
    assert "Long keep-alive" in told[0]
    assert told[1].startswith("The change succeeded. The server now runs event. Installed: ")


def test_words_are_looked_for_without_a_chart(admin: Client, finished_change: Change) -> None:
    page = admin.get(f"{HISTORY}?text=KEEP-alive").content.decode()
    assert numbers(page) == [finished_change.pk]
    assert "The daily chart isn" in page
    assert "this database has no text index" not in page
    assert '<svg class="chart"' not in page
    assert '<svg class="chart"' in admin.get(HISTORY).content.decode()


def test_a_page_says_when_words_have_no_index(admin: Client, finished_change: Change) -> None:
    remove_words(connection)
    try:
        page = admin.get(f"{HISTORY}?text=keep").content.decode()
    finally:
        _known.clear()
    assert numbers(page) == [finished_change.pk]
    assert "this database has no text index" in page
