"""The history: filters, pages, the story, exports, and the plans the database makes for them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from mpm.access.services.users import add_user
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change
from mpm.history.activity import activity, people_in_history, tickets_in_history
from mpm.history.customer import ticket_text
from mpm.history.export import as_csv, as_json
from mpm.history.filters import BadFilter, ChangeFilters
from mpm.history.pages import changes
from mpm.history.story import before_and_after, story, timeline
from mpm.models import Change, State
from mpm.servers.models import Server
from tests.panel.reports import ADMIN, carried_out, finish, outcome, report, step

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def many(known_server: Callable[..., Server]) -> list[Change]:
    """Six hundred ended changes of two servers, one every hour."""
    servers = [known_server("web01"), known_server("web02")]
    mpms = ("prefork", "event", "worker")
    return Change.objects.bulk_create(
        Change(
            server=servers[number % 2],
            server_name=servers[number % 2].name,
            state=State.FAILED if number % 10 == 0 else State.SUCCEEDED,
            from_mpm=mpms[number % 3],
            to_mpm=mpms[(number + 1) % 3],
            to_itk=number % 7 == 0,
            choice={},
            plan={"install": [], "remove": []},
            digest=f"{number:032x}",
            base_digest="0" * 32,
            reason=f"reason {number}",
            ticket=f"T-{number % 20}",
            origin=("web", "rest", "cli")[number % 3],
            actor_name=f"person{number % 5}",
            request_id=f"r{number}",
            requested_at=START + timedelta(hours=number),
            finished_at=START + timedelta(hours=number, minutes=1),
            search=f"reason {number}\nt-{number % 20}",
        )
        for number in range(600)
    )


def test_pages_forth_and_back_show_every_change_once(many: list[Change]) -> None:
    seen, cursor, pages = [], "", []
    while True:
        page = changes(ChangeFilters(), cursor, 70)
        pages.append(page)
        seen += [change.pk for change in page.items]
        if not page.next_cursor:
            break
        cursor = page.next_cursor
    assert seen == sorted((change.pk for change in many), reverse=True)
    back = changes(ChangeFilters(), pages[2].previous_cursor, 70)
    assert [c.pk for c in back.items] == [c.pk for c in pages[1].items]
    first = changes(ChangeFilters(), pages[1].previous_cursor, 70)
    assert first.items == pages[0].items
    assert first.previous_cursor == ""


def test_new_changes_shift_no_page(many: list[Change]) -> None:
    page = changes(ChangeFilters(), "", 10)
    expected = changes(ChangeFilters(), page.next_cursor, 10).items
    twin = Change.objects.get(pk=many[-1].pk)
    twin.pk, twin.uuid = None, "a" * 32
    twin.save(force_insert=True)
    assert changes(ChangeFilters(), page.next_cursor, 10).items == expected


FITS: list[tuple[dict[str, str], Callable[[int], bool]]] = [
    ({"server": "web02"}, lambda n: n % 2 == 1),
    ({"person": "person3"}, lambda n: n % 5 == 3),
    ({"origin": "rest"}, lambda n: n % 3 == 1),
    ({"result": "failed"}, lambda n: n % 10 == 0),
    ({"result": "active"}, lambda _: False),
    ({"mpm_from": "prefork"}, lambda n: n % 3 == 0),
    ({"mpm_to": "prefork"}, lambda n: n % 3 == 2),
    ({"itk": "yes"}, lambda n: n % 7 == 0),
    ({"ticket": "T-4"}, lambda n: n % 20 == 4),
    ({"request": "r17"}, lambda n: n == 17),
    ({"text": "REASON 59"}, lambda n: "59" in f"reason {n}\nt-{n % 20}"),
    ({"since": "2026-03-10", "until": "2026-03-10"}, lambda n: 204 <= n < 228),
    ({"since": "2026-03-20T12:00:00+00:00"}, lambda n: n >= 456),
    (
        {"server": "web01", "result": "failed", "until": "2026-03-05"},
        lambda n: n in range(0, 108, 10),
    ),
]


def test_each_filter_leaves_what_fits(
    many: list[Change],
    subtests: pytest.Subtests,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    for query, fits in FITS:
        with subtests.test(query=query):
            filters = ChangeFilters.parse(query)
            with django_assert_max_num_queries(4):
                page = changes(filters, "", 500)
                for change in page.items:
                    str((change.actor_name, change.server_name, change.reason))
            expected = [number for number in range(600) if fits(number)]
            assert sorted(int(c.digest, 16) for c in page.items) == expected[-500:]
            assert ChangeFilters.parse(filters.as_query()) == filters


@pytest.mark.parametrize(
    "query",
    [
        {"result": "exploded"},
        {"origin": "fax"},
        {"mpm_from": "itk"},
        {"itk": "perhaps"},
        {"since": "yesterday"},
        {"until": "2026-13-01"},
        {"text": "x" * 201},
    ],
)
def test_filters_that_cannot_be_meant_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadFilter):
        ChangeFilters.parse(query)


@pytest.mark.parametrize("cursor", ["x", "b", "b-1", "c5", "b5;drop", "b" + "9" * 30])
def test_a_cursor_we_never_gave_is_refused(cursor: str) -> None:
    with pytest.raises(BadFilter):
        changes(ChangeFilters(), cursor)


INDEXES: list[tuple[dict[str, str], str]] = [
    ({"server": "web02"}, "change_by_server"),
    ({"person": "person3"}, "change_by_person"),
    ({"ticket": "T-4"}, "change_by_ticket"),
    ({"request": "r17"}, "change_by_request"),
    ({"mpm_from": "worker"}, "change_by_from"),
    ({"mpm_to": "worker"}, "change_by_to"),
    ({"origin": "outside"}, "change_by_origin"),
    ({"result": "failed"}, "change_by_result"),
    ({"itk": "yes"}, "change_by_itk"),
    ({"mpm_from": "worker", "mpm_to": "prefork"}, "change_by_way"),
    ({"server": "web02", "since": "2026-03-10", "until": "2026-03-10"}, "change_by_server"),
]


def test_each_filter_has_an_index_that_also_orders(
    many: list[Change], subtests: pytest.Subtests
) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE mpm_change")
            # Six hundred rows fit on a few pages, which no planner would take an index for.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
    for query, index in INDEXES:
        with subtests.test(query=query):
            rows = ChangeFilters.parse(query).newest(Change.objects.only("pk"))
            plan = rows[:51].explain()
            assert index in plan or "PRIMARY KEY" in plan or "mpm_change_pkey" in plan, plan
            assert "SCAN mpm_change" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan
            assert "Sort" not in plan, plan


def test_exports_stream_every_row_as_csv_and_json(many: list[Change]) -> None:
    filters = ChangeFilters.parse({"server": "web01"})
    table = list(csv.DictReader(io.StringIO("".join(as_csv(filters)))))
    listed = json.loads("".join(as_json(filters)))
    assert len(table) == len(listed) == 300
    assert table[0]["id"] == str(listed[0]["id"])
    assert json.loads("".join(as_json(ChangeFilters.parse({"ticket": "none"})))) == []


def test_a_reason_that_looks_like_a_formula_is_harmless_in_a_spreadsheet(
    known_server: Callable[..., Server],
) -> None:
    request_change(known_server(), Choice.parse("event"), actor=ADMIN, reason="=HYPERLINK(1)")
    row = next(csv.DictReader(io.StringIO("".join(as_csv(ChangeFilters())))))
    assert row["reason"] == "'=HYPERLINK(1)"


def test_everybody_in_the_history_is_found_along_the_index(many: list[Change]) -> None:
    assert people_in_history() == [f"person{number}" for number in range(5)]
    assert len(tickets_in_history()) == 20


def test_activity_counts_each_day_and_its_failures(
    many: list[Change], subtests: pytest.Subtests, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    """The dates of the filters are left out of account."""
    until, first = START + timedelta(days=3), (START - timedelta(days=1)).date()
    for query, fits in FITS:
        if "since" not in query and "text" not in query:
            with subtests.test(query=query), django_assert_max_num_queries(2):
                days = activity(ChangeFilters.parse(query), until, days=5)
                begun = [(START + timedelta(hours=n)).date() for n in range(600) if fits(n)]
                wrong = [(START + timedelta(hours=n)).date() for n in range(0, 600, 10) if fits(n)]
                for number, day in enumerate(days):
                    assert day.day == first + timedelta(days=number)
                    assert (day.total, day.failed) == (
                        begun.count(day.day),
                        wrong.count(day.day),
                    )
    assert [day.total for day in activity(ChangeFilters(), until, days=5)] == [0, 12, 24, 24, 24]


def test_days_are_counted_along_indexes_alone(
    many: list[Change], subtests: pytest.Subtests
) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE mpm_change")
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
    for query in ({}, *(query for query, _ in INDEXES)):
        with subtests.test(query=query), CaptureQueriesContext(connection) as queries:
            activity(ChangeFilters.parse(query), START + timedelta(days=20))
            with connection.cursor() as cursor:
                counting = queries.captured_queries[-1]["sql"]
                cursor.execute(f"{explain()} {counting}")
                plan = "\n".join(str(row[-1]) for row in cursor.fetchall())
            assert "USING INDEX" not in plan, plan  # SQLite says COVERING where no row is read
            assert "SCAN mpm_change" not in plan, plan
            assert "Seq Scan" not in plan, plan


def explain() -> str:
    return "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"


def test_the_story_tells_it_to_somebody_who_was_not_there(
    known_server: Callable[..., Server],
) -> None:
    change = request_change(
        known_server(), Choice.parse("event"), actor=ADMIN, reason="too much memory", ticket="T-1"
    )
    record_reports(
        "web01",
        change.uuid,
        [
            step(1, "preflight"),
            report(2, "interruption", refused=0, reset=0, longest_wait_ms=12.0),
        ],
    )
    from tests.panel.reports import after

    record_reports("web01", change.uuid, [outcome(3, "succeeded", after(change))])
    change.refresh_from_db()
    text = " ".join(story(change))
    for words in (
        "anna requested a change of web01 from prefork to event (Web)",
        "too much memory",
        "T-1",
        "mod_ruid2",
        "The change succeeded",
        "No connections were refused. Longest wait: 12 ms",
    ):
        assert words in text
    ticket = ticket_text(change, "https://panel.example/1")
    assert "too much memory" not in ticket
    assert ticket.endswith("https://panel.example/1")
    titles = [entry.title for entry in timeline(change)]
    assert titles[0] == "Requested"
    assert titles[-1] == "Succeeded"
    moved = {row.title for row in before_and_after(change) if row.moved}
    assert {"MPM", "mod_mpm_event", "mod_mpm_prefork"} <= moved


def test_a_change_that_failed_left_all_as_it_was(known_server: Callable[..., Server]) -> None:
    change = finish(request_change(known_server(), Choice.parse("event"), actor=ADMIN), "restored")
    assert not any(row.moved for row in before_and_after(change))
    assert "the previous state was restored automatically" in " ".join(story(change))


def test_names_stay_readable_when_the_person_is_gone(known_server: Callable[..., Server]) -> None:
    from mpm.access.services.actor import Actor

    user, _ = add_user("anna", "administrator", actor=ADMIN)
    actor = Actor(name="anna", role="administrator", user_id=user.pk)
    change = request_change(known_server(), Choice.parse("event"), actor=actor)
    user.delete()
    change = Change.objects.get(pk=change.pk)
    assert (change.user, change.actor_name, change.actor_role) == (None, "anna", "administrator")
    assert "anna" in story(change)[0]


def test_free_text_finds_the_error_of_a_failed_change(known_server: Callable[..., Server]) -> None:
    change = request_change(known_server(), Choice.parse("event"), actor=ADMIN)
    record_reports(
        "web01",
        change.uuid,
        [
            report(
                1, "finding", code="disk", title="Disk full", message="No room in /var", remedy=""
            ),
            outcome(2, "failed", sentence="Nothing was changed."),
        ],
    )
    found = changes(ChangeFilters.parse({"text": "no ROOM"})).items
    assert [item.pk for item in found] == [change.pk]
    assert timezone.is_aware(found[0].requested_at)
    carried_out(change.server, Choice.parse("worker"))
    assert len(changes(ChangeFilters.parse({"text": "no room"})).items) == 1


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("quiet hours", "Reason: “quiet hours”."),
        ("The shop waits.", "Reason: “The shop waits.”"),
        ("Does it work?  ", "Reason: “Does it work?”"),
    ],
)
def test_a_reason_that_is_a_sentence_ends_once(
    reason: str, sentence: str, known_server: Callable[..., Server]
) -> None:
    change = request_change(
        known_server("web01"), Choice.parse("event"), actor=ADMIN, reason=reason
    )
    assert sentence in story(change)
