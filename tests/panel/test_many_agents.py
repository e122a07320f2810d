"""Many agents, and one that says too much: what the panel owes everybody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.contrib.testing.worker import start_worker
from celery.signals import task_prerun
from django.db import connection
from django.db.backends.signals import connection_created
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from easyapache.celery import TICKS_QUEUE, app
from easyapache.ea4.mpm import Choice
from easyapache.ea4.protocol import CONTROL_QUEUE, Failure
from mpm import tasks
from mpm.access.services.actor import Actor
from mpm.changes.services.dispatch import dispatch
from mpm.changes.services.planning import request_preview, resend_preview
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change
from mpm.changes.services.sweep import ping_all, rescan_all
from mpm.changes.services.sweep import sweep as sweep_changes
from mpm.models import Change, Event, Preview, State
from mpm.servers import agents, reading
from mpm.servers.agents import backlogs, unread
from mpm.servers.looks import first_look, request_number
from mpm.servers.models import Pulse, Server
from mpm.servers.services.heartbeat import record_heartbeat
from mpm.servers.services.inspection import record_inspection
from mpm.web.page_context import liveness
from tests.panel.reports import step
from tests.panel_fixtures import PROJECT, RedisServer, database_url, wait_until

ADMIN = Actor(name="anna", role="administrator")
MakeServer = Callable[..., Server]


@pytest.fixture(autouse=True)
def how_far_is_read_is_found_out_anew() -> Iterator[None]:
    reading.forget()
    yield
    reading.forget()


@pytest.fixture
def client(broker: RedisServer) -> Iterator[redis.Redis]:
    made = redis.Redis(unix_socket_path=str(broker.socket))
    yield made
    made.close()


def send(name: str, **message: Any) -> None:
    app.send_task(f"control.{name}", kwargs=message, queue=CONTROL_QUEUE)


def running_change(server: Server) -> Change:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    record_reports(server.name, change.uuid, [step(1, "packages")])
    return change


def silent_events() -> int:
    return Event.objects.filter(kind="change.silent").count()


# -- the clock and the agents ------------------------------------------------------------------


def test_the_clock_is_served_while_one_agent_floods_the_panel(
    transactional_db: None, client: redis.Redis, known_server: MakeServer, tmp_path: Path
) -> None:
    server = known_server("web01")
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    client.delete("host.web01")  # its message was lost
    Change.objects.filter(pk=change.pk).update(dispatched_at=None)
    send("heartbeat", server="web02", agent="1.0", capabilities={})
    (one,) = client.lrange(CONTROL_QUEUE, 0, 0)
    for _ in range(40):
        client.lpush(CONTROL_QUEUE, *[one] * 1000)
    app.send_task("control.sweep", queue=TICKS_QUEUE)
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "easyapache.celery", "worker"),
                *("-Q", "control", "--pool=threads", "--concurrency=2", "--loglevel=WARNING"),
            ],
            cwd=PROJECT,
            env={
                **{key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ},
                "DJANGO_SETTINGS_MODULE": "easyapache.settings",
                "SECRET_KEY": "only for tests",
                "DATABASE_URL": database_url(),
                "VAR_DIR": str(tmp_path),
                "REDIS_URL": str(app.conf.broker_url),
            },
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: client.llen("host.web01"), 60, "the change was not sent to its agent")
        assert client.llen(CONTROL_QUEUE) > 0
        assert Pulse.objects.filter(name="beat").exists()
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait(20)
    change.refresh_from_db()
    assert change.state == State.QUEUED
    assert b"WARNING" not in (tmp_path / "worker.log").read_bytes().replace(b"SecurityWarning", b"")


def test_everything_the_clock_asks_for_has_a_queue_of_its_own() -> None:
    queues = {entry["options"]["queue"] for entry in app.conf.beat_schedule.values()}
    assert queues == {TICKS_QUEUE}


def test_what_takes_longer_than_its_period_is_not_begun_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = []

    def sweep() -> None:
        begun.append(1)
        tasks.sweep()

    monkeypatch.setattr(tasks, "sweep_changes", sweep)
    tasks.sweep()
    tasks.sweep()
    assert len(begun) == 2


# -- silence is judged by what has been read ---------------------------------------------------


def test_a_server_that_was_heard_in_an_unread_message_is_not_called_silent(
    db: None, client: redis.Redis, known_server: MakeServer
) -> None:
    change = running_change(known_server())
    last = timezone.now()
    sweep_changes(last)
    send("heartbeat", server="web01", agent="1.0", capabilities={})
    for seconds in range(10, 300, 10):
        sweep_changes(last + timedelta(seconds=seconds))
    change.refresh_from_db()
    assert change.silent_since is None
    assert silent_events() == 0
    assert liveness(change.server, Pulse.objects.get(name=reading.READ).at) == "alive"


def test_a_server_that_is_not_heard_in_what_was_read_is_called_silent(
    db: None, client: redis.Redis, known_server: MakeServer
) -> None:
    change = running_change(known_server())
    last = timezone.now()
    sweep_changes(last)
    for seconds in (10, 20, 30, 40, 50, 60):
        # Another agent says so much that there is always something unread, but it is read.
        send("heartbeat", server="web02", agent="1.0", capabilities={})
        sweep_changes(last + timedelta(seconds=seconds))
        marks = [json.loads(item) for item in client.lrange(CONTROL_QUEUE, 0, -1)]
        for task in (item["headers"]["task"] for item in marks if "mark" in str(item["headers"])):
            assert task == "control.mark"
        reading.passed_mark(
            (last + timedelta(seconds=seconds)).isoformat(), last + timedelta(seconds=seconds + 1)
        )
    assert unread() == 12
    change.refresh_from_db()
    assert change.silent_since is not None
    assert silent_events() == 1


def test_a_preview_whose_answer_may_be_unread_is_neither_ended_nor_asked_again(
    db: None, client: redis.Redis, known_server: MakeServer
) -> None:
    server = known_server()
    sweep_changes()
    preview = request_preview(server, Choice.parse("event"), ADMIN)
    resend_preview(preview)
    send("heartbeat", server="web02", agent="1.0", capabilities={})
    for seconds in range(20, 200, 10):
        sweep_changes(timezone.now() + timedelta(seconds=seconds))
    preview.refresh_from_db()
    assert preview.state == Preview.State.PENDING
    assert client.llen("host.web01") == 1
    client.delete(CONTROL_QUEUE)
    sweep_changes(timezone.now() + timedelta(seconds=210))
    preview.refresh_from_db()
    assert preview.state == Preview.State.FAILED


def test_a_change_is_not_sent_again_while_its_reports_may_be_unread(
    db: None, client: redis.Redis, known_server: MakeServer
) -> None:
    server = known_server()
    sweep_changes()
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    dispatch(change, timezone.now())
    send("reports", server="web01", change=change.uuid, reports=[step(1, "packages").as_json()])
    for seconds in range(10, 200, 10):
        sweep_changes(timezone.now() + timedelta(seconds=seconds))
    assert client.llen("host.web01") == 1
    assert silent_events() == 0


def test_a_change_that_no_agent_takes_is_sent_again_ever_more_seldom(
    db: None, client: redis.Redis, known_server: MakeServer
) -> None:
    change = request_change(known_server(), Choice.parse("event"), actor=ADMIN)
    start = timezone.now()
    dispatch(change, start)
    sent = []
    for seconds in range(10, 610, 10):
        before = client.llen("host.web01")
        sweep_changes(start + timedelta(seconds=seconds))
        if client.llen("host.web01") > before:
            sent.append(seconds)
    assert sent[:3] == [10, 30, 70]
    # Before one expires there is the next: an agent that comes back finds its change.
    assert max(b - a for a, b in pairwise(sent)) <= 70 < agents.EXPIRES_SECONDS
    assert len(sent) < 15


def test_a_round_is_left_out_while_the_answers_of_the_last_one_are_unread(
    db: None, client: redis.Redis, known_server: MakeServer
) -> None:
    known_server()
    now = timezone.now()
    rescan_all(now)
    assert client.llen("host.web01") == 1
    Pulse.beat(reading.READ, now - timedelta(minutes=5))
    for _ in range(100):
        send("heartbeat", server="web02", agent="1.0", capabilities={})
    reading.forget()
    rescan_all(now)
    Server.objects.create(name="web03", created_at=now)
    ping_all(now)
    first_look("web03")
    assert client.llen("host.web01") == 1
    assert client.llen("host.web03") == 0


def test_an_old_heartbeat_does_not_make_a_server_look_alive(
    db: None, client: redis.Redis, known_server: MakeServer
) -> None:
    server, now = known_server(), timezone.now()
    old = now - timedelta(minutes=3)
    Server.objects.update(last_seen_at=now - timedelta(minutes=10))
    Pulse.beat(reading.READ, now - timedelta(minutes=4))
    for _ in range(100):
        send("heartbeat", server="web02", agent="1.0", capabilities={})
    reading.forget()
    record_heartbeat("web01", "1.0", {}, old.isoformat())
    server.refresh_from_db()
    assert server.last_seen_at == old
    assert liveness(server, now) == "silent"


def test_the_clock_of_an_agent_does_not_make_it_silent(db: None, known_server: MakeServer) -> None:
    server, now = known_server(), timezone.now()
    for sent_at in (now - timedelta(days=1), now + timedelta(days=1), "yesterday", 7):
        Server.objects.update(last_seen_at=None)
        record_heartbeat("web01", "1.0", {}, str(sent_at))
        server.refresh_from_db()
        assert server.last_seen_at is not None
        assert now <= server.last_seen_at <= timezone.now()


def test_while_the_panel_reads_nothing_no_page_calls_a_server_silent(
    db: None, known_server: MakeServer
) -> None:
    server, now = known_server(), timezone.now()
    server.last_seen_at = now - timedelta(minutes=10)
    assert liveness(server) == "silent"
    assert liveness(server, now - timedelta(minutes=9, seconds=50)) == "alive"
    assert liveness(server, now - timedelta(minutes=8)) == "silent"


# -- what one agent costs ----------------------------------------------------------------------


def test_a_heartbeat_that_says_nothing_new_is_one_small_update(
    db: None, known_server: MakeServer
) -> None:
    server = known_server()
    record_heartbeat("web01", "1.0", {"dnf": "4.14"})
    Server.objects.update(last_seen_at=timezone.now() - timedelta(seconds=10))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        record_heartbeat("web01", "1.0", {"dnf": "4.14"})
    written = [query["sql"] for query in queries if query["sql"].startswith(("UPDATE", "INSERT"))]
    assert len(written) == 1
    assert "capabilities" not in written[0]
    record_heartbeat("web01", "1.1", {"dnf": "4.14"})
    server.refresh_from_db()
    assert server.agent["version"] == "1.1"


def test_what_the_last_look_failed_with_survives_a_heartbeat(
    db: None, known_server: MakeServer
) -> None:
    server = known_server()
    error = Failure("rpm", "The database is locked.")
    record_inspection("web01", request_number(timezone.now()), None, error)
    record_heartbeat("web01", "1.0", {})
    server.refresh_from_db()
    assert server.agent["scan_error"] == error.as_json()
    assert server.agent["version"] == "1.0"


def test_only_agents_that_were_not_heard_lately_are_asked_for_a_sign_of_life(
    db: None, client: redis.Redis, known_server: MakeServer
) -> None:
    known_server("web01")
    known_server("web02")
    Server.objects.filter(name="web02").update(last_seen_at=timezone.now() - timedelta(minutes=1))
    ping_all()
    assert backlogs(["web01", "web02"]) == {"web01": 0, "web02": 1}


def test_the_queues_of_all_agents_are_measured_in_one_go(client: redis.Redis) -> None:
    names = [f"web{number:03}" for number in range(200)]
    assert set(backlogs(names).values()) == {0}
    before = client.info("stats")["total_connections_received"]
    for _ in range(5):
        backlogs(names)
    assert client.info("stats")["total_connections_received"] == before
    client.lpush("host.web007", "one", "two")
    assert {name: length for name, length in backlogs(names).items() if length} == {"web007": 2}


def test_messages_share_a_session_with_the_database(
    transactional_db: None, client: redis.Redis, known_server: MakeServer
) -> None:
    known_server()
    opened = []

    def count(**_: object) -> None:
        opened.append(1)

    connection_created.connect(count)
    try:
        with start_worker(app, perform_ping_check=False, queues=[CONTROL_QUEUE]):
            for number in range(10):
                send("heartbeat", server="web01", agent=f"1.{number}", capabilities={})
            wait_until(lambda: unread() == 0, 20, "the messages were not read")
            wait_until(
                lambda: Server.objects.get(name="web01").agent.get("version") == "1.9",
                20,
                "the last message was not recorded",
            )
    finally:
        connection_created.disconnect(count)
    assert len(opened) <= 2  # that of the worker's thread, and that of this one


def test_a_broken_session_with_the_database_is_renewed_by_the_next_message(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not Pulse.objects.exists()
    connection.errors_occurred = True
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    task_prerun.send(sender=app.tasks["control.heartbeat"])
    assert connection.connection is None
    assert not Pulse.objects.exists()
