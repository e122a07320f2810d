"""What REST and WHM's API say when it cannot be done: one table for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from mpm.models import Change, Event
from mpm.servers.models import Server
from mpm.whmapi import httpd
from tests.api.conftest import (
    APACHE,
    PREFORK,
    TO_EVENT,
    AddServer,
    AddToken,
    Call,
    Whm,
    profile_with,
    refused,
)

EVENT = f"{APACHE}-mod_mpm_event"
BLOCKED = {"install": [EVENT, f"{APACHE}-mod_cgid", f"{APACHE}-mod_mpm_itk"]}


@pytest.fixture(autouse=True)
def servers(add_server: AddServer) -> None:
    add_server("web03")
    add_server("off01", active=False)
    add_server("strict", require_digest=True)
    add_server("ruid2", profile_with(*PREFORK, f"{APACHE}-mod_ruid2"))
    Server.objects.create(name="new01", kind="simulated", created_at=timezone.now())


@contextmanager
def a_database_that_does_not_answer() -> Iterator[None]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OperationalError("the connection is gone")

    with connection.execute_wrapper(fail):
        yield


# -- REST -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "servers/off01/mpm", {"mpm": "event"}, 409, "inactive"),
        ("GET", "servers/new01/mpm", None, 409, "no_profile"),
        ("GET", "servers/new01/profile", None, 409, "no_profile"),
        ("POST", "servers/new01/plans", {"mpm": "event"}, 409, "no_profile"),
        ("PUT", "servers/new01/mpm", {"mpm": "event"}, 409, "no_profile"),
        ("PUT", "servers/strict/mpm", {"mpm": "event"}, 428, "digest_required"),
        ("PUT", "servers/web03/mpm", {"mpm": "event", "itk": True}, 422, "blocked"),
        ("PUT", "servers/nowhere/mpm", {"mpm": "event"}, 404, "unknown_server"),
    ],
)
def test_rest_refuses_with_a_status_and_a_code(
    call: Call,
    add_token: AddToken,
    method: str,
    path: str,
    body: Any,
    status: int,
    code: str,
) -> None:
    answer = call(method, path, body, token=add_token("change"))
    assert (answer.status, answer.type) == (status, "application/problem+json")
    assert answer.body["code"] == code
    assert answer.body["detail"]
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "servers", None),
        ("GET", "servers/web03/mpm", None),
        ("PUT", "servers/web03/mpm", {"mpm": "event"}),
        ("GET", "events", None),
    ],
)
def test_rest_says_503_and_when_to_come_back_while_the_database_is_away(
    call: Call, add_token: AddToken, method: str, path: str, body: Any
) -> None:
    token = add_token("change")
    with a_database_that_does_not_answer():
        answer = call(method, path, body, token=token)
    assert (answer.status, answer.type) == (503, "application/problem+json")
    assert answer.body["code"] == "unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert not Change.objects.exists()


# -- WHM ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "values", "reason"),
    [
        ("servicestatus", {"server": "off01"}, "There is no server “off01”"),
        ("package_manager_submit_actions", {"server": "off01", **TO_EVENT}, "There is no server"),
        ("servicestatus", {"server": "new01"}, "hasn't been checked yet"),
        ("ea4_get_currently_installed_packages", {"server": "new01"}, "been checked"),
        ("ea4_list_profiles", {"server": "new01"}, "been checked"),
        ("ea4_save_profile", {"server": "new01", "pkg": "ea-a"}, "been checked"),
        ("ea4_recommendations", {"server": "new01"}, "been checked"),
        ("package_manager_list_packages", {"server": "new01"}, "been checked"),
        ("package_manager_get_package_info", {"server": "new01", "ns": "ea"}, "been checked"),
        ("package_manager_resolve_actions", {"server": "new01", "package": EVENT}, "been checked"),
        ("package_manager_submit_actions", {"server": "new01", **TO_EVENT}, "been checked"),
        ("package_manager_submit_actions", {"server": "web03", **BLOCKED}, "ITK"),
        ("package_manager_submit_actions", {"server": "strict", **TO_EVENT}, "digest"),
        ("package_manager_submit_actions", {"server": "ruid2", **TO_EVENT}, "mod_ruid2"),
        ("package_manager_submit_actions", {"server": "web03"}, "Provide the “install”"),
        ("package_manager_is_performing_actions", {"server": "web03", "build": "7"}, "no build 7"),
        ("package_manager_get_build_log", {"server": "web03", "build": "7"}, "no build 7"),
        ("package_manager_list_packages", {"server": "web03", "state": "odd"}, "must be one of"),
        ("package_manager_get_package_info", {"server": "web03"}, "Provide either"),
        ("package_manager_resolve_actions", {"server": "web03"}, "Provide the “package”"),
        ("package_manager_fixcache", {"server": "web03"}, "didn't answer"),
        ("ea4_save_profile", {"server": "web03", "pkg": "ea-a"}, "Provide the “filename”"),
        ("servicestatus", {"server": "web03", "service": "exim"}, "is not managed"),
        ("restartservice", {"server": "web03"}, "Provide the “service”"),
        ("restartservice", {"server": "web03", "service": "exim"}, "is not managed"),
        ("restartservice", {"server": "web03", "service": "httpd"}, "didn't answer within"),
    ],
)
def test_whm_refuses_within_the_envelope_and_with_nothing_else(
    whm: Whm, monkeypatch: pytest.MonkeyPatch, function: str, values: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr(httpd, "WAIT_SECONDS", 0.1)
    answer = whm(function, **values)
    assert reason in refused(answer)
    assert set(answer) == {"metadata"}
    assert answer["metadata"]["command"] == function
    assert not Change.objects.exists()


def test_a_restart_that_nobody_answered_was_asked_for_all_the_same(
    whm: Whm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(httpd, "WAIT_SECONDS", 0.1)
    assert "may still be restarted" in refused(
        whm("restartservice", server="web03", service="httpd")
    )
    assert Event.objects.filter(kind="server.repair_requested", server_name="web03").count() == 1


def test_a_token_that_asks_too_often_is_told_so_in_the_envelope(
    add_token: AddToken, client: Client
) -> None:
    headers = {"Authorization": f"whm root:{add_token('read', per_minute=1).text}"}
    address = "/json-api/servicestatus?api.version=1&server=web03"
    assert client.get(address, headers=headers).json()["metadata"]["result"] == 1
    answer = client.get(address, headers=headers)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "requests per minute" in refused(answer.json())
