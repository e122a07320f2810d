"""Several at once: the database decides, and exactly one wins."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier

import pytest
from django.db import connections
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Profile
from mpm.access.services.actor import Busy, Refused
from mpm.changes.services.cancel import cancel
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change
from mpm.changes.services.sweep import ping_all, sweep
from mpm.history.verification.database import verify_database
from mpm.models import Change, Event, State
from mpm.servers.inventory import record_scan
from mpm.servers.models import Pulse, Server
from mpm.servers.services.inspection import record_inspection
from tests.panel.reports import ADMIN, outcome, step

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(transactional_db: None, stock_profile: Callable[..., Profile]) -> Server:
    now = timezone.now()
    made = Server.objects.create(name="web01", created_at=now, last_seen_at=now)
    record_scan(made, stock_profile(), now, "scan")
    return made


def all_at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """Results or exceptions of ``work``, begun at the same moment in threads of their own."""
    barrier = Barrier(count)

    def run(number: int) -> object:
        try:
            barrier.wait()
            return work(number)
        except Refused as refused:
            return refused
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_of_eight_requests_at_once_one_becomes_a_change_and_seven_hear_which(
    server: Server,
) -> None:
    results = all_at_once(8, lambda _: request_change(server, Choice.parse("event"), actor=ADMIN))
    made = [item for item in results if isinstance(item, Change)]
    busy = [item for item in results if isinstance(item, Busy)]
    assert (len(made), len(busy)) == (1, 7)
    assert {item.change.pk for item in busy} == {made[0].pk}
    assert verify_database().faults == ()


def test_reports_cancels_and_sweeps_at_once_leave_one_truth(server: Server) -> None:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    reports = [step(1, "preflight"), step(2, "download"), outcome(3, "canceled")]

    def work(number: int) -> None:
        if number % 3 == 0:
            record_reports("web01", change.uuid, reports)
        elif number % 3 == 1:
            sweep()
        else:
            cancel(Change.objects.get(pk=change.pk), ADMIN)

    all_at_once(6, work)
    record_reports("web01", change.uuid, reports)
    change.refresh_from_db()
    assert change.state == State.CANCELED
    ends = Event.objects.filter(change=change, kind="change.canceled")
    assert ends.count() == 1
    assert verify_database().faults == ()


def test_scans_at_once_make_one_snapshot_and_one_outside_change(
    server: Server, stock_profile: Callable[..., Profile]
) -> None:
    from mpm.servers.looks import request_number

    moved = stock_profile("worker")
    all_at_once(4, lambda _: record_inspection("web01", request_number(timezone.now()), moved))
    assert server.installed_profiles.count() == 2
    assert Change.objects.filter(origin="outside").count() == 1


def tick(now: datetime, _: int) -> None:
    sweep(now)
    ping_all(now)


def test_ticks_of_several_beats_at_once_do_no_harm(server: Server) -> None:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    record_reports("web01", change.uuid, [step(1, "packages")])
    for seconds in (50, 60, 70):
        now = timezone.now() + timedelta(seconds=seconds)
        assert all_at_once(4, partial(tick, now)) == [None] * 4
    assert Event.objects.filter(kind="change.silent").count() == 1
    assert Pulse.objects.filter(name="beat").count() == 1
    assert verify_database().faults == ()
