"""The capacity section of the chooser: what it draws, what it warns of, and what it says when
there is nothing to say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Locator, expect

from easyapache.ea4.advice import Advice, Recommended
from easyapache.ea4.capacity import Share, Source
from easyapache.ea4.mpm import MPM
from easyapache.ea4.profile import Observation, Profile
from mpm.access.services.actor import Actor
from mpm.access.tokens import issue
from mpm.changes.views import capacity
from mpm.history.capacity import Recommendation
from mpm.servers.inventory import record_memory, record_scan
from mpm.servers.models import Peak, Server
from tests.browser import COLOURS, RULES, faults
from tests.desk import Desk
from tests.visits import MPM as CHOOSER
from tests.web.conftest import MPM as PAGE

GIB = 1 << 30
PHP = ("ea-php74-php",)
"""PHP as an Apache module, which leaves a server nothing but prefork."""


@pytest.fixture
def measured_server(
    known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> Callable[..., Server]:
    """A server whose measurement has these values in place of the usual ones."""

    def make(busiest: int = 0, add: tuple[str, ...] = (), **load: Any) -> Server:
        profile = stock_profile(add=add)
        facts = {**profile.facts, "load": {**profile.facts["load"], **load}}
        server = known_server("web01", profile=replace(profile, facts=facts))
        if busiest:
            now = timezone.now()
            Peak.objects.create(server=server, day=now.date(), busiest=busiest, at=now)
        return server

    return make


def words(client: Client, query: str = "mpm=event") -> str:
    return unescape(client.get(f"{PAGE}?{query}").content.decode())


def test_every_mpm_has_a_row_of_one_chart_a_column_and_values_to_copy(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server(busiest=61)
    page = words(admin)
    assert page.count('<table class="capacity-chart">') == 1
    assert len(re.findall(r'<svg class="memory-bar', page)) == 3
    for mpm in MPM:
        assert f'<tr data-of="{mpm.value}">' in page
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
    assert page.count('class="tag red">Doesn’t fit') == 1
    assert page.count('class="memory-bar does_not_fit"') == 1


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
    assert "<svg" not in page.split('id="capacity"')[1].split("</section>")[0]


def section(server: Server) -> capacity.Section:
    load = capacity.known_load(server, server.installed_profiles.latest("pk"))
    assert load is not None
    return capacity.section(load)


def test_bars_of_different_mpms_have_one_axis_that_ends_beyond_what_is_available(
    db: None, measured_server: Callable[..., Server]
) -> None:
    shown = section(measured_server(memory_total=4 * GIB, other_bytes=GIB, process_bytes=21 << 20))
    available = shown.columns[0].capacity.available
    for one in shown.columns:
        part = one.capacity.memory_at_peak / available
        assert one.bar.peak == pytest.approx(min(part / 1.25, 1) * 400, abs=0.1)
    prefork = next(one for one in shown.columns if one.mpm is MPM.PREFORK)
    assert prefork.bar.peak > 320, "what is beyond 100 % is drawn beyond its tick"
    assert not prefork.bar.beyond


def test_a_bar_that_goes_on_past_the_edge_says_so(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    shown = section(measured_server(memory_total=4 * GIB, other_bytes=GIB, process_bytes=40 << 20))
    assert [(one.mpm.value, one.bar.peak) for one in shown.columns if one.bar.beyond] == [
        ("prefork", 400)
    ]
    assert words(admin).count('<path class="beyond"') == 1


def conclusion(server: Server) -> str:
    shown = section(server)
    return " ".join([*shown.conclusion, shown.saving]).strip()


def test_the_headline_is_what_the_chart_shows(
    db: None, measured_server: Callable[..., Server]
) -> None:
    server = measured_server()
    assert conclusion(server) == (
        "prefork doesn’t fit. event and worker do. "
        "At the current limit of 150 requests, event needs about 95% less memory than prefork."
    )
    row = server.installed_profiles.latest("pk")
    load = row.facts["load"]
    for changes, headline in (
        ({"process_bytes": 2 << 20}, "All three MPMs fit."),
        ({"memory_total": 4 * GIB, "other_bytes": 4 * GIB}, "No MPM fits at its present limit."),
        ({"mpm": "event", "process_bytes": 30 << 20}, "prefork may not fit. event and worker do."),
        (
            {"memory_total": GIB, "other_bytes": 700 << 20, "mpm": "event"},
            "prefork doesn’t fit. event and worker may not.",
        ),
    ):
        row.facts = {**row.facts, "load": {**load, **changes}}
        row.save()
        assert conclusion(server).startswith(headline), changes


def test_no_saving_is_told_where_the_limits_differ(
    db: None, measured_server: Callable[..., Server]
) -> None:
    limits = {"event": {"MaxRequestWorkers": 400}, "worker": {"MaxRequestWorkers": 400}}
    assert section(measured_server(directives=limits)).saving == ""


def test_what_was_measured_of_an_mpm_itself_counts_more_than_what_another_one_shows(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    server, now = measured_server(), timezone.now()
    profile = server.profile
    assert profile is not None
    record_memory(server, profile, now - timedelta(days=3))
    load = {"mpm": "event", "process_bytes": 14 << 20, "thread_bytes": 400 << 10}
    facts = {**profile.facts, "load": {**profile.facts["load"], **load}}
    event = replace(profile, facts=facts, running=Observation(("event",)))
    record_scan(server, event, now, "scan")
    record_memory(server, event, now)
    prefork = next(one for one in section(server).columns if one.mpm is MPM.PREFORK)
    assert prefork.capacity.process == Share(38 << 20, Source.MEASURED)
    assert prefork.peak == "5.6 GiB"
    assert prefork.between == ""
    worker = next(one for one in section(server).columns if one.mpm is MPM.WORKER)
    assert worker.capacity.process.source is Source.ELSEWHERE
    assert worker.peak.startswith("≈ ")
    page = " ".join(re.sub(r"<[^>]+>", " ", words(admin)).split())
    assert "5.6 GiB 124% · measured 3 days ago" in page


def test_a_measurement_of_more_than_thirty_days_ago_counts_no_more(
    db: None, measured_server: Callable[..., Server]
) -> None:
    server, now = measured_server(mpm="event", process_bytes=14 << 20), timezone.now()
    old = {"process_bytes": 38 << 20, "thread_bytes": 0}
    server.mpm_memory = {"prefork": {**old, "at": (now - timedelta(days=31)).isoformat()}}
    prefork = next(one for one in section(server).columns if one.mpm is MPM.PREFORK)
    assert prefork.capacity.process.source is Source.ELSEWHERE


@pytest.mark.parametrize(
    "load",
    [
        {},
        {"mpm": "itk", "process_bytes": 1},
        {"mpm": "event", "process_bytes": 0},
        {"mpm": "event", "process_bytes": -5},
        {"mpm": "event", "process_bytes": "much"},
        {"mpm": "event", "process_bytes": True},
        {"mpm": "event", "process_bytes": 1 << 70},
    ],
)
def test_what_is_no_measurement_is_not_kept(
    load: dict[str, Any], measured_server: Callable[..., Server]
) -> None:
    server = measured_server()
    profile = server.profile
    assert profile is not None
    record_memory(server, replace(profile, facts={"load": load}), timezone.now())
    server.refresh_from_db()
    assert server.mpm_memory == {}


def test_no_recommendation_points_to_what_does_not_fit(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    measured_server(add=PHP)
    for page in (words(admin), words(admin, "mpm=prefork")):
        assert "Stay on prefork until php74-php can be removed." in page
        assert "With MaxRequestWorkers at 121 or less it fits." in page
        assert "recommended here" not in page
    live = unescape(admin.get(f"{PAGE}plan/?mpm=event").content.decode())
    assert "Stay on prefork until php74-php can be removed." in live
    assert "recommended here" not in live


def test_what_fits_is_recommended(admin: Client, measured_server: Callable[..., Server]) -> None:
    measured_server(add=PHP, process_bytes=12 << 20)
    page = words(admin)
    assert "prefork is recommended." in page
    assert page.count("recommended here") == 1


@pytest.mark.parametrize(
    ("load", "headline"),
    [
        ({}, "Stay on prefork until php74-php can be removed."),
        ({"process_bytes": 12 << 20}, "prefork is recommended."),
    ],
)
def test_every_interface_recommends_the_same(
    admin: Client,
    measured_server: Callable[..., Server],
    load: dict[str, Any],
    headline: str,
) -> None:
    server = measured_server(add=PHP, **load)
    assert headline in words(admin)
    advice = _of_rest(server)
    fits = bool(load)
    assert (advice["mpm"], advice["fits"], advice["headline"]) == ("prefork", fits, headline)
    assert all(sentence in words(admin) for sentence in advice["why"])
    out = StringIO()
    call_command("mpm", "status", "--server", server.name, stdout=out)
    shown = " ".join(out.getvalue().split())
    assert ("Recommended prefork" if fits else headline) in shown
    assert all(sentence in shown for sentence in advice["why"])


def test_a_recommendation_follows_the_memory_of_the_next_scan_though_the_state_is_the_same(
    measured_server: Callable[..., Server],
) -> None:
    server = measured_server(add=PHP)
    assert _of_rest(server)["fits"] is False
    latest = server.installed_profiles.get()
    load = {**latest.facts["load"], "process_bytes": 12 << 20}
    profile = replace(latest.profile, facts={**latest.facts, "load": load})
    record_scan(server, profile, timezone.now(), "scan")
    assert server.installed_profiles.get().digest == latest.digest
    assert _of_rest(server)["fits"] is True


def test_where_nothing_is_recommended_a_program_reads_what_runs_now() -> None:
    """It does nothing then, whatever it makes of the other members."""
    unfit = Recommended(None, "No MPM is recommended: prefork doesn't fit in memory.", ())
    advice = Advice(MPM.PREFORK, (), threads=False, safe_polling=False)
    assert Recommendation(advice, unfit, MPM.EVENT).mpm is MPM.EVENT
    assert Recommendation(advice, unfit, None).mpm is MPM.PREFORK


def _of_rest(server: Server) -> Any:
    actor = Actor(name="anna", role="administrator", origin="web")
    token = issue(actor, name="monitor", scopes=["read"]).text
    path = f"/api/v1/servers/{server.name}/mpm"
    answer = Client().get(path, headers={"Authorization": f"Bearer {token}"})
    return answer.json()["recommendation"]


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
        *("≈ 38 MiB measured with prefork", "≈ 38 MiB measured with prefork"),
        "38 MiB measured",
    ]
    assert rows["One thread"] == ["≈ 0.5 MiB estimated", "≈ 0.5 MiB estimated", "–"]


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


def test_the_three_busiest_moments_are_named(
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


def test_a_server_without_a_busy_moment_names_none(
    admin: Client, measured_server: Callable[..., Server]
) -> None:
    server, now = measured_server(), timezone.now()
    Peak.objects.create(server=server, day=now.date(), busiest=0, at=now)
    assert "Highest load" not in words(admin)


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("width", [1440, 390])
def test_capacity_is_one_chart_whose_bars_end_at_their_share_of_one_axis(
    language: str, width: int, desk: Desk
) -> None:
    page = desk.another(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page.context.add_cookies(
        [{"name": "django_language", "value": language, "url": desk.panel.address}]
    )
    desk.open(f"{CHOOSER}?server=web14&mpm=event", page)
    chart = page.locator("#capacity .capacity-chart")
    expect(chart).to_have_count(1)
    tracks = chart.locator(".memory-bar .track")
    edges = [one["x"] + one["width"] for one in map(Locator.bounding_box, tracks.all()) if one]
    assert len(edges) == len(MPM)
    assert max(edges) - min(edges) < 1, "one axis, at which 100 % is at one place"
    assert chart.locator(".memory-bar.does_not_fit .peak").count() == 1
    hundred = chart.locator(".capacity-axis span").nth(4).bounding_box()
    assert hundred is not None
    assert abs(hundred["x"] + hundred["width"] / 2 - edges[0]) < 8
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert faults(page, RULES if scheme == "light" else COLOURS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_figures_of_an_mpm_stay_when_another_one_runs(desk: Desk) -> None:
    """As long as each has run here before: on the panel's own simulated server."""
    page = desk.open(f"{CHOOSER}?server={{server}}")
    row = page.locator(".capacity-chart tr[data-of=prefork]")
    expect(row).to_contain_text("5.6 GiB")
    expect(row).to_contain_text("measured")
    expect(page.locator("#advice")).not_to_contain_text("prefork is recommended")
    expect(page.locator("#recommended-prefork")).not_to_contain_text("recommended")
