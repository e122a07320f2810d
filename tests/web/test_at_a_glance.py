"""What a page says at a glance: severities as words with icons, the risk before the packages, what
a click has done, and buttons that make sense."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape

from django.test import Client
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Profile
from mpm.changes.services.planning import plan_for
from mpm.changes.services.request import request_change
from mpm.history.prediction import predicted
from mpm.models import Change, Webhook
from mpm.servers.models import Server
from tests.panel.reports import outside_change
from tests.web.conftest import ADMIN, HISTORY, MPM, answered_preview
from tests.web.test_whole_servers import measured

FINDING = re.compile(r'<div class="finding (\w+)".*?</h3>', re.DOTALL)
WORDS = {"block": "Blocker", "warn": "Warning", "note": "Note", "gain": "Benefit"}
SUEXEC = "ea-apache24-mod_suexec"
EXTRA = "ea-apache24-mod_version"


def page(client: Client, path: str) -> str:
    return client.get(path).content.decode()


def words(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def review(client: Client, server: Server, choice: Choice) -> str:
    return page(client, f"{MPM}review/{answered_preview(server, choice).uuid}/")


def test_every_finding_has_its_severity_as_an_icon_and_a_word_that_is_seen(
    admin: Client, server: Server
) -> None:
    shown = {
        "chooser": page(admin, f"{MPM}?server=web01&mpm=event"),
        "blocked": page(admin, f"{MPM}?server=web01&mpm=event&itk=on"),
        "review": review(admin, server, Choice.parse("event")),
    }
    seen = set()
    for where, markup in shown.items():
        found = list(FINDING.finditer(markup))
        assert found, where
        for one in found:
            assert "<svg" in one[0], where
            assert 'class="unseen"' not in one[0], where
            assert WORDS[one[1]] in words(one[0]), (where, one[0])
            seen.add(one[1])
    assert seen >= {"block", "warn", "note", "gain"}


def test_a_review_names_the_risk_above_the_packages(admin: Client, server: Server) -> None:
    markup = review(admin, server, Choice.parse("event"))
    places = [
        markup.index(text) for text in ("If it fails", 'id="findings-title"', '<h2 id="packages">')
    ]
    assert places == sorted(places)
    assert "Restored automatically" in words(markup)
    assert re.search(r"\d warnings?", words(markup[: places[1]]))


def test_what_is_not_possible_is_not_recommended_and_its_way_out_is_the_primary_button(
    admin: Client, server: Server
) -> None:
    markup = page(admin, f"{MPM}?server=web01&mpm=event&itk=on")
    row = markup.partition('id="mpm-event"')[2].partition('id="mpm-worker"')[0]
    assert "recommended here" not in row
    assert "not possible" in words(row)
    blocker = markup.partition('<div class="finding block"')[2].partition("</div>")[0]
    assert blocker.count("button small primary") == 1
    button = re.search(r"<button[^>]*>\s*Review change", markup)
    assert button
    assert "disabled" in button[0]
    assert "primary" not in button[0]


def test_a_fix_that_was_taken_stays_as_done_with_a_way_to_undo_it(
    admin: Client, server: Server
) -> None:
    before = page(admin, f"{MPM}?server=web01&mpm=event")
    assert "Scripts run as user nobody" in before
    after = page(admin, f"{MPM}?server=web01&mpm=event&add={SUEXEC}")
    assert "Scripts run as user nobody" not in after
    done = after.partition('<ul class="resolved"')[2].partition("</ul>")[0]
    assert "mod_suexec will be installed. Undo" in words(f">{done}")


def test_the_stepper_has_names_and_durations_and_no_text_that_is_cut(
    admin: Client, finished_change: Change
) -> None:
    steps = page(admin, f"{HISTORY}{finished_change.pk}/").partition('<ol class="steps')[2]
    for item in steps.partition("</ol>")[0].split("<li")[1:]:
        said = words(f"<li{item}".partition("</li>")[0])
        assert re.fullmatch(r"[A-Z][a-z]+( [a-z]+)? (< )?[\d.]+ m?s", said), said


def test_what_was_canceled_says_so_once(admin: Client, server: Server) -> None:
    """No note that a cancel was requested stands beside its result."""
    start = timezone.now() + timedelta(hours=2)
    change = request_change(server, Choice.parse("event"), actor=ADMIN, not_before=start)
    answer = admin.post(f"{HISTORY}{change.pk}/cancel/", follow=True)
    change.refresh_from_db()
    assert change.finished
    said = words(answer.content.decode())
    assert "Cancel requested" not in said
    assert "Canceled. Nothing was changed. Canceled by ada." in said


def test_a_simulated_server_shows_no_figures_of_visitors_it_has_not(
    admin: Client, server: Server
) -> None:
    measured(server, "succeeded", 0, "simulated")
    change = Change.objects.get()
    said = words(page(admin, f"{HISTORY}{change.pk}/?part=impact"))
    assert "Visitor impact isn’t measured on a simulated server." in said
    assert "Longest wait" not in said.partition("Visitor impact isn’t")[2]
    assert 'class="probes"' not in page(admin, f"{HISTORY}{change.pk}/?part=impact")


def test_an_external_change_of_a_package_is_named_by_it_and_offers_one_pair_of_buttons(
    admin: Client, server: Server
) -> None:
    change = outside_change(server, Choice.parse("prefork", add=[EXTRA]))
    markup = page(admin, f"{HISTORY}{change.pk}/")
    title = words(markup.partition("<h1>")[2].partition("</h1>")[0])
    assert title.startswith("mod_version installed on web01")
    main = markup.partition("<main")[2]
    assert len(re.findall(r">\s*Accept\s*<", main)) == 1
    assert len(re.findall(r">\s*Roll back…\s*<", main)) == 1
    assert "button primary" not in main
    assert "External change" in words(page(admin, "/").partition('class="attention"')[2])
    back = words(page(admin, f"{HISTORY}{change.pk}/rollback/"))
    assert "Restore packages on web01" in back
    assert "back to prefork" not in back


def test_a_webhook_is_created_by_a_form_that_leaves_the_browser_on_a_page(
    admin: Client, server: Server
) -> None:
    form = {
        "name": "Chat",
        "url": "https://8.8.8.8/x",
        "format": "generic",
        "kinds": ["change.failed"],
    }
    answer = admin.post("/webhooks/add/", form, follow=True)
    made = Webhook.objects.get()
    assert answer.redirect_chain == [(f"/webhooks/{made.uuid}/", 302)]
    assert b"whsec_" not in admin.get(answer.redirect_chain[-1][0]).content


def test_no_uptime_is_promised_where_apache_does_not_run(
    admin: Client, known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> None:
    whole = stock_profile()
    down = {**whole.facts, "running_error": "Apache does not answer."}
    stopped = replace(whole, running=None, facts=down)
    server = known_server("web02", stopped)
    how = {"restart_method": "overlap", "restart_reason": "it can"}
    Server.objects.filter(pk=server.pk).update(agent={"capabilities": how})
    server.refresh_from_db()
    pages = {
        "chooser": page(admin, f"{MPM}?server=web02&mpm=event"),
        "review": review(admin, server, Choice.parse("event")),
    }
    for where, markup in pages.items():
        said = words(markup)
        assert "Apache isn’t running" in said, where
        assert "no downtime expected" not in said, where
        assert "None expected" not in said, where
    assert predicted(server, plan_for(server, Choice.parse("event"))).method == "start"
