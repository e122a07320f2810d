"""How often each page asks the database. A page that asks more often than recorded fails here.

``query_counts.json`` holds the recorded numbers; to accept a new one, change it there, and say
in the commit why the page needs it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from easyapache.models import Server
from mpm.catalog import Choice
from mpm.models import Change
from tests.web.conftest import answered_preview

RECORDED: dict[str, int] = json.loads(
    (Path(__file__).parent / "query_counts.json").read_text("utf-8")
)
MOST = 8


@pytest.mark.parametrize("path", sorted(RECORDED))
def test_a_page_asks_the_database_no_more_often_than_recorded(
    path: str, admin: Client, server: Server, finished_change: Change
) -> None:
    preview = answered_preview(server, Choice.parse("worker"))
    address = path.format(change=finished_change.pk, preview=preview.uuid)
    assert admin.get(address).status_code in (200, 204)
    with CaptureQueriesContext(connection) as asked:
        admin.get(address)
    sentences = "\n".join(query["sql"][:160] for query in asked.captured_queries)
    assert len(asked) <= RECORDED[path], sentences
    assert len(asked) >= RECORDED[path], f"{path} needs only {len(asked)} now: record that"


def test_no_page_is_recorded_with_more_than_eight() -> None:
    assert {path: count for path, count in RECORDED.items() if count > MOST} == {}
