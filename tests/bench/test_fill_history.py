"""The invented history is sealed as the panel seals its own, and never beside a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from django.db.models import F

from bench.fill_history import RARE, RARE_TICKET, NotEmpty, fill
from bench.history_reader import SHORT, pages
from demo.folder import PROJECT
from easyapache.ea4.plan import Plan
from mpm.history.filters import ChangeFilters
from mpm.history.pages import changes
from mpm.history.verification.database import verify_database
from mpm.models import Change, Event
from mpm.servers.models import Server

NOW = datetime(2026, 3, 3, 21, 4, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def test_what_was_filled_in_proves_itself() -> None:
    assert fill(120, NOW) == 240
    verdict = verify_database()
    assert verdict.faults == ()
    assert verdict.events == 240


def test_the_rows_are_as_the_panel_reads_them() -> None:
    fill(120, NOW)
    assert Change.objects.count() == 120
    assert Change.objects.filter(ticket=RARE_TICKET).count() == 10
    assert [one.pk for one in changes(ChangeFilters(text=RARE)).items] == [2]
    assert not Change.objects.exclude(finished_at__gt=F("requested_at")).exists()
    assert all(Plan.from_json(one.plan).choice.mpm == one.to_mpm for one in Change.objects.all())
    newest = Change.objects.latest("pk")
    assert newest.requested_at < NOW
    newer = Event.objects.create(server_name="x", seq=1, at=NOW, kind="test", hash="0" * 64)
    assert newer.pk == 241, "the next number follows"


def test_a_history_is_only_invented_where_there_is_none() -> None:
    Server.objects.create(name="web1", created_at=NOW)
    with pytest.raises(NotEmpty, match="servers"):
        fill(10, NOW)
    assert not Change.objects.exists()


def test_it_never_takes_a_database_by_itself() -> None:
    clean = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.fill_history", "--rows", "1"],
        cwd=PROJECT,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "DATABASE_URL is not set" in done.stderr


def test_every_page_that_is_timed_lists_what_it_should() -> None:
    fill(400, datetime.now(UTC))
    listed = {name: read() for name, read in pages().items()}
    full = ("first page", "10 % deep", "50 % deep", "100 % deep", "one person", "rows: first")
    assert {name: listed[name] for name in full} == dict.fromkeys(full, 50)
    assert listed["one ticket (10 changes)"] == 10
    assert listed["text: a word of one change"] == 1
    assert (listed["text: words of no change"], listed[SHORT]) == (0, 0)
    assert listed["page of one change"] <= 1
