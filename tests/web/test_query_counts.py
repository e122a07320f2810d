"""How often each page asks the database. A page that asks more often than recorded fails here.

``query_counts.json`` holds the recorded numbers; to accept a new one, change it there, and say
in the commit why the page needs it. They are those of the worst case: nothing is in a cache, there
are more servers than the menu holds, and the one that is meant is not among them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import connection
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from mpm.access.tokens import issue
from mpm.changes.services.record import record_reports
from mpm.changes.services.repairs import record_repair, repair
from mpm.changes.services.request import request_change
from mpm.changes.services.rollback import request_rollback_plan
from mpm.changes.services.sharing import share
from mpm.models import Change
from mpm.notify import webhooks
from mpm.servers.models import Server
from mpm.web.page_context import MOST_IN_MENU
from mpm.web.responses import page_above
from tests.web.conftest import ADMIN, HISTORY, answered_preview, logged, report, report_steps

RECORDED: dict[str, int] = json.loads(
    (Path(__file__).parent / "query_counts.json").read_text("utf-8")
)
MOST = 8
FOR_STRANGERS = ("/login/", "/shared/")
FOR_PROGRAMS = {
    "/api/": "answers programs; tests/api and bench/api_reads.py count and time it",
    "/json-api/": "answers WHM's clients",
}
"""Addresses that are no pages, and why they are not counted here."""
FILES = {
    "history-events": "a file of the chains of all servers, one after the other; three questions "
    "each, so that it takes the same memory however long they are",
}
"""Routes whose number of questions grows with what is in the file, and why it may."""
ON_THE_WAY = {"whm-enter"}
"""Routes that show nothing and lead on."""


@pytest.fixture
def others(known_server: Callable[..., Server]) -> list[Server]:
    """More servers than the menu holds, all before web01."""
    now = timezone.now()
    rows = [Server(name=f"app{n:03}", created_at=now) for n in range(MOST_IN_MENU + 5)]
    return Server.objects.bulk_create(rows)


@pytest.fixture
def busy_panel(
    admin: Client, others: list[Server], server: Server, finished_change: Change
) -> dict[str, str]:
    """A panel on which everything has happened once: what stands in the recorded addresses."""
    admin.get("/?server=web01")
    preview = answered_preview(server, Choice.parse("worker"))
    logged(finished_change, b"2026-03-03T21:04:12.077Z packages  Error: not really\n" * 40)
    link = share(finished_change, ADMIN, 7)
    asked = repair(server, "start-httpd", ADMIN)
    record_repair(server.name, asked, "start-httpd", ok=True, message="It runs.")
    hook = webhooks.make(ADMIN, name="Chat", url="https://8.8.8.8/hook")
    profile = {"name": "Mine", "file_name": "mine", "server": "web01"}
    assert admin.post("/software/easyapache4/profiles/save/", profile).status_code == 302
    going_back = request_rollback_plan(finished_change, ADMIN)
    running = request_change(server, Choice.parse("worker"), actor=ADMIN)
    report_steps(running, up_to="download")
    return {
        "change": str(finished_change.pk),
        "running": str(running.pk),
        "going_back": going_back.uuid,
        "preview": preview.uuid,
        "shared": link.token,
        "asked": asked,
        "webhook": hook.uuid,
        "token": issue(ADMIN, name="deploy", scopes=["read"]).token.key_id,
    }


def read_whole(answer: HttpResponseBase) -> None:
    if isinstance(answer, StreamingHttpResponse):
        answer.getvalue()


@pytest.mark.parametrize("path", sorted(RECORDED))
def test_a_page_asks_the_database_no_more_often_than_recorded(
    path: str, admin: Client, busy_panel: dict[str, str]
) -> None:
    address = path.format(**busy_panel)
    client = Client() if address.startswith(FOR_STRANGERS) else admin
    answer = client.get(address)
    read_whole(answer)
    assert answer.status_code in (200, 204)
    cache.clear()
    with CaptureQueriesContext(connection) as asked:
        read_whole(client.get(address))
    sentences = "\n".join(query["sql"][:160] for query in asked.captured_queries)
    assert len(asked) <= RECORDED[path], sentences
    assert len(asked) >= RECORDED[path], f"{path} needs only {len(asked)} now: record that"


def test_no_page_is_recorded_with_more_than_eight() -> None:
    assert {path: count for path, count in RECORDED.items() if count > MOST} == {}


def named(
    patterns: list[URLPattern | URLResolver], prefix: str = "/"
) -> Iterator[tuple[str, URLPattern]]:
    """(an address with something in its places, its pattern) of every route."""
    for item in patterns:
        if isinstance(item, URLResolver):
            yield from named(item.url_patterns, prefix + str(item.pattern))
            continue
        address = prefix + str(item.pattern)
        for place, value in (("<str:form>", "csv"), ("<int:pk>", "1")):
            address = address.replace(place, value)
        for place in ("uuid", "name", "key", "key_id", "token", "delivery", "function"):
            address = address.replace(f"<str:{place}>", "x")
        yield address, item


def test_every_page_of_the_panel_is_recorded(admin: Client, busy_panel: dict[str, str]) -> None:
    recorded = {resolve(path.format(**busy_panel).split("?")[0]).view_name for path in RECORDED}
    for address, pattern in named(get_resolver().url_patterns):
        if address.startswith((*FOR_PROGRAMS, "/^(?:", "/api")):
            continue
        assert pattern.name, f"{address} has no name"
        if pattern.name in recorded | set(FILES) | ON_THE_WAY:
            continue
        # What is left takes forms only, and leads whoever opens it to a page.
        answer = admin.get(address)
        assert (answer.status_code, answer["Location"]) == (302, page_above(address)), address


def test_a_message_that_is_shown_once_costs_one_query_and_not_the_budget(
    admin: Client, busy_panel: dict[str, str]
) -> None:
    address = f"{HISTORY}{busy_panel['change']}/"
    assert admin.post(f"{address}share/", {"days": "7"}).status_code == 302
    with CaptureQueriesContext(connection) as asked:
        assert b"Share link created" in admin.get(address).content
    wrote = [one["sql"] for one in asked.captured_queries if "SAVEPOINT" not in one["sql"]]
    assert len(wrote) <= MOST


def test_a_search_that_finds_nothing_costs_no_more_on_a_change_that_failed(
    admin: Client, server: Server, others: list[Server]
) -> None:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    logged(change, b"nothing of note\n" * 9)
    finding = {"code": "disk", "title": "Full", "message": "The disk is full.", "remedy": ""}
    record_reports("web01", change.uuid, [report(1, "finding", **finding)])
    told_end = {"outcome": "failed", "decided_by": "disk", "sentence": "The change failed."}
    record_reports("web01", change.uuid, [report(2, "outcome", **told_end)])
    for query in ("", "?error=first", "?find=x&behind=16", "?find=nothing&behind=128"):
        with CaptureQueriesContext(connection) as asked:
            assert admin.get(f"{HISTORY}{change.pk}/{query}").status_code == 200
        assert len(asked) <= MOST, query
