"""The doctor's page: what it finds, who may have it repaired, and how the result is told."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Profile
from mpm.changes.services.outside import adopt
from mpm.changes.services.record import record_reports
from mpm.changes.services.repairs import record_repair, repair
from mpm.changes.services.request import request_change
from mpm.models import Change, Event
from mpm.servers.looks import request_number
from mpm.servers.models import Pulse, Server
from mpm.servers.services.inspection import record_inspection
from mpm.web import background_parts
from tests.web.conftest import ADMIN, HISTORY, logged, report, report_steps

DOCTOR = "/software/easyapache4/doctor/"


@pytest.fixture
def stopped_server(
    known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> Server:
    """A server whose httpd does not run."""
    return known_server("web01", profile=replace(stock_profile(), running=None))


def words(client: Client, query: str = "") -> str:
    answer = client.get(f"{DOCTOR}?server=web01{query}")
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def asked(client: Client, action: str = "start-httpd") -> str:
    """Confirm a repair; the number of the request."""
    answer = client.post(f"{DOCTOR}repair/", {"server": "web01", "repair": action})
    assert answer.status_code == 302
    return str(Event.objects.get(kind="server.repair_requested").data["request"])


def test_a_healthy_server_has_no_findings(admin: Client, server: Server) -> None:
    assert "No problems found" in words(admin)


def test_what_is_wrong_is_told_with_cause_way_out_and_repair(
    admin: Client, stopped_server: Server
) -> None:
    page = words(admin)
    assert 'data-code="httpd_down"' in page
    assert "Recommended action:" in page
    assert "repair=start-httpd" in page


def test_nothing_is_repaired_before_it_is_confirmed(admin: Client, stopped_server: Server) -> None:
    page = words(admin, "&repair=start-httpd")
    assert "starts Apache if it" in page
    assert "Start Apache on web01" in page
    assert not Event.objects.filter(kind="server.repair_requested").exists()


def test_a_confirmed_repair_is_waited_for_and_its_result_shown(
    admin: Client, stopped_server: Server
) -> None:
    number = asked(admin)
    waiting = words(admin, f"&asked={number}")
    assert "The result appears here" in waiting
    part = {"HX-Request": "true"}
    assert (
        admin.get(f"{DOCTOR}result/?server=web01&asked={number}", headers=part).status_code == 204
    )
    record_repair(
        "web01", number, "start-httpd", ok=True, message="httpd runs with prefork.", log="AH00558"
    )
    piece = admin.get(f"{DOCTOR}result/?server=web01&asked={number}", headers=part).content.decode()
    assert "httpd runs with prefork." in piece
    assert "AH00558" in piece
    assert "hx-trigger" not in piece
    assert "<html" not in piece
    assert "httpd runs with prefork." in words(admin)


def test_a_repair_that_failed_says_why(admin: Client, stopped_server: Server) -> None:
    number = asked(admin)
    record_repair(
        "web01", number, "start-httpd", ok=False, message="Syntax error in line 7.", log=""
    )
    page = words(admin, f"&asked={number}")
    assert "Syntax error in line 7." in page
    assert 'class="tag red">Failed' in page


def test_an_agent_that_stays_silent_is_not_waited_for_without_end(
    admin: Client, stopped_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = asked(admin)
    later = timezone.now() + timedelta(minutes=4)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    page = words(admin, f"&asked={number}")
    assert "Check the server before you try again" in page
    assert "every 500ms" not in page.split("<main")[1]


def test_what_was_taken_away_outside_is_told_until_somebody_adopts_it(
    admin: Client, server: Server
) -> None:
    profile = server.profile
    assert profile is not None
    rest = tuple(item for item in profile.packages if "ruid2" not in item.name)
    request = request_number(timezone.now() + timedelta(seconds=1))
    outside = record_inspection("web01", request, replace(profile, packages=rest))
    assert outside is not None
    page = words(admin)
    assert 'data-code="packages_removed_outside"' in page
    assert f"External change #{outside.pk} removed" in page
    adopt(outside, ADMIN)
    assert "packages_removed_outside" not in words(admin)


def test_a_change_that_ended_half_way_can_be_taken_back(admin: Client, server: Server) -> None:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    report_steps(change, up_to="packages")
    lost = report(
        9, "finding", code="incomplete_change", title="A person", message="x", remedy="sh undo",
        repair="take-back",
    )  # fmt: skip
    outcome = report(10, "outcome", outcome="failed", decided_by="packages", sentence="ATTENTION")
    record_reports("web01", change.uuid, [lost, outcome])
    path = f"{HISTORY}{change.pk}/"
    page = unescape(admin.get(path).content.decode())
    assert f"{path}rollback/" in page
    assert "repair=take-back#confirm" in page
    assert "is incomplete" in admin.get(f"{path}rollback/").content.decode()
    assert 'data-code="incomplete_change"' in words(admin)
    assert "incomplete change from its restore point" in words(admin, "&repair=take-back")
    number = asked(admin, "take-back")
    record_repair("web01", number, "take-back", ok=False, message="Not yet.")
    assert 'data-code="incomplete_change"' in words(admin)
    number = repair(server, "take-back", ADMIN)
    record_repair("web01", number, "take-back", ok=True, message="As it was.")
    assert 'data-code="incomplete_change"' not in words(admin)


def test_support_reads_the_findings_and_repairs_nothing(
    support: Client, stopped_server: Server
) -> None:
    page = words(support, "&repair=start-httpd")
    assert 'data-code="httpd_down"' in page
    assert "View only. Only administrators can run repairs." in page
    assert "doctor/repair/" not in page
    refused = support.post(f"{DOCTOR}repair/", {"server": "web01", "repair": "start-httpd"})
    assert refused.status_code == 403
    assert not Event.objects.filter(kind="server.repair_requested").exists()


@pytest.mark.parametrize("action", ["", "rm -rf", "start-httpd\0"])
def test_only_repairs_that_are_known_are_asked_for(
    action: str, admin: Client, stopped_server: Server
) -> None:
    admin.post(f"{DOCTOR}repair/", {"server": "web01", "repair": action})
    assert not Event.objects.filter(kind="server.repair_requested").exists()


def test_while_a_change_is_at_work_nothing_is_repaired(
    admin: Client, running_change: Change
) -> None:
    answer = admin.post(
        f"{DOCTOR}repair/", {"server": "web01", "repair": "restart-httpd"}, follow=True
    )
    assert b"finished. Wait until it finishes." in answer.content
    assert not Event.objects.filter(kind="server.repair_requested").exists()


def test_a_failed_change_leads_to_the_repair_of_what_was_recognised(
    admin: Client, support: Client, server: Server
) -> None:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    report_steps(change, up_to="packages")
    logged(change, b"2026-03-03T21:04:11.802Z restart  AH00534: httpd: No MPM loaded.\n")
    finding = report(
        9,
        "finding",
        code="no_mpm",
        title="No MPM is loaded",
        message="It is so.",
        remedy="Settle.",
        repair="settle-mpm",
    )
    outcome = report(10, "outcome", outcome="failed", decided_by="restart", sentence="No MPM.")
    record_reports("web01", change.uuid, [finding, outcome])
    path = f"{HISTORY}{change.pk}/"
    assert "repair=settle-mpm#confirm" in unescape(admin.get(path).content.decode())
    assert "repair=settle-mpm" not in support.get(path).content.decode()
    page = words(admin)
    assert f"The log of failed change #{change.pk}" in page
    assert 'data-code="no_mpm"' in page


def test_a_proxy_that_the_settings_do_not_know_of_is_told(admin: Client, server: Server) -> None:
    background_parts._noted.clear()
    title = b"The panel doesn&#x27;t know the proxy in front of it"
    assert title not in admin.get(DOCTOR).content
    through = {"X-Forwarded-For": "203.0.113.9"}
    with override_settings(TRUSTED_PROXIES=1):
        assert title not in admin.get(DOCTOR, headers=through).content
    assert title in admin.get(DOCTOR, headers=through).content
    assert title in admin.get(DOCTOR).content
    out = io.StringIO()
    call_command("mpm", "doctor", "--server", server.name, stdout=out)  # a warning: status 0
    assert "TRUSTED_PROXIES" in out.getvalue()
    Pulse.objects.filter(name=background_parts.PROXY).update(at=timezone.now() - timedelta(days=2))
    assert title not in admin.get(DOCTOR).content


def test_a_token_that_comes_through_an_unknown_proxy_is_noted_once(
    server: Server, client: Client, django_assert_num_queries: Any
) -> None:
    background_parts._noted.clear()
    for _ in range(2):
        client.get(
            "/api/v1/servers",
            headers={"Authorization": "Bearer x", "X-Forwarded-For": "203.0.113.9"},
        )
    assert background_parts.proxy_and_drops(timezone.now())[0]
    with django_assert_num_queries(0):
        background_parts.note_unknown_proxy(
            RequestFactory().get("/", HTTP_X_FORWARDED_FOR="203.0.113.9")
        )


def test_the_worst_finding_is_first_and_each_has_its_severity_as_a_word(
    admin: Client, known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> None:
    profile = stock_profile()
    facts = {
        **profile.facts,
        "limits": {"MaxRequestWorkers": 150},
        "httpd_said": {"limit_stays_150": "x"},
    }
    known_server("web01", profile=replace(profile, running=None, facts=facts))
    page = words(admin)
    found = page.split('aria-labelledby="found"')[1].split("</section>")[0]
    kinds = [one.split("</span>")[0].strip() for one in found.split('class="kind">')[1:]]
    assert kinds[0] == "Error"
    assert kinds == sorted(kinds, key=["Error", "Warning", "Note"].index)
    assert found.index('data-code="httpd_down"') < found.index('data-code="limit_stays_150"')
    assert "Note" in kinds


def test_the_sidebar_counts_what_is_wrong_with_the_server(
    admin: Client, stopped_server: Server
) -> None:
    page = words(admin)
    entry = page.split('id="tools"')[1].split(">Diagnostics")[1].split("</a>")[0]
    assert "1" in entry.split('id="count-doctor"')[1].split("</span>")[0]


def test_findings_are_held_back_until_the_server_was_checked_after_a_repair(
    admin: Client, stopped_server: Server, stock_profile: Callable[..., Profile]
) -> None:
    number = asked(admin)
    waiting = words(admin, f"&asked={number}")
    assert "Rechecking…" in waiting
    assert "repairAnswered from:body" in waiting
    assert "inert" in waiting
    record_repair("web01", number, "start-httpd", ok=True, message="It runs.")
    part = {"HX-Request": "true"}
    answer = admin.get(f"{DOCTOR}result/?server=web01&asked={number}", headers=part)
    assert answer["HX-Trigger"] == "repairAnswered"
    rechecking = words(admin, f"&asked={number}")
    assert "Rechecking…" in rechecking
    assert 'hx-trigger="every 1s"' in rechecking
    request = request_number(timezone.now() + timedelta(seconds=1))
    record_inspection("web01", request, stock_profile())
    checked = words(admin, f"&asked={number}")
    assert "Rechecking…" not in checked
    assert "httpd_down" not in checked
    assert "It runs." in checked
