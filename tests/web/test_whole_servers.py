"""A server that is not whole never looks whole: on no page, in no list, in neither interface. And
no change starts on it, whoever asks and however."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Observation, Profile
from mpm.access.services.actor import BadRequest, Refused
from mpm.changes.services.cancel import cancel
from mpm.changes.services.planning import plan_for
from mpm.changes.services.record import record_reports
from mpm.changes.services.repairs import record_repair, repair
from mpm.changes.services.request import request_change, would_change
from mpm.changes.services.rollback import roll_back, rollback_plan
from mpm.changes.services.sharing import share
from mpm.models import Change
from mpm.servers.health import health_of, with_health
from mpm.servers.inventory import record_scan
from mpm.servers.models import Server
from mpm.servers.overview import server_now
from tests.web.conftest import ADMIN, HISTORY, MPM, answered_preview, report

StockProfile = Callable[..., Profile]


def failed_half_way(server: Server, to: str = "event") -> Change:
    """A change whose packages were touched, and that could not be undone."""
    change = request_change(server, Choice.parse(to), actor=ADMIN)
    said = {
        "outcome": "failed",
        "decided_by": "restart",
        "sentence": "As root, run: sh /var/spool/ea4/x/kit/undo",
    }
    record_reports(
        server.name,
        change.uuid,
        [
            report(1, "step", step="packages", status="started"),
            report(2, "step", step="restart", status="started"),
            report(3, "outcome", **said),
        ],
    )
    change.refresh_from_db()
    return change


def repaired(server: Server) -> None:
    asked = repair(server, "take-back", ADMIN)
    record_repair(server.name, asked, "take-back", ok=True, message="It is undone.")


def page(client: Client, path: str) -> str:
    return unescape(client.get(path).content.decode())


def row_of(server: Server) -> Server:
    return with_health(Server.objects.filter(pk=server.pk)).get()


def test_an_incomplete_change_is_critical_on_every_page_until_it_is_undone(
    admin: Client, support: Client, server: Server
) -> None:
    change = failed_half_way(server)
    paths = ("/", "/servers/", "/servers/web01/", MPM, HISTORY, f"{HISTORY}{change.pk}/", "/users/")
    for path in paths:
        for client in (admin, support):
            said = page(client, f"{path}?server=web01")
            assert f"Change #{change.pk} didn't finish and couldn't be undone" in said, path
            bar = said.split('class="chosen"')[1].split("</button>")[0]
            assert 'class="dot critical"' in bar
            assert "Needs attention" in bar
            assert "Open Diagnostics" in said
    repaired(server)
    for path in paths:
        said = page(admin, f"{path}?server=web01")
        assert "didn't finish" not in said, path
        assert 'class="dot healthy"' in said


def test_chooser_and_review_refuse_a_change_on_an_incomplete_one_and_offer_one_way_out(
    admin: Client, server: Server
) -> None:
    preview = answered_preview(server, Choice.parse("worker"))
    failed_half_way(server)
    for path in (f"{MPM}?mpm=worker", f"{MPM}plan/?mpm=worker", f"{MPM}review/{preview.uuid}/"):
        said = page(admin, path)
        finding = said.split('data-code="incomplete_change"')[1].split("</div>")[0]
        assert "Blocker" in finding
        assert "/doctor/?server=web01" in finding
        assert 'formaction="/software/easyapache4/mpm/ask/"' not in said
        assert "Change web01 from" not in said


def test_every_service_refuses_a_change_on_an_incomplete_one(server: Server) -> None:
    earlier = request_change(server, Choice.parse("event"), actor=ADMIN)
    preview = answered_preview(server, Choice.parse("worker"))
    cancel(earlier, ADMIN)
    failed = failed_half_way(server)
    asks: tuple[Callable[[], object], ...] = (
        lambda: request_change(server, Choice.parse("worker"), actor=ADMIN),
        lambda: would_change(server, Choice.parse("worker"), actor=ADMIN),
        # What the server is by its packages is no reason to call it done.
        lambda: request_change(server, Choice.parse("prefork"), actor=ADMIN),
        lambda: request_change(
            server, Choice.parse("worker"), actor=ADMIN, preview=preview, digest=preview.digest
        ),
        lambda: request_change(
            server,
            Choice.parse("worker"),
            actor=ADMIN,
            not_before=timezone.now() + timedelta(hours=1),
        ),
    )
    for ask in asks:
        with pytest.raises(Refused) as refused:
            ask()
        assert "incomplete_change" in {finding.code for finding in refused.value.findings}
    assert Change.objects.count() == 2
    assert "incomplete_change" not in {item.code for item in rollback_plan(failed).blocks}
    repaired(server)
    assert request_change(server, Choice.parse("worker"), actor=ADMIN).pk


def test_rest_and_command_line_say_the_same_as_the_pages(server: Server) -> None:
    change = failed_half_way(server)
    health = health_of(server)
    assert [(item.code, item.change) for item in health.problems] == [
        ("incomplete_change", change.pk)
    ]
    assert server_now(server).health.as_json() == health.as_json()
    for words in (["server", "show", "web01"], ["server", "list"]):
        out = io.StringIO()
        call_command("mpm", *words, "--json", stdout=out)
        answer = json.loads(out.getvalue())
        [answer] = answer.get("items", [answer])
        assert answer["health"] == health.as_json()
        out = io.StringIO()
        call_command("mpm", *words, stdout=out)
        assert "Needs attention" in out.getvalue()
    out = io.StringIO()
    call_command("mpm", "status", stdout=out)
    assert health.problems[0].sentence in out.getvalue()


def torn(profile: Profile, what: str) -> Profile:
    event = Observation(("event",))
    if what == "pending_restart":
        return replace(profile, running=event)
    if what == "several_mpms":
        return replace(profile, configured=Observation(("event", "prefork")))
    if what == "httpd_down":
        return replace(profile, running=None)
    return replace(profile, facts={**profile.facts, "unfinished_transaction": "218"})


@pytest.mark.parametrize(
    "what", ["pending_restart", "several_mpms", "httpd_down", "unfinished_transaction"]
)
def test_what_a_scan_shows_to_be_wrong_is_critical_until_a_scan_shows_it_mended(
    what: str, admin: Client, server: Server, stock_profile: StockProfile
) -> None:
    record_scan(server, torn(stock_profile(), what), timezone.now(), "scan")
    assert [item.code for item in health_of(server).problems] == [what]
    assert 'class="dot critical"' in page(admin, "/")
    assert "Needs attention" in page(admin, "/servers/").split("<tbody>")[1]
    record_scan(server, stock_profile(), timezone.now(), "scan")
    assert health_of(server).problems == ()


def test_a_silent_agent_is_a_warning_on_every_page_and_in_every_plan(
    admin: Client, server: Server
) -> None:
    Server.objects.filter(pk=server.pk).update(last_seen_at=timezone.now() - timedelta(minutes=5))
    server.refresh_from_db()
    assert 'class="dot warning"' in page(admin, "/")
    assert 'data-code="agent_offline"' in page(admin, f"{MPM}?mpm=event")
    plan = plan_for(server, Choice.parse("event"))
    assert "agent_offline" in {finding.code for finding in plan.findings}


def test_a_late_word_of_the_agent_settles_what_was_closed_or_failed(server: Server) -> None:
    change = failed_half_way(server)
    assert health_of(server).incomplete_change == change.pk
    said = {"outcome": "restored", "decided_by": "verify", "sentence": "It is as before."}
    record_reports("web01", change.uuid, [report(4, "outcome", **said)])
    assert health_of(server).incomplete_change is None


# -- whose page it is ------------------------------------------------------------------------------


def test_every_link_of_the_frame_names_the_server(
    admin: Client, server: Server, known_server: Callable[..., Server]
) -> None:
    known_server("app01")
    for path in ("/?server=web01", f"{MPM}?server=web01", "/users/?server=web01"):
        said = page(admin, path)
        for part in ('id="tools"', 'class="crumbs"', 'id="account-menu"'):
            inside = said.split(part)[1].split("</nav>")[0]
            links = [link for link in re.findall(r'href="(/[^"]*)"', inside) if "docs" not in link]
            assert [link for link in links if "server=web01" not in link] == [], (path, part)
    chooser = page(admin, f"{MPM}?server=web01")
    assert "Apache MPM on web01" in chooser.split("<h1>")[1].split("</h1>")[0]
    assert re.search(r'href="[^"]*server=web01">\s*Reset', chooser)
    assert "Review change for web01" in chooser
    assert chooser.split('id="summary"')[1].split("</p>")[0].count("web01")


def test_a_choice_in_another_tab_changes_nothing_in_this_one(
    admin: Client, server: Server, known_server: Callable[..., Server]
) -> None:
    known_server("app01")
    admin.get("/?server=web01")
    admin.get("/?server=app01")
    came_from = {"Referer": "http://testserver/users/?server=web01"}
    back = admin.post("/preferences/", {"theme": "dark", "next": "/users/"}, headers=came_from)
    assert "server=web01" in back["Location"]
    said = unescape(admin.get("/users/", headers=came_from).content.decode())
    assert "web01" in said.split('class="chosen"')[1].split("</button>")[0]
    elsewhere = {"Referer": "http://elsewhere.example/?server=web01"}
    said = unescape(admin.get("/users/", headers=elsewhere).content.decode())
    assert "app01" in said.split('class="chosen"')[1].split("</button>")[0]


# -- what became of it -----------------------------------------------------------------------------


def test_a_repair_stands_on_the_change_it_undid_and_nothing_is_offered_twice(
    admin: Client, server: Server
) -> None:
    change = failed_half_way(server)
    path = f"{HISTORY}{change.pk}/"
    assert "rollback/" in page(admin, path)
    repaired(server)
    said = page(admin, path)
    assert "Repaired" in said.split('id="aftermath"')[1].split("</div>")[0]
    assert "requested by ada" in said
    assert f"{path}rollback/" not in said
    assert "repair=take-back" not in said
    assert ">repaired<" in page(admin, HISTORY)
    shared = share(change, ADMIN, 7)
    assert "Failed, repaired" in page(Client(), f"/shared/{shared.token}/")


def test_a_rollback_that_runs_and_one_that_is_done_stand_on_the_change(
    admin: Client, server: Server, finished_change: Change, stock_profile: StockProfile
) -> None:
    from tests.web.conftest import report_steps

    record_scan(server, stock_profile("worker"), timezone.now(), "scan")
    path = f"{HISTORY}{finished_change.pk}/"
    assert f"{path}rollback/" in page(admin, path)
    back = roll_back(finished_change, ADMIN)
    said = page(admin, path)
    assert "Being rolled back" in said
    assert f"{path}rollback/" not in said
    report_steps(back, outcome="succeeded")
    assert f"rolled back by #{back.pk}" in page(admin, path)
    assert f"rolled back by #{back.pk}" in page(admin, HISTORY)
    shared = share(finished_change, ADMIN, 7)
    assert "Succeeded, rolled back later" in page(Client(), f"/shared/{shared.token}/")


def test_a_change_that_was_not_started_says_so_and_can_be_tried_again(
    admin: Client, server: Server
) -> None:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    said = {"outcome": "failed", "decided_by": "preflight", "sentence": "The lock is held."}
    record_reports("web01", change.uuid, [report(1, "outcome", **said)])
    shown = page(admin, f"{HISTORY}{change.pk}/")
    assert "Not started" in shown
    assert re.search(r'href="[^"]*mpm=event[^"]*">Try again', shown)
    again = request_change(server, Choice.parse("event"), actor=ADMIN)
    assert f"retried as #{again.pk}" in page(admin, f"{HISTORY}{change.pk}/")


def test_a_customer_reads_nothing_of_the_inside(server: Server, admin: Client) -> None:
    Server.objects.filter(pk=server.pk).update(hostname="web01.example.net")
    change = failed_half_way(server)
    inside = page(admin, f"{HISTORY}{change.pk}/")
    assert "/var/spool/ea4" in inside
    share_part = page(admin, f"{HISTORY}{change.pk}/?part=share")
    ticket = share_part.split('id="ticket-text"')[1].split("</textarea>")[0]
    outward = page(Client(), f"/shared/{share(change, ADMIN, 7).token}/")
    for text in (ticket, outward):
        assert "web01.example.net" in text
        assert "UTC" in text
        assert "Not resolved yet." in text
        for secret in ("/var/spool", "As root", "ada", "127.0.0.1"):
            assert secret not in text, secret


def test_whoever_makes_a_link_chooses_what_it_shows_beside_the_outcome(
    admin: Client, finished_change: Change
) -> None:
    path = f"{HISTORY}{finished_change.pk}/share/"
    plain = page(Client(), f"/shared/{share(finished_change, ADMIN, 7).token}/")
    assert "Long keep-alive" not in plain
    assert "Requested by" not in plain
    admin.post(path, {"days": "7", "include": ["requester", "reason", "checks"]})
    shown = page(admin, f"{HISTORY}{finished_change.pk}/?part=share")
    found = re.search(r'value="http://testserver(/shared/[^"]+)"', shown)
    assert found
    full = page(Client(), found[1])
    assert "Long keep-alive" in full
    assert "ada" in full
    assert "1 of 1 passed" in full
    with pytest.raises(BadRequest):
        share(finished_change, ADMIN, 7, ["log"])


# -- what is predicted -----------------------------------------------------------------------------


def measured(server: Server, result: str, refused: int, method: str) -> None:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    noticed = {"probes": 100, "refused": refused, "reset": 0, "longest_wait_ms": 5.0}
    record_reports(
        server.name,
        change.uuid,
        [
            report(1, "step", step="restart", status="started"),
            report(2, "interruption", method=method, **noticed),
            report(3, "outcome", outcome=result, decided_by="verify", sentence="It ended."),
        ],
    )


def test_a_prediction_counts_every_outcome_of_the_same_restart_method(
    admin: Client, server: Server
) -> None:
    how = {"restart_method": "overlap", "restart_reason": "it can"}
    Server.objects.filter(pk=server.pk).update(agent={"capabilities": how})
    measured(server, "succeeded", 12, "start")
    measured(server, "succeeded", 0, "overlap")
    measured(server, "restored", 0, "overlap")
    measured(server, "restored", 3, "overlap")
    preview = answered_preview(server, Choice.parse("event"))
    said = page(admin, f"{MPM}review/{preview.uuid}/")
    assert "2 of 3 earlier changes: no connection refused." in said
    assert "2 failed and were rolled back automatically." in said
    assert "12 connections" not in said
    assert "0 connections refused" not in page(admin, f"{MPM}?mpm=event")
