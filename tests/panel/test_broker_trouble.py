"""A broker that does not do its work is named, with the way out."""

from __future__ import annotations

import io
from typing import Any

import pytest
import redis
from django.core.management import call_command
from kombu.exceptions import OperationalError

from mpm.access.services.actor import Actor
from mpm.servers.services.servers import add_server
from mpm.web.broker_trouble import _named, trouble
from tests.panel_fixtures import RedisServer

ADMIN = Actor(name="anna", role="administrator")


def output_of(*commands: str, broker: RedisServer) -> str:
    """What is told after these commands of an administrator of Redis."""
    with redis.Redis(unix_socket_path=str(broker.socket)) as client:
        for command in commands:
            client.execute_command(*command.split())
    found = trouble()
    return "" if found is None else str(found.cause)


def test_a_broker_that_works_is_not_named(broker: RedisServer) -> None:
    assert trouble() is None
    with redis.Redis(unix_socket_path=str(broker.socket)) as client:
        assert client.keys("*probe*") == []


def test_a_broker_that_is_away_is_named_with_what_to_do_about_a_torn_file(
    broker: RedisServer,
) -> None:
    broker.stop()
    found = trouble()
    assert found is not None
    assert "can't be reached" in str(found.cause)
    assert "appendonly no" in str(found.fix)


def test_a_broker_that_is_full_is_told_from_one_that_is_away(broker: RedisServer) -> None:
    assert "maxmemory" in output_of("CONFIG SET maxmemory 1", broker=broker)


def test_a_replica_is_named(broker: RedisServer) -> None:
    assert "replica" in output_of("REPLICAOF 127.0.0.1 1", broker=broker)


def test_a_wrong_password_is_named(broker: RedisServer) -> None:
    assert "password" in output_of("CONFIG SET requirepass another", broker=broker)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            redis.exceptions.BusyLoadingError("LOADING Redis is loading"),
            "loading its append-only file",
        ),
        (redis.exceptions.ResponseError("MISCONF Redis is configured to save"), "can't save"),
        (redis.exceptions.NoPermissionError("NOPERM"), "lacks permissions"),
    ],
)
def test_what_redis_answers_is_understood_also_as_celery_passes_it_on(
    error: Exception, words: str
) -> None:
    assert words in str(_named(error).cause)
    passed_on: Any = OperationalError(str(error))
    passed_on.__cause__ = error
    assert words in str(_named(passed_on).cause)


@pytest.mark.django_db
def test_the_doctor_names_it_on_a_panel_without_a_server(broker: RedisServer) -> None:
    broker.stop()
    err = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("mpm", "doctor", stderr=err)
    assert "The broker (Redis) accepts no messages" in err.getvalue()


@pytest.mark.django_db
def test_a_command_that_needs_a_server_does_not_wait_for_one_behind_a_dead_broker(
    broker: RedisServer,
) -> None:
    add_server("web03", actor=ADMIN)
    broker.stop()
    for arguments in (
        ("doctor", "--repair", "start-httpd"),
        ("plan", "event", "--source", "server"),
    ):
        err = io.StringIO()
        with pytest.raises(SystemExit) as ended:
            call_command("mpm", *arguments, stderr=err)
        assert ended.value.code == 4
        assert "Redis can't be reached" in err.getvalue()
