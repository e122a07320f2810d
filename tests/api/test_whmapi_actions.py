"""The functions of the WHM API face that act: changes, build logs, httpd."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from easyapache.ea4.mpm import MPM, Choice
from easyapache.ea4.plan import plan_from_transaction
from easyapache.ea4.relations import load_catalogue
from mpm.changes.services.planning import plan_for, profile_of
from mpm.models import Change, Event, Preview
from mpm.servers.inventory import record_scan
from mpm.servers.models import Server
from mpm.whmapi import actions
from tests.api.conftest import (
    APACHE,
    PREFORK,
    TO_EVENT,
    AddServer,
    AddToken,
    Whm,
    profile_with,
    refused,
)
from tests.api.test_changes import finish, write_log


def test_packages_of_another_mpm_become_a_change(server: Server, whm: Whm) -> None:
    answer = whm("package_manager_submit_actions", method="POST", **TO_EVENT)
    change = Change.objects.get(pk=answer["data"]["build"])
    assert (change.to_mpm, change.origin, change.token_name) == ("event", "whmapi", "billing")
    assert whm("package_manager_is_performing_actions", build=change.pk)["data"]["active"] == 1
    worker = {"install": f"{APACHE}-mod_mpm_worker", "uninstall": TO_EVENT["uninstall"]}
    assert "hasn't finished" in refused(whm("package_manager_submit_actions", **worker))


def test_the_mpm_alone_is_enough(server: Server, whm: Whm) -> None:
    answer = whm("package_manager_submit_actions", install=f"{APACHE}-mod-mpm-worker")
    assert Change.objects.get(pk=answer["data"]["build"]).to_mpm == "worker"


def test_itk_goes_on_and_off(add_server: AddServer, whm: Whm) -> None:
    add_server("off")
    itk = profile_with(*PREFORK, f"{APACHE}-mod_mpm_itk", itk=True)
    add_server("on", itk)
    on = whm("package_manager_submit_actions", server="off", install=f"{APACHE}-mod_mpm_itk")
    assert Change.objects.get(pk=on["data"]["build"]).to_itk is True
    off = whm("package_manager_submit_actions", server="on", uninstall=f"{APACHE}-mod_mpm_itk")
    change = Change.objects.get(pk=off["data"]["build"])
    assert (change.from_itk, change.to_itk, change.to_mpm) == (True, False, "prefork")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({}, "Provide"),
        ({"install": f"{APACHE}-mod_deflate"}, "only changes the MPM"),
        ({"uninstall": f"{APACHE}-mod_suexec"}, "only changes the MPM"),
        ({"install": "ea-nonsense"}, "no package"),
        ({"install": "bash"}, "no package"),
        ({"uninstall": f"{APACHE}-mod_mpm_prefork"}, "without an MPM"),
        (
            {"install": [f"{APACHE}-mod_mpm_event", f"{APACHE}-mod_mpm_worker"]},
            "one MPM at a time",
        ),
        (
            {"install": f"{APACHE}-mod_mpm_event", "uninstall": f"{APACHE}-mod_ssl"},
            "would stay",
        ),
        (
            {"install": f"{APACHE}-mod_mpm_event", "upgrade": APACHE},
            "doesn't upgrade",
        ),
    ],
)
def test_what_is_no_mpm_change_is_refused_with_the_reason(
    add_server: AddServer, whm: Whm, asked: dict[str, Any], reason: str
) -> None:
    add_server(profile=profile_with(*PREFORK, f"{APACHE}-mod_suexec"))
    assert reason in refused(whm("package_manager_submit_actions", **asked))
    assert not Change.objects.exists()


def test_nothing_leaves_that_was_not_named(add_server: AddServer, whm: Whm) -> None:
    add_server(profile=profile_with(*PREFORK, f"{APACHE}-mod_ruid2"))
    answer = whm("package_manager_submit_actions", **TO_EVENT)
    assert f"{APACHE}-mod_ruid2" in refused(answer)
    assert not Change.objects.exists()


@pytest.fixture
def lenient(add_token: AddToken) -> str:
    """The credentials of a client whose token allows implied removals."""
    return f"whm root:{add_token('change', name='java', implied_removals=True).text}"


DSO = ("ea-php74-php",)


@pytest.mark.parametrize("lost", [(f"{APACHE}-mod_ruid2",), DSO])
def test_installing_alone_is_enough_where_the_token_implies_the_removals_that_rules_require(
    add_server: AddServer, whm: Whm, lenient: str, lost: tuple[str, ...]
) -> None:
    add_server(profile=profile_with(*PREFORK, *lost))
    wish = {"install": f"{APACHE}-mod_mpm_event"}
    named = f"uninstall={lost[-1]}"
    assert named in refused(whm("package_manager_submit_actions", **wish))
    answer = whm("package_manager_submit_actions", auth=lenient, **wish)
    change = Change.objects.get(pk=answer["data"]["build"])
    assert lost[-1] in {package["name"] for package in change.plan["remove"]}
    again = whm("package_manager_submit_actions", auth=lenient, **wish)
    assert again["data"]["build"] == change.pk


def test_a_refusal_names_the_arguments_that_make_the_same_call_pass(
    add_server: AddServer, whm: Whm
) -> None:
    add_server(profile=profile_with(*PREFORK, f"{APACHE}-mod_ruid2", *DSO))
    wish = {"install": f"{APACHE}-mod_mpm_event"}
    said = refused(whm("package_manager_submit_actions", **wish))
    named = re.findall(r"uninstall=([a-z0-9_-]+)", said)
    assert set(named) >= {f"{APACHE}-mod_ruid2", DSO[-1]}
    answer = whm("package_manager_submit_actions", uninstall=named, **wish)
    assert Change.objects.get(pk=answer["data"]["build"]).to_mpm == "event"


def test_removals_that_no_rule_explains_are_not_implied(
    add_server: AddServer, whm: Whm, lenient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package manager of the server would remove more than the panel's rules require."""
    server = add_server(profile=profile_with(*PREFORK, f"{APACHE}-mod_ruid2", f"{APACHE}-mod_ssl"))
    event = Choice(MPM.EVENT)
    stored = plan_for(server, event)
    ssl = next(item.package for item in stored.keep if item.name == f"{APACHE}-mod_ssl")
    moves = replace(stored.transaction, remove=(*stored.transaction.remove, ssl))
    now = timezone.now()
    profile = profile_of(server)
    theirs = plan_from_transaction(profile, event, moves, load_catalogue())
    Preview.objects.create(
        server=server,
        choice=event.as_json(),
        base_digest=theirs.base_digest,
        stored_digest=stored.digest,
        goal=theirs.goal.as_json(),
        actor_name="anna",
        requested_at=now,
        answered_at=now,
        state=Preview.State.READY,
        plan=theirs.as_json(),
        transaction=moves.as_json(),
        digest=theirs.digest,
    )
    wish = {"install": f"{APACHE}-mod_mpm_event"}
    said = refused(whm("package_manager_submit_actions", auth=lenient, **wish))
    assert f"uninstall={APACHE}-mod_ssl" in said
    assert "ruid2" not in said
    # Nor where a change that was accepted ended between two looks of this call.
    monkeypatch.setattr(actions, "unfinished", lambda _server: object())
    assert refused(whm("package_manager_submit_actions", auth=lenient, **wish)) == said
    assert not Change.objects.exists()


def test_removals_are_those_of_the_plan_under_the_lock_when_another_change_came_and_went(
    add_server: AddServer, whm: Whm, lenient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look of this call and its change, somebody else's change began and ended;
    a package that the rules make leave came with it. It is the plan of then that counts."""
    server = add_server()
    now = profile_with(*PREFORK, f"{APACHE}-mod_ruid2")

    def meanwhile(*_: object) -> None:
        record_scan(server, now, timezone.now(), "scan")

    monkeypatch.setattr(actions, "_answer", meanwhile)
    wish = {"install": f"{APACHE}-mod_mpm_event"}
    assert "mod_ruid2" in refused(whm("package_manager_submit_actions", **wish))
    assert not Change.objects.exists()
    answer = whm("package_manager_submit_actions", auth=lenient, **wish)
    change = Change.objects.get(pk=answer["data"]["build"])
    assert f"{APACHE}-mod_ruid2" in {package["name"] for package in change.plan["remove"]}
    assert change.base_digest == profile_of(server).digest


def test_a_server_that_wants_a_digest_says_so(add_server: AddServer, whm: Whm) -> None:
    add_server(require_digest=True)
    assert "digest" in refused(whm("package_manager_submit_actions", **TO_EVENT))


def test_the_build_log_is_followed_by_bytes(server: Server, whm: Whm) -> None:
    build = whm("package_manager_submit_actions", **TO_EVENT)["data"]["build"]
    change = Change.objects.get(pk=build)

    def log(offset: int) -> Any:
        return whm("package_manager_get_build_log", build=build, offset=offset)["data"]

    assert log(0) == {"content": [], "offset": 0, "still_running": 1}
    write_log(change, "eins ☃\nzw")
    first = log(0)
    assert first["content"] == ["eins ☃"]
    assert first["offset"] == len("eins ☃\n".encode())
    write_log(change, "ei\n")
    assert log(first["offset"])["content"] == ["zwei"]
    finish(change)
    end = log(log(0)["offset"])
    assert end == {
        "content": [],
        "offset": change.__class__.objects.get().log_size,
        "still_running": 0,
    }
    assert whm("package_manager_is_performing_actions", build=build)["data"]["active"] == 0


@pytest.mark.parametrize("build", ["", "-1", "x", "999999"])
def test_a_build_that_is_not_there_is_refused(server: Server, whm: Whm, build: str) -> None:
    for function in ("package_manager_is_performing_actions", "package_manager_get_build_log"):
        assert refused(whm(function, build=build, offset="0"))


# -- httpd ------------------------------------------------------------------------------------


def test_the_state_of_httpd(server: Server, whm: Whm) -> None:
    httpd = whm("servicestatus", service="httpd")["data"]["service"]
    assert [(item["name"], item["running"], item["installed"]) for item in httpd] == [
        ("httpd", 1, 1)
    ]
    assert "not managed" in refused(whm("servicestatus", service="exim"))


def test_a_restart_is_asked_of_the_server(server: Server, whm: Whm) -> None:
    answer = whm("restartservice", service="httpd", queue_task="1")
    assert answer["data"]["service"] == "httpd"
    asked = Event.objects.get(kind="server.repair_requested")
    assert (asked.data["action"], asked.token_name) == ("restart-httpd", "billing")
    assert "not managed" in refused(whm("restartservice", service="named"))
    assert refused(whm("restartservice"))
    whm("package_manager_submit_actions", **TO_EVENT)
    assert "hasn't finished" in refused(whm("restartservice", service="httpd", queue_task="1"))
