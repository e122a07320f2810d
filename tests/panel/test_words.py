"""Free text in the history: what is found, along which index, and what happens without one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from mpm.changes.services.request import request_change
from mpm.checks import words_have_an_index
from mpm.history import search_query
from mpm.history.filters import BadFilter, ChangeFilters
from mpm.history.models.search_index import _known, indexed, install_words, remove_words
from mpm.history.pages import changes
from mpm.history.services.retention import prune
from mpm.models import Change, State
from mpm.servers.models import Server
from tests.panel.reports import ADMIN, EVENT, PREFORK, carried_out, sql

pytestmark = pytest.mark.django_db
SQLITE = connection.vendor == "sqlite"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ODD = (
    'say "no" twice',
    "50% of _all_",
    "ümläute größe",
    "a'b''c",
    "back\\slash",
    "日本語の文",
    "-x -y",
)


@pytest.fixture
def many(known_server: Callable[..., Server]) -> list[Change]:
    """Three hundred changes with texts of few letters, so that words overlap in every way."""
    dice = random.Random(11)
    servers = [known_server("web01"), known_server("web02")]
    texts = [" ".join("".join(dice.choices("abc-", k=4)) for _ in range(3)) for _ in range(293)]
    return Change.objects.bulk_create(
        Change(
            server=servers[number % 2],
            server_name=servers[number % 2].name,
            state=State.SUCCEEDED,
            choice={},
            plan={},
            digest="0" * 32,
            base_digest="0" * 32,
            origin="web",
            actor_name="ada",
            requested_at=START + timedelta(hours=number),
            search=text.lower(),
        )
        for number, text in enumerate([*texts, *ODD])
    )


@pytest.fixture
def without_index() -> Iterator[None]:
    remove_words(connection)
    yield
    _known.clear()  # the test's transaction brings it back


def found(**query: str) -> list[int]:
    """Every change that fits, page by page, the newest first."""
    filters, cursor, numbers = ChangeFilters.parse(query), "", []
    while True:
        page = changes(filters, cursor, 40)
        numbers += [change.pk for change in page.items]
        if not page.next_cursor:
            return numbers
        cursor = page.next_cursor


def expected(many: list[Change], text: str, server: str = "") -> list[int]:
    parts = text.lower().split()
    return [
        change.pk
        for change in reversed(many)
        if all(part in change.search for part in parts) and server in ("", change.server_name)
    ]


def questions() -> list[str]:
    dice = random.Random(5)
    some = ["".join(dice.choices("abc-", k=dice.randint(1, 4))) for _ in range(40)]
    return [
        *some,
        "ab abc",
        "abca bc c",
        "CAB",
        *ODD,
        '"no"',
        "%",
        "_",
        "größe",
        "本語の",
        "x" * 200,
    ]


@pytest.mark.parametrize("server", ["", "web02"])
def test_exactly_the_changes_with_every_word_are_found(
    many: list[Change], subtests: pytest.Subtests, server: str
) -> None:
    for text in questions():
        with subtests.test(text=text):
            assert found(text=text, server=server) == expected(many, text, server)


@pytest.mark.parametrize("few", [0, 5000])
def test_what_is_found_does_not_depend_on_the_way(
    many: list[Change], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_query, "FEW", few)
    for text in ("abc", "ab", "ca-b a"):
        assert found(text=text, server="web01") == expected(many, text, "web01")


def test_everything_is_found_without_the_index(without_index: None, many: list[Change]) -> None:
    assert not indexed(connection)
    for text in questions():
        assert found(text=text) == expected(many, text)


def test_pages_of_words_go_forth_and_back(many: list[Change]) -> None:
    for text in ("ab", "abc"):
        filters = ChangeFilters(text=text)
        first = changes(filters, "", 5)
        second = changes(filters, first.next_cursor, 5)
        assert changes(filters, second.previous_cursor, 5).items == first.items


def test_words_and_dates_narrow_together(many: list[Change]) -> None:
    day = [change.pk for change in many[12:36]]
    both = found(text="abc", since="2026-03-02", until="2026-03-02")
    assert both == [pk for pk in expected(many, "abc") if pk in day]


def test_text_with_a_nul_is_no_text() -> None:
    with pytest.raises(BadFilter):
        ChangeFilters.parse({"text": "a\0b"})


def plan_of(**query: str) -> str:
    rows = ChangeFilters.parse(query).newest(Change.objects.only("pk"))
    return rows[:51].explain()


def test_words_are_looked_for_along_their_index(many: list[Change]) -> None:
    if SQLITE:
        for query in ({"text": "abc"}, {"text": "ab abc"}, {"text": "abc", "server": "web01"}):
            plan = plan_of(**query)
            assert "mpm_change_words VIRTUAL TABLE INDEX" in plan, plan
            assert "SCAN mpm_change\n" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan
    else:
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE mpm_change")
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_indexscan = off")
        assert "change_by_words" in plan_of(text="abc")


def test_common_words_are_looked_for_along_the_filter_beside_them(
    many: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_query, "FEW", 1)
    if not SQLITE:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
    plan = plan_of(text="abc", server="web01")
    assert "change_by_server" in plan or "mpm_change_pkey" in plan, plan


def consistent() -> None:
    """Raises where the index does not say what the rows do."""
    if SQLITE:
        sql("INSERT INTO mpm_change_words(mpm_change_words, rank) VALUES('integrity-check', 1)")


def test_the_index_follows_the_rows_in_their_own_transaction(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    change = request_change(server, EVENT, actor=ADMIN, reason="Firstword")
    assert found(text="firstword") == [change.pk]
    begun = transaction.savepoint()
    Change.objects.filter(pk=change.pk).update(search="secondword")
    assert found(text="secondword") == [change.pk]
    transaction.savepoint_rollback(begun)
    assert found(text="secondword") == []
    Change.objects.filter(pk=change.pk).update(search="thirdword")
    assert (found(text="firstword"), found(text="thirdword")) == ([], [change.pk])
    consistent()


def test_what_is_pruned_is_gone_from_the_index(known_server: Callable[..., Server]) -> None:
    server = known_server()
    for choice in (EVENT, PREFORK, EVENT):
        carried_out(server, choice, reason="pruned")
    assert len(found(text="pruned")) == 3
    assert prune(timezone.now() + timedelta(days=400), 365).changes == 1
    assert len(found(text="pruned")) == 2
    consistent()


def test_an_index_that_somebody_worked_on_is_made_again(many: list[Change]) -> None:
    sql("DROP TRIGGER mpm_change_words_new" if SQLITE else "DROP INDEX change_by_words")
    late = Change.objects.get(pk=many[0].pk)
    late.pk, late.uuid, late.search = None, "f" * 32, "latecomer"
    late.save(force_insert=True)
    connection.check_constraints()  # PostgreSQL alters no table that has some to check
    assert install_words(connection)
    assert found(text="latecomer") == [late.pk]
    consistent()


def test_a_missing_index_is_told(without_index: None, known_server: Callable[..., Server]) -> None:
    known_server()
    (warning,) = words_have_an_index(["default"])
    assert warning.id == "mpm.W001"
    err = StringIO()
    call_command("mpm", "doctor", stdout=StringIO(), stderr=err)
    assert "has no index" in err.getvalue()
    connection.check_constraints()
    install_words(connection)
    assert words_have_an_index(["default"]) == []
