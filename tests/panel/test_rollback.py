"""Back to how it was before, whatever has happened since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Profile
from mpm.access.services.actor import NothingToDo, Refused, Stale
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change
from mpm.changes.services.rollback import roll_back, rollback_plan
from mpm.models import Change, State
from mpm.servers.models import Server
from tests.panel.reports import ADMIN, after, carried_out, finish, outcome, step

pytestmark = pytest.mark.django_db

EVENT, WORKER, PREFORK = (Choice.parse(name) for name in ("event", "worker", "prefork"))


def names(server: Server) -> frozenset[str]:
    profile = server.profile
    assert profile is not None
    return profile.names


def test_rolling_back_restores_exactly_the_packages_before(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    before = names(server)
    assert "ea-apache24-mod_ruid2" in before
    change = carried_out(server, EVENT)
    assert names(server) != before
    back = roll_back(change, ADMIN, "sites broke")
    assert (back.rollback_of, back.undo_of) == (change, change.uuid)
    assert finish(back).state == State.SUCCEEDED
    assert names(server) == before


def test_what_was_rolled_back_is_not_rolled_back_again(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    change = carried_out(server, EVENT)
    back = finish(roll_back(change, ADMIN))
    with pytest.raises(Refused, match=f"already rolled back by change #{back.pk}"):
        roll_back(change, ADMIN)


@pytest.mark.parametrize("ending", ["restored", "not_started", "canceled"])
def test_only_what_succeeded_can_be_rolled_back(
    known_server: Callable[..., Server], ending: str
) -> None:
    change = request_change(known_server(), EVENT, actor=ADMIN)
    with pytest.raises(Refused, match="hasn't finished"):
        roll_back(change, ADMIN)
    with pytest.raises(Refused, match="nothing to roll back"):
        roll_back(finish(change, ending), ADMIN)


def half_way(change: Change, profile: Profile) -> Change:
    """It failed after the point of no return, and undoing it failed as well."""
    record_reports(
        change.server_name,
        change.uuid,
        [step(1, "packages"), step(2, "undo_packages"), outcome(3, "failed", profile)],
    )
    change.refresh_from_db()
    return change


def test_what_failed_half_way_can_be_rolled_back_from_where_it_got_to(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    before = server.profile
    assert before is not None
    change = request_change(server, EVENT, actor=ADMIN)
    there = after(change)
    assert "ea-apache24-mod_ruid2" in before.names - there.names
    # ruid2 was still there when it stopped.
    kept = [item for item in before.packages if item.name.endswith("mod_ruid2")]
    half_way(change, replace(there, packages=tuple(sorted([*there.packages, *kept]))))
    plan = rollback_plan(change)
    assert set(plan.transaction.install) == set(before.packages) - {*there.packages, *kept}
    assert set(plan.transaction.remove) == set(there.packages) - set(before.packages)
    back = roll_back(change, ADMIN)
    assert back.undo_of == change.uuid
    finish(back)
    assert names(server) == before.names


def test_what_failed_half_way_and_is_as_before_has_nothing_to_go_back_from(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    before = server.profile
    assert before is not None
    change = half_way(request_change(server, EVENT, actor=ADMIN), before)
    with pytest.raises(NothingToDo):
        roll_back(change, ADMIN)


def test_a_torn_server_is_for_the_doctor_first(known_server: Callable[..., Server]) -> None:
    server = known_server()
    before = server.profile
    assert before is not None
    change = request_change(server, EVENT, actor=ADMIN)
    both = tuple(sorted({*before.packages, *after(change).packages}))
    half_way(change, replace(before, packages=both))
    with pytest.raises(Refused) as refused:
        roll_back(change, ADMIN)
    assert "diagnostics" in f"{refused.value.message} {refused.value.remedy}".lower()


def test_after_later_changes_it_still_leads_to_the_state_before_the_first(
    known_server: Callable[..., Server],
) -> None:
    server = known_server()
    before = names(server)
    first = carried_out(server, EVENT)
    carried_out(server, WORKER)
    back = roll_back(first, ADMIN)
    assert back.to_mpm == "prefork"
    finish(back)
    assert names(server) == before


def test_what_comes_back_is_the_build_that_left_and_not_the_newest(
    known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> None:
    """The server keeps what left; the newest is what its repository has, if it has one."""
    stock = stock_profile()
    packages = tuple(
        replace(item, release="7.el9") if item.name.endswith("mod_ruid2") else item
        for item in stock.packages
    )
    server = known_server(profile=replace(stock, packages=packages))
    first = carried_out(server, EVENT)
    carried_out(server, WORKER)
    plan = rollback_plan(first)
    assert "7.el9" in {item.release for item in plan.transaction.install}
    assert set(plan.transaction.install) <= set(packages)


def test_a_stale_rollback_digest_carries_the_plan_of_now(
    known_server: Callable[..., Server],
) -> None:
    change = carried_out(known_server(), EVENT)
    with pytest.raises(Stale) as refused:
        roll_back(change, ADMIN, digest="0" * 32)
    digest = rollback_plan(change).digest
    assert refused.value.plan.digest == digest
    assert roll_back(change, ADMIN, digest=digest).digest == digest
