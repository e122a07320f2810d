"""A repair is asked for until it is answered, and told once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from mpm.changes.services.repairs import record_repair, repair
from mpm.changes.services.sweep import sweep
from mpm.history.diagnosis import repairs
from mpm.models import Event
from mpm.servers.agents import backlog
from mpm.servers.models import Server
from tests.panel.reports import ADMIN
from tests.panel_fixtures import House, RedisServer, wait_until

ANSWERS = ("server.repaired", "server.repair_failed")


def answered() -> int:
    return Event.objects.filter(kind__in=ANSWERS).count()


@pytest.mark.django_db
def test_an_answer_that_comes_five_times_is_told_once(known_server: Callable[..., Server]) -> None:
    server = known_server()
    number = repair(server, "start-httpd", ADMIN)
    for ok in (True, True, False, True, True):
        record_repair("web01", number, "start-httpd", ok=ok, message="httpd runs.")
    (told,) = repairs(server)
    assert (told.request, told.ok, told.message) == (number, True, "httpd runs.")
    assert answered() == 1


@pytest.mark.django_db
def test_a_repair_is_asked_for_again_until_it_is_answered(
    known_server: Callable[..., Server], broker: RedisServer
) -> None:
    server = known_server()
    number = repair(server, "start-httpd", ADMIN)
    broker.flush()
    now = timezone.now()
    sweep(now + timedelta(seconds=5))
    assert backlog("web01") == 0
    for seconds in (9, 19):
        sweep(now + timedelta(seconds=seconds))
    assert backlog("web01") == 2
    broker.flush()
    record_repair("web01", number, "start-httpd", ok=True, message="httpd runs.")
    broker.flush()
    sweep(now + timedelta(seconds=29))
    assert backlog("web01") == 0


@pytest.mark.django_db
def test_an_agent_that_is_away_for_good_is_not_asked_for_ever(
    known_server: Callable[..., Server], broker: RedisServer
) -> None:
    server = known_server()
    repair(server, "start-httpd", ADMIN)
    broker.flush()
    sweep(timezone.now() + timedelta(days=8))
    assert backlog("web01") == 0
    Server.objects.filter(pk=server.pk).update(active=False)
    sweep(timezone.now() + timedelta(minutes=1))
    assert backlog("web01") == 0


def test_a_repair_lost_with_redis_and_agent_is_done_once_they_are_back(house: House) -> None:
    with house.simulated.state() as state:
        state["running"] = None
    house.kill("agent")
    number = repair(house.server, "start-httpd", ADMIN)
    house.redis.flush()
    house.start("agent")

    def told() -> bool:
        sweep(timezone.now() + timedelta(seconds=9))
        return answered() > 0

    wait_until(told, 30, "the repair was not answered")
    (one,) = repairs(house.server)
    assert (one.request, one.ok) == (number, True), one
    assert house.simulated.inspect().running is not None
    for _ in range(3):
        sweep(timezone.now() + timedelta(seconds=9))
    assert answered() == 1
