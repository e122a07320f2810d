"""A rollback is reviewed as any change is: with what the server's own package manager says."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape

import pytest
from django.test import Client
from playwright.sync_api import expect

from easyapache.ea4.mpm import Choice
from easyapache.ea4.protocol import Failure
from mpm.access.services.actor import NotFound
from mpm.changes.services.lookup import preview_with
from mpm.changes.services.planning import answer_for
from mpm.changes.services.rollback import roll_back, rollback_plan
from mpm.models import Change, Preview
from mpm.servers.models import Server
from mpm.servers.services.inspection import record_preview
from tests.browser import RULES, acknowledge, faults
from tests.desk import Desk
from tests.panel.reports import ADMIN, carried_out, finish
from tests.visits import HISTORY as CHANGES
from tests.visits import MPM
from tests.web.conftest import HISTORY

FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def changed(known_server: Callable[..., Server]) -> Change:
    return carried_out(known_server("web01"), Choice.parse("event"))


def words(text: bytes) -> str:
    return " ".join(unescape(text.decode()).split())


def asked(client: Client, change: Change) -> Preview:
    """Without JavaScript, as the button does it."""
    answer = client.post(f"{HISTORY}{change.pk}/rollback/plan/")
    preview = Preview.objects.get()
    assert answer["Location"].startswith(f"{HISTORY}{change.pk}/rollback/{preview.uuid}/")
    return preview


def page_of(client: Client, change: Change, preview: Preview, **headers: str) -> str:
    path = f"{HISTORY}{change.pk}/rollback/{preview.uuid}/"
    return words(client.get(path, headers=headers).content)


def test_the_review_asks_by_itself_and_shows_an_estimate_until_the_answer(
    admin: Client, changed: Change
) -> None:
    page = words(admin.get(f"{HISTORY}{changed.pk}/rollback/").content)
    assert f'hx-post="{HISTORY}{changed.pk}/rollback/plan/" hx-trigger="load"' in page
    assert '<span class="tag">estimate</span>' in page
    assert "You can install it with this change" not in page, "a rollback adds nothing"
    assert not Preview.objects.exists(), "a page that is only read asks nothing"
    fragment = admin.post(f"{HISTORY}{changed.pk}/rollback/plan/", headers=FRAGMENT)
    preview = Preview.objects.get()
    assert (preview.undo_of, preview.goal) == (changed.uuid, rollback_plan(changed).goal.as_json())
    assert "Getting the plan from web01" in words(fragment.content)
    waiting = f"{HISTORY}{changed.pk}/rollback/{preview.uuid}/"
    assert f'hx-get="{waiting}"' in fragment.content.decode()
    assert admin.get(waiting, headers=FRAGMENT).status_code == 204


def test_an_answer_that_matches_confirms_the_plan(admin: Client, changed: Change) -> None:
    preview, plan = asked(admin, changed), rollback_plan(changed)
    profile = changed.server.profile
    assert profile is not None
    record_preview("web01", preview.uuid, plan.transaction, None, profile)
    for page in (
        page_of(admin, changed, preview),
        page_of(admin, changed, preview, **FRAGMENT),
    ):
        assert "Confirmed by the package manager on web01. Matches the estimate." in page
        assert '<span class="tag green">confirmed by server</span>' in page
        assert page.count("Confirmed by the package manager") == 1


def test_an_answer_that_differs_says_where_the_packages_come_from_then(
    admin: Client, changed: Change
) -> None:
    preview, plan = asked(admin, changed), rollback_plan(changed)
    profile = changed.server.profile
    assert profile is not None
    moves = replace(plan.transaction, install=plan.transaction.install[1:])
    record_preview("web01", preview.uuid, moves, None, profile)
    page = page_of(admin, changed, preview, **FRAGMENT)
    assert "The repositories would install other packages" in page
    assert "takes the packages from restore points" in page
    assert '<span class="tag">estimate</span>' in page


def test_a_server_that_cannot_say_leaves_the_rollback_possible(
    admin: Client, changed: Change
) -> None:
    preview = asked(admin, changed)
    error = Failure("repository", "The repository EA4 can't be reached.")
    record_preview("web01", preview.uuid, error=error)
    page = page_of(admin, changed, preview)
    assert "The repository EA4 can't be reached." in page
    assert "takes the packages from restore points" in page
    assert re.search(r'<button class="button primary">(?:(?!disabled).)*Roll web01 back', page)


def test_the_answer_to_a_rollback_is_none_to_a_selection(admin: Client, changed: Change) -> None:
    preview, plan = asked(admin, changed), rollback_plan(changed)
    profile = changed.server.profile
    assert profile is not None
    record_preview("web01", preview.uuid, plan.transaction, None, profile)
    assert answer_for(changed.server, plan.choice, profile) is None
    with pytest.raises(NotFound):
        preview_with(preview.uuid)
    assert admin.get(f"/software/easyapache4/mpm/review/{preview.uuid}/").status_code == 404


def test_support_asks_no_server_and_a_plan_of_another_change_is_not_found(
    support: Client, admin: Client, changed: Change
) -> None:
    assert "hx-post" not in words(support.get(f"{HISTORY}{changed.pk}/rollback/").content)
    assert support.post(f"{HISTORY}{changed.pk}/rollback/plan/").status_code == 403
    other = carried_out(changed.server, Choice.parse("worker"))
    preview = asked(admin, changed)
    assert admin.get(f"{HISTORY}{other.pk}/rollback/{preview.uuid}/").status_code == 404


def test_what_cannot_be_rolled_back_says_so_in_place_of_a_plan(
    admin: Client, changed: Change
) -> None:
    finish(roll_back(changed, ADMIN))
    refused = admin.post(f"{HISTORY}{changed.pk}/rollback/plan/", headers=FRAGMENT)
    assert "was already rolled back by change" in words(refused.content)
    assert not Preview.objects.exists()


def test_a_rollback_is_confirmed_by_the_server_before_a_person_confirms_it(desk: Desk) -> None:
    page = desk.open(f"{MPM}?server={{server}}&mpm=event")
    if page.get_by_text("No changes needed").count():
        page = desk.open(f"{MPM}?server={{server}}&mpm=prefork")
    page.get_by_role("button", name="Review change").click()
    page.wait_for_url("**/review/**")
    acknowledge(page)
    page.locator("#decide").get_by_role("button").click()
    page.wait_for_url(re.compile(rf"/{CHANGES}\d+/"))
    expect(page.locator("#outcome-title")).to_contain_text("Succeeded", timeout=60_000)
    page.get_by_role("link", name="Roll back…").click()
    expect(page.locator("#impact")).to_contain_text("confirmed by server", timeout=30_000)
    expect(page.locator("#answer")).to_contain_text("Matches the estimate.")
    assert faults(page, RULES) == []
