"""The capacity section of the chooser: what it draws, what it warns of, and what it says when
there is nothing to say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from easyapache.ea4.mpm import MPM
from easyapache.ea4.profile import Profile
from mpm.changes.views import capacity
from mpm.servers.models import Peak, Server
from tests.web.conftest import MPM as PAGE

GIB = 1 << 30


@pytest.fixture
def measured_server(
    known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> Callable[..., Server]:
    """A server whose measurement has these values in place of the usual ones."""

    def make(busiest: int = 0, **load: Any) -> Server:
        profile = stock_profile()
        facts = {**profile.facts, "load": {**profile.facts["load"], **load}}
        server = known_server("web01", profile=replace(profile, facts=facts))
        if busiest:
            now = timezone.now()
            Peak.objects.create(server=server, day=now.date(), busiest=busiest, at=now)
        return server

    return make


def words(client: Client, query: str = "mpm=event") -> str:
    return unescape(client.get(f"{PAGE}?{query}").content.decode())


def test_every_mpm_has_a_picture_a_column_and_values_to_copy(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server(busiest=61)
    page = words(admin)
    assert len(re.findall(r'<svg class="chart"', page)) == 3
    for mpm in MPM:
        assert f'<desc id="told-{mpm.value}">With all workers busy, {mpm.value} needs ' in page
        assert f'<th scope="col">{mpm.value}</th>' in page
        assert f"<IfModule mpm_{mpm.value}_module>" in page
    assert "61 concurrent requests" in page


def test_what_does_not_fit_is_red_and_says_how_much_would(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server(memory_total=4 * GIB, other_bytes=GIB, process_bytes=40 << 20)
    page = words(admin, "mpm=prefork")
    assert "prefork doesn’t fit in memory" in page
    assert "before the server starts to swap" in page
    assert page.count('class="tag red">doesn’t fit') == 1


def test_from_prefork_to_threads_the_limit_stays_and_the_finding_leads_here(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server()
    page = words(admin, "mpm=event")
    assert 'data-code="limit_stays_150"' in page
    assert "no more than prefork does now" in page
    assert re.search(r'<a\s+href="#capacity">', page)
    assert 'id="capacity"' in page


def test_a_limit_that_httpd_corrects_is_shown_with_its_number(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    limits = {"event": {"ServerLimit": 2, "ThreadsPerChild": 25, "MaxRequestWorkers": 400}}
    measured_server(directives=limits)
    assert "AH00515" in words(admin)


def test_before_httpd_was_seen_the_section_says_when_it_will_be_filled(
    admin: Client, known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> None:
    profile = stock_profile()
    known_server("web01", profile=replace(profile, running=None, facts={}))
    page = words(admin)
    assert "No measurements yet" in page
    assert "<svg class" not in page.split('id="capacity"')[1].split("</section>")[0]


def test_bars_of_different_mpms_have_one_scale(
    db: None, measured_server: Callable[..., Server]
) -> None:
    server = measured_server(memory_total=4 * GIB, busiest=40)
    row = server.installed_profiles.latest("pk")
    shown = capacity.shown(server, row)
    assert shown is not None
    for one in shown.columns:
        assert 0 < one.picture.peak <= capacity.TRACK
        assert one.picture.machine == shown.columns[0].picture.machine
        assert one.picture.busiest == shown.columns[0].picture.busiest
    heaviest = max(shown.columns, key=lambda one: one.capacity.memory_at_peak)
    assert heaviest.picture.peak == max(one.picture.peak for one in shown.columns)


def test_numbers_are_written_as_the_reader_does(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server()
    page = admin.get(f"{PAGE}?mpm=event", headers={"Accept-Language": "de"}).content.decode()
    assert re.search(r"\d,\d GiB", page)
    assert "Kapazität" in page


def test_the_chooser_is_small_on_the_wire(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server()
    packed = admin.get(f"{PAGE}?mpm=event", headers={"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert len(packed.content) < 12_000, "with style, script and htmx it stays under 60 kB"


def table_of(page: str) -> dict[str, list[str]]:
    """The cells of each row, by its first word."""
    part = page.split('<table class="compare">')[1].split("</table>")[0]
    rows = {}
    for row in part.split("<tr>")[1:]:
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        name, *values = (" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in cells)
        rows[name] = values
    return rows


def test_one_process_and_one_thread_are_shown_with_where_they_were_measured(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server(mpm="prefork", process_bytes=38 << 20, thread_bytes=0)
    rows = table_of(words(admin))
    assert rows["One process"] == [
        *("38 MiB measured with prefork", "38 MiB measured with prefork"),
        "38 MiB measured",
    ]
    assert rows["One thread"] == ["0.5 MiB estimated", "0.5 MiB estimated", "–"]


def test_limits_are_called_as_httpd_calls_them_and_cpanels_own_is_named(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server()
    page = words(admin)
    rows = table_of(page)
    assert rows["MaxRequestWorkers concurrent requests"] == ["150", "150", "150"]
    assert rows["ServerLimit max. processes"] == ["256", "256", "256"]
    assert rows["ThreadsPerChild threads per process"] == ["25", "25", "–"]
    assert "MaxRequestWorkers 150 is cPanel’s default" in page


def test_a_limit_that_somebody_set_is_not_called_cpanels(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server(directives={mpm.value: {"MaxRequestWorkers": 300} for mpm in MPM})
    assert "is cPanel’s default" not in words(admin)


def test_the_three_busiest_moments_are_named_and_drawn(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    server, now = measured_server(), timezone.now()
    for days, busiest in ((1, 40), (2, 61), (3, 12), (4, 55), (40, 140)):
        at = now - timedelta(days=days)
        Peak.objects.create(server=server, day=at.date(), busiest=busiest, at=at)
    page = words(admin)
    said = re.sub(r"<[^>]+>", "", page.split("Highest load in the last 30 days:")[1])
    assert re.findall(r"(\d+) concurrent requests \((\d+) (?:h|days) ago", said) == [
        ("61", "2"),
        ("55", "4"),
        ("40", "24"),
    ]
    assert page.count('<line class="seen"') == 3 * len(MPM)
