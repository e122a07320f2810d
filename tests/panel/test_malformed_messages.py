"""Messages that nobody can read, given to real workers over a real Redis."""

from __future__ import annotations

import base64
import gzip
import json
import time
from io import StringIO
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.utils import timezone

from mpm.history.diagnosis import examined
from mpm.servers.agents import wake
from mpm.servers.models import Pulse, Server
from mpm.web.background_parts import dropped_messages
from tests.panel_fixtures import House, wait_until

LINE = (
    '{"body":"!!!!","content-type":"application/json","content-encoding":"utf-8","headers":'
    '{"task":"%s","id":"x"},"properties":{"delivery_tag":"a2","delivery_info":{"exchange":"",'
    '"routing_key":"%s"},"body_encoding":"base64"}}'
)


def lines(queue: str, task: str) -> list[bytes]:
    """One of each kind that has ended a worker, and some that might."""
    whole = json.loads(LINE % (task, queue))
    call = base64.b64encode(b"[[], {}, {}]").decode()
    bomb = base64.b64encode(gzip.compress(b" " * 200_000_000)).decode()

    def with_(**other: Any) -> bytes:
        return json.dumps({**whole, "body": call, **other}).encode()

    properties = whole["properties"]
    return [
        (LINE % (task, queue)).encode(),
        json.dumps({**whole, "redelivered": True}).encode(),
        b"not JSON",
        b"7",
        b"[" * 50_000,
        b"\xff\x00\xfe",
        with_(properties=None),
        with_(properties={}),
        with_(properties={**properties, "delivery_tag": {"a": []}}, headers=[1]),
        with_(properties={**properties, "delivery_info": None}, headers=None),
        with_(headers={"task": task, "id": ["x"]}),
        with_(headers={"task": "celery.backend_cleanup", "id": "x"}),
        with_(headers={"task": task, "id": "x", "expires": {}}),
        with_(headers={"task": task, "id": "x", "eta": "never"}),
        with_(headers={"task": task, "id": "x", "compression": "application/x-gzip"}, body=bomb),
        with_(headers={"task": f"{task}_unknown", "id": "x"}),
        with_(filler="x" * 3_000_000),
        base64.b64encode(b"x" * 100),
    ]


def resident(pid: int) -> int:
    """Peak memory of a process in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
        peak = next(line for line in status if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


@pytest.mark.parametrize(
    ("part", "queue", "task"),
    [("control", "control", "control.ping"), ("agent", "host.web01", "host.ping")],
)
def test_no_malformed_message_ends_a_worker_or_comes_back(
    house: House, part: str, queue: str, task: str
) -> None:
    client = redis.Redis(unix_socket_path=str(house.redis.socket))
    process = house.processes[part]
    before = resident(process.pid)
    sent = lines(queue, task)
    for line in sent:
        client.lpush(queue, line)
    # As a worker of an earlier version left it: taken, and never acknowledged.
    client.hset("unacked", "a2", json.dumps([LINE % (task, queue), "", queue]))
    client.hset("unacked", "a3", "not JSON")
    client.zadd("unacked_index", {"a2": 1, "a3": 1})
    moment = timezone.now()
    wake("web01", "ping", {"nonce": "afterwards"})

    def heard() -> bool:
        seen = Server.objects.get(name="web01").last_seen_at
        return seen is not None and seen > moment

    wait_until(heard, 30, "nothing is heard any more")
    wait_until(lambda: not client.llen(queue), 10, "the queue is not emptied")
    assert process.poll() is None, house.said()
    assert resident(process.pid) - before < 60_000_000
    # All but the one of an unknown task are not ours; Celery itself throws that one away.
    expected = len(sent) - 1
    if part == "control":
        wake("web01", "ping", {"nonce": "counted"})
        wait_until(lambda: dropped_messages()[0] == expected, 20, str(dropped_messages()))
        (finding,) = [
            f for f in examined(house.server, None).findings if f.code == "messages_dropped"
        ]
        assert str(expected) in finding.seen
        Pulse.beat("control", timezone.now())
        output = StringIO()
        call_command("pulse", "control", stdout=output)
        assert f"{expected} messages dropped" in output.getvalue()
    else:

        def told() -> Any:
            wake("web01", "ping", {"nonce": "counted"})
            agent: Any = Server.objects.get(name="web01").agent
            return agent["capabilities"]["agent"].get("dropped")

        wait_until(lambda: told() == expected, 20, "the agent does not say how many")
        server = Server.objects.get(name="web01")
        codes = {finding.code for finding in examined(server, None).findings}
        assert "agent_messages_dropped" in codes
    house.kill(part)
    house.start(part)
    moment = timezone.now()
    wake("web01", "ping", {"nonce": "after a new start"})
    wait_until(heard, 30, "nothing is heard after a new start")
    assert house.processes[part].poll() is None


@pytest.mark.parametrize("kind", ["string", "hash"])
def test_a_queue_that_is_no_list_ends_no_worker(house: House, kind: str) -> None:
    client = redis.Redis(unix_socket_path=str(house.redis.socket))
    for queue in ("control", "host.web01"):
        client.delete(queue)
        if kind == "string":
            client.set(queue, "x")
        else:
            client.hset(queue, "a", "b")
    time.sleep(3)
    assert [p.poll() for p in house.processes.values()] == [None, None], house.said()
    client.delete("control", "host.web01")
    moment = timezone.now()
    wait_until(
        lambda: (
            wake("web01", "ping", {"nonce": "x"})
            and (Server.objects.get(name="web01").last_seen_at or moment) > moment
        ),
        60,
        "nothing is heard any more",
    )
