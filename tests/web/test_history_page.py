"""The list of changes keeps its filters from page to page, and tells changes from outside apart."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from mpm.changes.services.outside import adopt
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change
from mpm.changes.services.rollback import roll_back
from mpm.history.matches import found_elsewhere, marked
from mpm.history.models.search_index import _known, remove_words
from mpm.models import Change, State
from mpm.servers.models import Server
from tests.panel.reports import ADMIN, after, outcome, outside_change
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


@pytest.fixture
def ten_days(server: Server) -> list[Change]:
    """A change on each of the last ten days, every third of which failed; the first five are
    about a shop."""
    now = timezone.now()
    rows = [
        Change(
            server=server,
            server_name=server.name,
            state=State.FAILED if number % 3 == 0 else State.SUCCEEDED,
            from_mpm="prefork",
            to_mpm="event",
            choice={},
            plan={},
            digest="0" * 32,
            base_digest="0" * 32,
            reason="Keep-alive",
            ticket="OPS 7&8",
            search=f"keep-alive {'shop' if number < 5 else 'blog'} ea-apache24-mod_http2",
            origin="web",
            actor_name="ada",
            requested_at=now - timedelta(days=9 - number),
        )
        for number in range(10)
    ]
    return Change.objects.bulk_create(rows)


def days_of(page: str) -> list[str]:
    return re.findall(r'<a href="\?[^"]+"\s+aria-label="([^"]+)"', page)


def test_a_day_of_the_chart_keeps_the_other_filters(admin: Client, ten_days: list[Change]) -> None:
    page = admin.get(f"{HISTORY}?ticket=OPS+7%268&since=2001-01-01&last=").content.decode()
    assert page == ""
    page = admin.get(f"{HISTORY}?ticket=OPS+7%268&since=2001-01-01").content.decode()
    query = unescape(re.findall(r'<a href="(\?[^"]+)"\s+aria-label', page)[0])
    assert "ticket=OPS+7%268" in query
    assert "2001" not in query
    assert numbers(admin.get(HISTORY + query).content.decode()) == [ten_days[0].pk]


def test_words_are_counted_per_day_as_well(admin: Client, ten_days: list[Change]) -> None:
    all_of_them = admin.get(HISTORY).content.decode()
    assert len(days_of(all_of_them)) == 10
    assert "10 changes, 4 failed" in " ".join(re.sub("<[^>]+>", " ", all_of_them).split())
    page = admin.get(f"{HISTORY}?text=KEEP-alive").content.decode()
    assert days_of(page) == days_of(all_of_them)
    assert numbers(page) == [change.pk for change in reversed(ten_days)]


def test_fewer_than_seven_days_with_a_change_are_no_chart(
    admin: Client, ten_days: list[Change]
) -> None:
    page = admin.get(f"{HISTORY}?text=shop").content.decode()
    assert len(numbers(page)) == 5
    assert '<svg class="chart"' not in page
    assert "match to count them" not in page


def test_more_changes_than_are_read_for_a_chart_are_listed_without_one(
    admin: Client, ten_days: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpm.history.activity.MOST_COUNTED", 9)
    page = admin.get(f"{HISTORY}?text=keep").content.decode()
    assert len(numbers(page)) == 10
    assert "Too many changes match to count them per day." in page


def test_what_was_looked_for_is_marked_wherever_it_stands(
    admin: Client, ten_days: list[Change]
) -> None:
    page = admin.get(f"{HISTORY}?text=KEEP+http2+%3Cb%3E").content.decode()
    assert "<mark>" not in page, "no change has all of these words"
    page = admin.get(f"{HISTORY}?text=KEEP+http2").content.decode()
    assert page.count("<mark>Keep</mark>-alive</span>") == 10
    assert page.count("ea-apache24-mod_<mark>http2</mark></span>") == 10
    assert "<mark>" not in admin.get(HISTORY).content.decode()


def test_text_and_what_was_looked_for_are_escaped() -> None:
    assert marked("<b>a & b</b>", "B &") == (
        "&lt;<mark>b</mark>&gt;a <mark>&amp;</mark> <mark>b</mark>&lt;/<mark>b</mark>&gt;"
    )
    assert marked("a.b", ".") == "a<mark>.</mark>b"
    assert marked("<a>", "") == "&lt;a&gt;"
    long = f"{'x' * 50} needle {'y' * 50}"
    assert found_elsewhere(long, "", "NEEDLE") == f"…{'x' * 31} needle {'y' * 31}…"
    assert found_elsewhere(long, "the needle", "needle") == ""


def test_an_address_holds_no_empty_filter(admin: Client, server: Server) -> None:
    answer = admin.get(f"{HISTORY}?server=web01&text=&of=web01&person=+&since=&result=&cursor=b9")
    assert answer.status_code == 302
    assert answer["Location"] == f"{HISTORY}?of=web01&server=web01&cursor=b9"
    assert admin.get(answer["Location"]).status_code == 200
    assert admin.get(f"{HISTORY}?text=")["Location"] == f"{HISTORY}?server=web01"


def test_a_period_moves_with_the_clock_and_is_no_other_than_those_offered(
    admin: Client, ten_days: list[Change]
) -> None:
    page = admin.get(f"{HISTORY}?last=7d").content.decode()
    assert numbers(page) == [change.pk for change in reversed(ten_days[-7:])]
    assert "Last 7 days" in page.split('class="value">')[1]
    refused = admin.get(f"{HISTORY}?last=1y")
    assert refused.status_code == 422
    assert "must be one of 24h, 7d, 30d" in refused.content.decode()
    exported: Any = admin.get(f"{HISTORY}export.json?last=24h")
    assert len(json.loads(exported.getvalue())) == 1


def test_failed_means_every_way_to_fail(admin: Client, server: Server) -> None:
    for result in ("restored", "succeeded"):
        change = request_change(server, Choice.parse("event"), actor=ADMIN)
        record_reports("web01", change.uuid, [outcome(1, result)])
    page = admin.get(HISTORY).content.decode()
    (query,) = re.findall(r'href="\?([^"]+)">Failed<', page)
    found = admin.get(f"{HISTORY}?{unescape(query)}").content.decode()
    assert len(numbers(found)) == 1
    assert "Failed, all kinds" in found.split('class="value">')[1]


def test_a_number_leads_to_its_change(admin: Client, finished_change: Change) -> None:
    answer = admin.get(f"{HISTORY}?text=%23{finished_change.pk}")
    assert answer["Location"] == f"{HISTORY}{finished_change.pk}/"
    assert "No changes found." in admin.get(f"{HISTORY}?text=%23999").content.decode()


def test_an_unknown_server_is_said_to_be_unknown_and_what_to_do(
    admin: Client, server: Server
) -> None:
    answer = admin.get(f"{HISTORY}?server=nowhere")
    page = unescape(answer.content.decode())
    assert answer.status_code == 404
    assert ">Unknown server<" in re.sub(r"\s+<", "<", re.sub(r">\s+", ">", page))
    assert "Choose one from the list of servers." in page
    assert 'href="/servers/"' in page
    page = unescape(admin.get(f"{HISTORY}?of=nowhere").content.decode())
    assert "Unknown server “nowhere”." in page
    assert "No changes found." in admin.get(f"{HISTORY}?of=web01&text=xyz").content.decode()
    assert "Page not found" in admin.get("/no/such/page/").content.decode()


def test_a_row_has_who_when_how_long_and_its_ticket(admin: Client, finished_change: Change) -> None:
    page = admin.get(HISTORY).content.decode()
    heads = re.findall(r'<th scope="col">([^<]+)</th>', page)
    assert heads == [
        "Change",
        "Status",
        "Server",
        "Requested by",
        "Started",
        "Duration",
        "Ticket",
    ]
    row = page.split("<tbody>")[1].split("</tbody>")[0]
    assert 'href="/servers/web01/"' in row
    assert 'href="?ticket=HOST-4471"' in row
    assert re.search(
        r"<time [^>]+>\d+ s ago</time>\s+<span class=\"quiet small absolute\"><time", row
    )


def test_a_page_says_when_words_have_no_index(admin: Client, finished_change: Change) -> None:
    remove_words(connection)
    try:
        page = admin.get(f"{HISTORY}?text=keep").content.decode()
    finally:
        _known.clear()
    assert numbers(page) == [finished_change.pk]
    assert "this database has no text index" in page
