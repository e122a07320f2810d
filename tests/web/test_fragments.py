"""Pieces of a page: never a page inside a page, never a piece where a page is meant."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import django_htmx
import pytest
from django.conf import settings
from django.test import Client

from easyapache.ea4.mpm import Choice
from easyapache.ea4.protocol import Failure
from mpm.changes.services.planning import request_preview
from mpm.changes.services.request import request_change
from mpm.models import Change
from mpm.servers.models import Server
from tests.web.conftest import ADMIN, HISTORY, MPM, report_steps

HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/software/easyapache4/mpm/?x=1"}
CHOOSER_LIMIT = 60_000


def is_fragment(content: bytes) -> bool:
    return b"<html" not in content and b'<header class="bar">' not in content


def test_the_live_findings_are_a_fragment_that_no_cache_keeps(
    admin: Client, server: Server
) -> None:
    answer = admin.get(f"{MPM}plan/?mpm=event", headers=HTMX)
    assert answer.status_code == 200
    assert is_fragment(answer.content)
    assert answer["Cache-Control"] == "no-store"
    assert "HX-Request" in answer["Vary"]
    assert answer["HX-Replace-Url"] == f"{MPM}?server=web01&mpm=event"
    for part in ("summary", "itk", "cost-event", "cost-prefork", "advice", "review"):
        assert f'id="{part}" hx-swap-oob="innerHTML"' in answer.content.decode()


def test_vary_is_added_to_what_others_vary_by(admin: Client, server: Server) -> None:
    vary = admin.get(MPM)["Vary"]
    assert "HX-Request" in vary
    assert "Cookie" in vary


def test_going_back_in_the_browser_asks_for_a_page(admin: Client, server: Server) -> None:
    headers = HTMX | {"HX-History-Restore-Request": "true"}
    answer = admin.get("/software/easyapache4/packages/", headers=headers)
    assert b"<html" in answer.content
    assert is_fragment(admin.get("/software/easyapache4/packages/", headers=HTMX).content)


@pytest.mark.parametrize("path", [f"{MPM}plan/?mpm=event", f"{HISTORY}1/live/", f"{HISTORY}1/log/"])
def test_an_expired_session_leads_the_whole_browser_to_the_sign_in_page(
    path: str, server: Server
) -> None:
    answer = Client().get(path, headers=HTMX)
    assert answer.status_code == 204
    # The chooser is opened again with what was chosen in it, other pages as they were.
    chosen = "mpm%3Devent" if "plan" in path else "x%3D1"
    assert answer["HX-Redirect"] == f"/login/?next=/software/easyapache4/mpm/%3F{chosen}"
    foreign = HTMX | {"HX-Current-URL": "https://elsewhere.example/steal"}
    if "plan" not in path:
        assert Client().get(path, headers=foreign)["HX-Redirect"] == "/login/?next=/"


def test_a_preview_is_waited_for_without_sending_the_same_thing_twice(
    admin: Client, server: Server
) -> None:
    preview = request_preview(server, Choice.parse("event"), ADMIN)
    address = f"{MPM}review/{preview.uuid}/answer/"
    assert admin.get(address, headers=HTMX).status_code == 204
    from mpm.servers.services.inspection import record_preview

    record_preview(server.name, preview.uuid, None, Failure("lock", "yum is at work (pid 7)."))
    answer = admin.get(address, headers=HTMX)
    assert answer.status_code == 200
    assert is_fragment(answer.content)
    assert b"yum is at work (pid 7)." in answer.content
    assert b"Refresh plan" in answer.content


def test_the_live_part_says_only_what_is_new_and_ends_with_a_whole_page(
    admin: Client, server: Server
) -> None:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    report_steps(change, up_to="download")
    address = f"{HISTORY}{change.pk}/live/"
    first = admin.get(address, headers=HTMX)
    assert is_fragment(first.content)
    assert b'id="announce" hx-swap-oob' in first.content
    seen = first.content.decode().split("?seen=")[1].split('"')[0]
    assert admin.get(f"{address}?seen={seen}", headers=HTMX).status_code == 204
    report_steps(change, outcome="succeeded")
    last = admin.get(f"{address}?seen={seen}", headers=HTMX)
    assert last["HX-Trigger"] == "changeEnded"
    assert is_fragment(last.content)
    assert b"hx-trigger" not in last.content
    assert f'href="{HISTORY}{change.pk}/">Finished. View result<' in last.content.decode()


def test_steps_are_announced_and_lines_of_the_log_are_not(
    admin: Client, running_change: Change
) -> None:
    page = admin.get(f"{HISTORY}{running_change.pk}/").content.decode()
    assert '<p class="unseen" id="announce" role="status"></p>' in page
    assert re.search(r'role="log"\s+aria-live="off"', page)


def test_the_chooser_is_light(admin: Client, server: Server) -> None:
    page = admin.get(f"{MPM}?mpm=event", headers={"Accept-Encoding": "gzip"})
    assert page["Content-Encoding"] == "gzip"
    static = Path(settings.BASE_DIR) / "static" / "panel"
    htmx = Path(django_htmx.__file__).parent / "static" / "django_htmx" / "htmx-2.min.js"
    files = (static / "panel.css", static / "panel.js", static / "icon.svg", htmx)
    weight = len(page.content) + sum(len(gzip.compress(file.read_bytes())) for file in files)
    assert weight < CHOOSER_LIMIT, weight


def test_own_javascript_is_a_few_files_of_short_lines() -> None:
    files = sorted((Path(settings.BASE_DIR) / "static" / "panel").glob("*.js"))
    assert [file.name for file in files] == ["change.js", "keep.js", "log.js", "panel.js"]
    for file in files:
        lines = file.read_text().splitlines()
        assert len(lines) < 300, file.name
        assert [line for line in lines if len(line) > 110] == [], file.name
