"""The capacity section of the chooser: what it draws, what it warns of, and what it says when
there is nothing to say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from easyapache.models import Peak, Server
from easyapache.profile import Profile
from mpm.catalog import MPM
from mpm.views import capacity
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
        assert f'<desc id="told-{mpm.value}">{mpm.value} needs ' in page
        assert f'<th scope="col">{mpm.value}</th>' in page
        assert f"<IfModule mpm_{mpm.value}_module>" in page
    assert "61 requests were served at once" in page


def test_what_does_not_fit_is_red_and_says_how_much_would(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server(memory_total=4 * GIB, other_bytes=GIB, process_bytes=40 << 20)
    page = words(admin, "mpm=prefork")
    assert "prefork does not fit into memory" in page
    assert "before the machine begins to swap" in page
    assert page.count('class="tag red">does not fit') == 1


def test_from_prefork_to_threads_the_limit_stays_and_the_finding_leads_here(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server()
    page = words(admin, "mpm=event")
    assert 'data-code="limit_stays_150"' in page
    assert "no more than prefork does now" in page
    assert '<a href="#capacity">' in page
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
    assert "Nothing has been measured yet" in page
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
