"""A door says no to what a server is, not to what it was when it was last scanned."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Profile
from mpm.access.services.actor import Actor, NothingToDo
from mpm.access.tokens import issue
from mpm.changes.services.fresh_look import look_again, on_a_fresh_look
from mpm.changes.services.planning import plan_for
from mpm.changes.services.request import request_change
from mpm.models import Change
from mpm.servers.inventory import record_scan
from mpm.servers.models import InstalledProfile, Server
from tests.panel_fixtures import House

ADMIN = Actor(name="anna", role="administrator")
EVENT = {
    "install": "ea-apache24-mod_mpm_event",
    "uninstall": [
        "ea-apache24-mod_mpm_prefork",
        "ea-apache24-mod_cgi",
        "ea-apache24-mod_ruid2",
    ],
}


def seen_broken(server: Server) -> None:
    """The last scan found a configuration that httpd refuses; it has been mended since."""
    profile = server.profile
    assert profile is not None
    facts = {**profile.facts, "configured_error": "AH00526: Syntax error on line 1 of a.conf"}
    record_scan(server, replace(profile, configured=None, facts=facts), timezone.now(), "scan")


def seen_as(server: Server, profile: Profile) -> None:
    record_scan(server, profile, timezone.now(), "scan")


def put(mpm: str, key: str = "") -> tuple[int, Any]:
    token = issue(ADMIN, name="deploy", scopes=("change",)).text
    headers = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {})}
    answer = Client().put(
        "/api/v1/servers/web01/mpm",
        json.dumps({"mpm": mpm}),
        content_type="application/json",
        headers=headers,
    )
    return answer.status_code, json.loads(answer.content)


def shell(*arguments: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("mpm", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue() + err.getvalue()
    return 0, out.getvalue() + err.getvalue()


def whm(**values: Any) -> dict[str, Any]:
    token = issue(ADMIN, name="billing", scopes=("change",)).text
    answer = Client().get(
        "/json-api/package_manager_submit_actions",
        {"api.version": "1", **values},
        headers={"Authorization": f"whm root:{token}"},
    )
    return dict(json.loads(answer.content))


DOORS: dict[str, Callable[[], object]] = {
    "REST": lambda: put("event"),
    "REST with a key": lambda: put("event", "k-1"),
    "shell": lambda: shell("switch", "event", "--yes"),
    "shell, stored": lambda: shell("switch", "event", "--stored", "--yes"),
    "WHM": lambda: whm(**EVENT),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_server_that_was_mended_is_switched_at_once(house: House, door: str) -> None:
    seen_broken(house.server)
    answer = DOORS[door]()
    change = Change.objects.filter(server=house.server).first()
    assert change is not None, answer
    assert change.to_mpm == "event"


@pytest.mark.parametrize("door", DOORS)
def test_a_server_that_was_changed_by_hand_does_not_run_what_was_last_seen(
    house: House, door: str
) -> None:
    """The last scan saw event; the server has been on prefork for a while."""
    seen = house.server.profile
    assert seen is not None
    plan = plan_for(house.server, Choice.parse("event"))
    observed = replace(seen.running, mpms=("event",)) if seen.running else None
    packages = tuple(sorted(item.package for item in (*plan.keep, *plan.install)))
    seen_as(
        house.server,
        replace(seen, packages=packages, configured=observed, running=observed),
    )
    answer = DOORS[door]()
    made = Change.objects.filter(server=house.server).exclude(origin="outside").first()
    assert made is not None, answer
    assert (made.from_mpm, made.to_mpm) == ("prefork", "event")


def test_a_refusal_says_how_old_its_knowledge_is_where_no_look_is_had(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    Server.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    InstalledProfile.objects.update(confirmed_at=timezone.now() - timedelta(seconds=47))
    server.refresh_from_db()
    status, body = put("prefork")
    assert (status, body["changed"]) == (200, False)
    age = re.search(r"web01 was last checked (\d+) seconds ago", body["detail"])
    assert age is not None
    assert int(age[1]) >= 47
    status, text = shell("switch", "prefork", "--stored")
    assert (status, "last checked" in text) == (0, True)
    with pytest.raises(NothingToDo) as nothing:
        on_a_fresh_look(
            server, lambda: request_change(server, Choice.parse("prefork"), actor=ADMIN)
        )
    assert "last checked" in nothing.value.message


@pytest.mark.django_db(transaction=True)
def test_a_look_that_nobody_answers_is_waited_for_no_longer_than_was_said(
    known_server: Callable[..., Server],
) -> None:
    assert look_again(known_server(), seconds=0.2) is False


@pytest.mark.django_db
def test_within_a_transaction_nobody_waits_for_a_look(
    known_server: Callable[..., Server],
) -> None:
    assert look_again(known_server(), seconds=600) is False
