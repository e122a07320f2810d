"""A change that waits for its maintenance window: what its page shows, and how it is moved."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import expect

from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Profile
from mpm.access.services.actor import Actor, BadRequest, NotAllowed, Stale, TooLate
from mpm.changes.services.request import request_change
from mpm.changes.services.reschedule import reschedule
from mpm.models import Change, State
from mpm.servers.inventory import record_scan
from mpm.servers.models import Server
from mpm.templatetags.panel import window_in_words
from tests.browser import acknowledge, give_password
from tests.desk import Desk
from tests.visits import MPM
from tests.web.conftest import ADMIN, HISTORY
from tests.web.conftest import MPM as MPM_PAGE

WAIT = timedelta(hours=5, minutes=58, seconds=30)


@pytest.fixture
def waiting(server: Server) -> Change:
    """A change that waits almost six hours for a window of an hour."""
    start = timezone.now() + WAIT
    window: dict[str, Any] = {"not_before": start, "not_after": start + timedelta(hours=1)}
    return request_change(
        server, Choice.parse("event"), actor=ADMIN, reason="Quiet hours", ticket="T-9", **window
    )


def times(start: datetime, end: datetime | None = None) -> dict[str, str]:
    """What a browser sends."""
    known = {"not_before": start, **({"not_after": end} if end else {})}
    return {name: f"{at:%Y-%m-%dT%H:%M}" for name, at in known.items()}


def page_of(client: Client, path: str) -> str:
    return " ".join(unescape(client.get(path).content.decode()).split())


def test_a_scheduled_change_shows_its_window_and_is_asked_for_every_quarter_of_a_minute(
    admin: Client, waiting: Change
) -> None:
    page = page_of(admin, f"{HISTORY}{waiting.pk}/")
    assert waiting.not_before is not None
    window = window_in_words(waiting.not_before, waiting.not_after)
    assert f"Scheduled for {window}" in page
    assert re.search(r"starts in 5 h 5[678] min", page)
    assert 'hx-trigger="every 15s"' in page
    assert "every 500ms" not in page
    assert "Don’t start after" in page
    chooser = page_of(admin, MPM if MPM.startswith("/") else f"/{MPM}")
    assert f"Change #{waiting.pk} is scheduled." in chooser
    assert f"{HISTORY}{waiting.pk}/#cancel" in chooser


def test_a_window_is_said_with_its_day_and_zone_once() -> None:
    start = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
    hour, day = timedelta(hours=1), timedelta(days=1)
    assert window_in_words(start, start + hour) == "Dec 1, 2026, 3:00 AM–4:00 AM UTC"
    assert window_in_words(start, None) == "Dec 1, 2026, 3:00 AM UTC"
    both = "Dec 1, 2026, 3:00 AM UTC – Dec 2, 2026, 3:00 AM UTC"
    assert window_in_words(start, start + day) == both


def test_a_schedule_is_edited_by_canceling_the_change_and_requesting_it_anew(
    admin: Client, support: Client, waiting: Change
) -> None:
    path = f"{HISTORY}{waiting.pk}/schedule/"
    start = (timezone.now() + timedelta(days=1)).replace(second=0, microsecond=0)
    end = start + timedelta(hours=3)
    sent = times(start, end)
    assert support.post(path, sent).status_code == 403
    answer = admin.post(path, sent, follow=True)
    assert b"Schedule changed." in answer.content
    new = Change.objects.get(state=State.SCHEDULED)
    assert answer.redirect_chain == [(f"{HISTORY}{new.pk}/", 302)]
    assert (new.reason, new.ticket, new.digest) == ("Quiet hours", "T-9", waiting.digest)
    assert (new.not_before, new.not_after) == (start, end)
    waiting.refresh_from_db()
    assert waiting.state == State.CANCELED
    assert "Rescheduled by ada" in waiting.sentence
    assert f"change #{new.pk}" in page_of(admin, f"{HISTORY}{waiting.pk}/")


def test_a_window_that_cannot_be_leaves_the_schedule_as_it_was(
    admin: Client, waiting: Change
) -> None:
    path = f"{HISTORY}{waiting.pk}/schedule/"
    before = waiting.not_before
    start = timezone.now() + timedelta(days=1)
    for sent in ({}, times(start, start - timedelta(hours=1))):
        answer = admin.post(path, sent, follow=True)
        assert b"notice error" in answer.content
    waiting.refresh_from_db()
    assert (waiting.state, waiting.not_before) == (State.SCHEDULED, before)
    assert Change.objects.count() == 1


def test_only_what_still_waits_on_an_unchanged_server_is_rescheduled(
    waiting: Change, server: Server, stock_profile: Callable[..., Profile]
) -> None:
    later = timezone.now() + timedelta(days=1)
    with pytest.raises(NotAllowed):
        reschedule(waiting, Actor(name="sue", role="support"), later)
    with pytest.raises(BadRequest):
        reschedule(waiting, ADMIN, later, later - timedelta(minutes=1))
    record_scan(server, stock_profile("worker"), timezone.now(), "scan")
    with pytest.raises(Stale):
        reschedule(waiting, ADMIN, later)
    waiting.refresh_from_db()
    assert waiting.state == State.SCHEDULED
    Change.objects.filter(pk=waiting.pk).update(state=State.QUEUED)
    with pytest.raises(TooLate):
        reschedule(waiting, ADMIN, later)


@pytest.mark.browser
def test_a_schedule_without_a_start_is_said_at_the_top_with_the_focus_on_it(desk: Desk) -> None:
    page = desk.open(f"{MPM}review/{{review_later}}/")
    page.get_by_label("Ticket").fill("HOST-4500")
    page.get_by_label("Schedule").check()
    acknowledge(page)
    page.get_by_role("button", name="Schedule change for web14").click()
    errors = page.locator("#errors")
    expect(errors).to_be_in_viewport()
    expect(errors).to_be_focused()
    expect(page.get_by_label("Ticket")).to_have_value("HOST-4500")
    errors.get_by_role("link", name="Enter a start time.").click()
    expect(page.get_by_label("Start after", exact=True)).to_be_focused()
    page.reload()
    expect(page.locator("#errors")).to_have_count(0)
    expect(page.get_by_label("Ticket")).to_have_value("HOST-4500")


@pytest.mark.browser
def test_what_was_typed_outlives_a_session_that_expires(desk: Desk) -> None:
    page = desk.another()
    desk.open(f"{MPM}review/{{review_answered}}/", page)
    page.get_by_label("Reason").fill("typed before the session expired")
    page.get_by_label("Ticket").fill("HOST-4501")
    acknowledge(page)
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name=re.compile("^Change web03")).click()
    page.wait_for_url("**/login/**")
    give_password(page, desk.panel)
    page.wait_for_url("**/review/**")
    expect(page.get_by_label("Reason")).to_have_value("typed before the session expired")
    expect(page.get_by_label("Ticket")).to_have_value("HOST-4501")


def test_while_a_change_is_scheduled_no_other_is_reviewed_and_the_chooser_says_why(
    admin: Client, waiting: Change
) -> None:
    for path in (MPM_PAGE, f"{MPM_PAGE}?mpm=event", f"{MPM_PAGE}plan/?mpm=worker"):
        page = page_of(admin, path)
        bar = page.split('id="review"')[1].split("</button>")[0]
        assert f"Change #{waiting.pk} is scheduled." in bar
        assert f'href="{HISTORY}{waiting.pk}/"' in bar
        assert f'href="{HISTORY}{waiting.pk}/#cancel"' in bar
        assert '<button class="button" disabled' in bar
    Change.objects.filter(pk=waiting.pk).update(state=State.CANCELED)
    for path in (f"{MPM_PAGE}?mpm=event", f"{MPM_PAGE}plan/?mpm=worker"):
        bar = page_of(admin, path).split('id="review"')[1].split("</button>")[0]
        assert "is scheduled" not in bar
        assert "disabled" not in bar


def test_the_scheduled_change_is_a_click_away_from_the_chooser(desk: Desk) -> None:
    page = desk.open(f"{MPM}?server=web12&mpm=event")
    number = desk.known["scheduled"]
    bar = page.locator("#review")
    expect(bar).to_contain_text(f"Change #{number} is scheduled.")
    expect(bar.get_by_role("button", name="Review change")).to_be_disabled()
    with page.expect_response("**/mpm/plan/**"):
        page.get_by_role("radio", name="worker", exact=True).check()
    expect(bar).to_contain_text(f"Change #{number} is scheduled.")
    bar.get_by_role("link", name="Cancel it").click()
    expect(page).to_have_url(re.compile(rf"/{number}/.*#cancel$"))
    expect(page.get_by_role("button", name="Cancel change")).to_be_in_viewport()
