"""A server whose repositories offer another build than this panel would have thought."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Package, Profile, Transaction
from easyapache.ea4.protocol import Failure
from mpm.changes.services.planning import plan_for
from mpm.changes.services.record import record_reports
from mpm.models import Change, Preview, State
from mpm.servers.inventory import record_scan
from mpm.servers.models import Server
from mpm.servers.services.inspection import record_preview
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
from tests.panel.reports import outcome, report, step

EVENT = {"mpm": "event"}
PATH = "servers/web03/mpm"


def other_build(server: Server, *, mpm: str = "event") -> Transaction:
    """What this server would do: the same packages, the MPM in a build of its own."""
    moves = plan_for(server, Choice.parse(mpm)).transaction
    install = [
        replace(item, release="99.local") if item.name.endswith(f"mpm_{mpm}") else item
        for item in moves.install
    ]
    return replace(moves, install=tuple(sorted(install)))


def profile_of(server: Server) -> Profile:
    profile = server.profile
    assert profile is not None
    return profile


def answered(
    call: Call,
    token: Any,
    server: Server,
    wish: dict[str, Any] = EVENT,
    moves: Transaction | None = None,
) -> dict[str, Any]:
    """A plan that was asked of the server itself."""
    plans = f"servers/{server.name}/plans"
    requested = call("POST", f"{plans}?source=server&wait=0", wish, token=token)
    record_preview(
        server.name,
        requested.body["href"].rsplit("/", 1)[1],
        moves or other_build(server),
        None,
        profile_of(server),
    )
    body: dict[str, Any] = call("GET", requested.body["href"][len("/api/v1/") :], token=token).body
    return body


def build_of(change: Change) -> str:
    return str(next(i["evr"] for i in change.plan["install"] if i["name"].endswith("mpm_event")))


def test_the_digest_of_its_answer_confirms_the_change(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    plan = answered(call, token, server)
    stored = call("POST", "servers/web03/plans", EVENT, token=token).body
    assert plan["digest"] != stored["digest"]
    dry = {**EVENT, "digest": plan["digest"], "dry_run": True}
    assert call("PUT", PATH, dry, token=token).body["plan"]["digest"] == plan["digest"]
    made = call("PUT", PATH, {**EVENT, "digest": plan["digest"]}, token=token)
    assert made.status == 202
    change = Change.objects.get()
    assert change.preview == Preview.objects.get()
    assert build_of(change).endswith("99.local")
    assert change.transaction is not None
    assert Transaction.from_json(change.transaction).digest == other_build(server).digest


def test_its_answer_goes_before_what_was_thought_and_the_thought_can_still_be_named(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    plan = answered(call, token, server)
    stored = call("POST", "servers/web03/plans", EVENT, token=token).body
    neither = call("PUT", PATH, {**EVENT, "digest": "0" * 32}, token=token)
    assert (neither.status, neither.body["code"]) == (409, "stale")
    assert neither.body["plan"]["digest"] == plan["digest"]
    dry = {**EVENT, "dry_run": True}
    unsaid = call("PUT", PATH, dry, token=token).body["plan"]
    assert (unsaid["digest"], unsaid["source"]) == (plan["digest"], "server")
    named = call("PUT", PATH, {**dry, "digest": stored["digest"]}, token=token).body["plan"]
    assert (named["digest"], named["source"]) == (stored["digest"], "stored")


def test_an_answer_to_another_choice_or_of_another_state_confirms_nothing(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    digest = answered(call, token, server)["digest"]
    other = call(
        "PUT", PATH, {**EVENT, "add": [f"{APACHE}-mod_suexec"], "digest": digest}, token=token
    )
    assert (other.status, other.body["code"]) == (409, "stale")
    record_scan(server, profile_with(*PREFORK, f"{APACHE}-mod_env"), timezone.now(), "scan")
    later = call("PUT", PATH, {**EVENT, "digest": digest}, token=token)
    assert (later.status, later.body["code"]) == (409, "stale")
    assert not Change.objects.exists()


def test_a_package_that_only_the_server_knows_is_shown_and_is_no_part_of_an_mpm_change(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    theirs = Package(f"{APACHE}-mod_of_their_own", "1.0", "1", "x86_64")
    wish = {**EVENT, "add": [theirs.name]}
    unknown = call("PUT", PATH, wish, token=token)
    assert (unknown.status, unknown.body["code"]) == (422, "blocked")
    moves = other_build(server)
    moves = replace(moves, install=tuple(sorted((*moves.install, theirs))))
    plan = answered(call, token, server, wish, moves)
    blockers = [item for item in plan["findings"] if item["severity"] == "block"]
    assert plan["blocked"]
    assert [(item["code"], item["packages"]) for item in blockers] == [
        ("beyond_the_mpm", [theirs.name])
    ]
    refused = call("PUT", PATH, {**wish, "digest": plan["digest"]}, token=token)
    assert (refused.status, refused.body["code"]) == (422, "blocked")
    assert "beyond_the_mpm" in {item["code"] for item in refused.body["findings"]}
    assert not Change.objects.exists()


def refused_as_moved(change: Change, moves: Transaction, seen: Profile | None = None) -> None:
    """The agent asked its package manager once more, and it said something else."""
    record_reports(
        change.server_name,
        change.uuid,
        [
            step(1, "preflight"),
            report(2, "moved", transaction=moves.as_json()),
            outcome(3, "failed", seen or profile_of(change.server), decided_by="moved"),
        ],
    )
    change.refresh_from_db()
    assert change.state == State.NOT_STARTED


def test_a_change_that_was_refused_as_moved_can_be_asked_for_again(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token = add_token("change")
    moves = other_build(server)
    first = call("PUT", PATH, EVENT, token=token)
    old = first.body["change"]["digest"]
    refused_as_moved(Change.objects.get(pk=first.body["change"]["id"]), moves)
    again = call("PUT", PATH, {**EVENT, "digest": "0" * 32}, token=token)
    assert again.body["plan"]["digest"] not in ("0" * 32, old)
    made = call("PUT", PATH, {**EVENT, "digest": again.body["plan"]["digest"]}, token=token)
    assert made.status == 202
    assert build_of(Change.objects.get(pk=made.body["change"]["id"])).endswith("99.local")


def test_what_a_server_said_in_another_state_is_not_kept(
    server: Server, add_token: AddToken, call: Call
) -> None:
    first = call("PUT", PATH, EVENT, token=add_token("change"))
    seen = profile_with(*PREFORK, f"{APACHE}-mod_env")
    change = Change.objects.get(pk=first.body["change"]["id"])
    refused_as_moved(change, other_build(server), seen)
    assert not Preview.objects.exists()


# -- WHM: no plan is confirmed beforehand ------------------------------------------------------


def test_a_whm_script_that_asks_again_gets_what_the_server_offers(server: Server, whm: Whm) -> None:
    first = whm("package_manager_submit_actions", **TO_EVENT)["data"]["build"]
    refused_as_moved(Change.objects.get(pk=first), other_build(server))
    second = whm("package_manager_submit_actions", **TO_EVENT)["data"]["build"]
    assert build_of(Change.objects.get(pk=second)).endswith("99.local")


@contextmanager
def answering(server: Server, moves: Transaction | None, *also: Any) -> Iterator[None]:
    """An agent that answers the question it is asked; ``also`` is done before."""
    over = threading.Event()

    def run() -> None:
        try:
            while not over.wait(0.05):
                preview = Preview.objects.filter(state=Preview.State.PENDING).first()
                if preview is None:
                    continue
                for work in also:
                    work()
                error = None if moves else Failure("unsolvable", "nothing offers it")
                record_preview(server.name, preview.uuid, moves, error, profile_of(server))
                return
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.django_db(transaction=True)
def test_a_whm_script_gets_what_the_server_offers_at_once_where_its_agent_lives(
    add_server: AddServer, whm: Whm
) -> None:
    server = add_server(last_seen_at=timezone.now())
    with answering(server, other_build(server)):
        answer = whm("package_manager_submit_actions", method="POST", **TO_EVENT)
    change = Change.objects.get(pk=answer["data"]["build"])
    assert build_of(change).endswith("99.local")
    assert change.preview == Preview.objects.get()


@pytest.mark.django_db(transaction=True)
def test_a_whm_script_hears_why_the_server_cannot(add_server: AddServer, whm: Whm) -> None:
    server = add_server(last_seen_at=timezone.now())
    with answering(server, None):
        assert "nothing offers it" in refused(whm("package_manager_submit_actions", **TO_EVENT))
    assert not Change.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_the_server_would_take_along_is_seen_in_its_own_answer(
    add_server: AddServer, whm: Whm
) -> None:
    server = add_server(
        profile=profile_with(*PREFORK, f"{APACHE}-mod_env"), last_seen_at=timezone.now()
    )
    extra = next(i for i in profile_of(server).packages if i.name == f"{APACHE}-mod_env")
    moves = other_build(server)
    more = replace(moves, remove=tuple(sorted((*moves.remove, extra))))
    with answering(server, more):
        said = refused(whm("package_manager_submit_actions", **TO_EVENT))
    assert f"also remove {APACHE}-mod_env" in said
    assert not Change.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_scan_in_between_is_seen_by_a_whm_script_that_waits(
    add_server: AddServer, whm: Whm
) -> None:
    """Somebody changes the server by hand while it is asked: what was wanted is there already."""
    server = add_server(last_seen_at=timezone.now())
    names = (APACHE, f"{APACHE}-mod_mpm_event", f"{APACHE}-mod_cgid")
    moves = other_build(server)

    def by_hand() -> None:
        record_scan(server, profile_with(*names, mpm="event"), timezone.now(), "scan")

    with answering(server, moves, by_hand):
        began = time.monotonic()
        answer = whm("package_manager_submit_actions", **TO_EVENT)
        assert (answer["metadata"]["result"], answer["data"]["build"]) == (1, 0)
        assert "already runs event" in answer["data"]["output"]
        assert time.monotonic() - began < 10
    assert not Change.objects.exists()
