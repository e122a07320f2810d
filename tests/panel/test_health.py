"""The panel says when its own parts have stopped."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from mpm.access.services.actor import Actor
from mpm.access.services.users import add_user
from mpm.changes.services.sweep import ping_all, sweep
from mpm.servers import agents
from mpm.servers.models import Pulse
from mpm.web.background_parts import stopped_parts
from tests.panel_fixtures import RedisServer

pytestmark = pytest.mark.django_db
ADMIN = Actor(name="anna", role="administrator")


def test_nothing_is_reported_before_anything_was_started() -> None:
    assert stopped_parts(timezone.now()) == ()


def test_a_beat_that_stopped_is_told_from_a_worker_that_stopped() -> None:
    now = timezone.now()
    sweep(now)
    ping_all(now)
    assert stopped_parts(now + timedelta(seconds=50)) == ()
    assert [part.name for part in stopped_parts(now + timedelta(seconds=70))] == ["control"]
    Pulse.beat("control", now + timedelta(seconds=65))
    assert [part.name for part in stopped_parts(now + timedelta(seconds=70))] == ["beat"]


def test_a_broker_that_is_away_is_not_blamed_on_the_worker(broker: RedisServer) -> None:
    now = timezone.now()
    Pulse.beat("control", now - timedelta(minutes=5))
    assert [part.name for part in stopped_parts(now)] == ["control"]
    broker.stop()
    (part,) = stopped_parts(now)
    assert part.name == "broker"
    assert "Redis" in part.sentence
    broker.start()
    agents.forget_failures()
    assert [part.name for part in stopped_parts(now)] == ["control"]


def test_every_page_carries_the_warning(client: Client) -> None:
    _, password = add_user("anna", "administrator", actor=ADMIN)
    assert client.login(username="anna", password=password)
    assert "has stopped" not in client.get("/").content.decode()
    Pulse.beat("control", timezone.now() - timedelta(minutes=5))
    page = client.get("/").content.decode()
    assert "The control worker has stopped" in page
