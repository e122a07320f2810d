"""Speaks to the agents: the only place of the panel that puts a message on a host's queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from easyapache.celery import app
from easyapache.ea4.protocol import CONTROL_QUEUE, host_queue

log = logging.getLogger(__name__)

OPERATIONS = frozenset({"inspect", "preview", "apply", "cancel", "sync", "repair", "ping"})
EXPIRES_SECONDS = 120
"""A message that waited longer is dropped by the agent: the sweep has sent a newer one, and a
change that was closed meanwhile must not begin. Long enough for clocks that differ a little."""
PAUSE_SECONDS = 5.0
"""After a failure the broker is left alone this long, so that a page waits for it once only."""

_away_until = 0.0


def wake(server: str, operation: str, payload: Mapping[str, Any]) -> bool:
    """Send ``host.<operation>`` to the agent of ``server``; True when the broker took it.

    A message is a wake-up and nothing more. When the broker is away this is logged and that
    is all: the sweep sends again what the database says is still to be done.
    Raises ValueError for an operation or a server name that cannot be.
    """
    if operation not in OPERATIONS:
        raise ValueError(f"{operation!r} is not an operation of an agent")
    return _send(f"host.{operation}", payload, host_queue(server), EXPIRES_SECONDS)


def _send(name: str, payload: Mapping[str, Any], queue: str, expires: float | None = None) -> bool:
    global _away_until
    if time.monotonic() < _away_until:
        return False
    try:
        app.send_task(
            name,
            kwargs=dict(payload),
            queue=queue,
            expires=expires,
            retry=False,
            ignore_result=True,
        )
    except (OperationalError, RedisError, OSError) as error:
        _away_until = time.monotonic() + PAUSE_SECONDS
        log.warning("the broker did not accept %s for %s: %s", name, queue, error)
        return False
    return True


def forget_failures() -> None:
    """Try the broker again at once: it is known to be another one, or back."""
    global _away_until
    _away_until = 0.0


def backlogs(servers: Iterable[str]) -> dict[str, int]:
    """How many messages wait for each agent, asked in one go; 0 where the broker cannot say.

    An agent that is away for days would otherwise be met by thousands of stale questions.
    """
    names = list(servers)
    lengths = _waiting([host_queue(name) for name in names]) or [0] * len(names)
    return dict(zip(names, lengths, strict=True))


def backlog(server: str) -> int:
    return backlogs([server])[server]


def unread() -> int | None:
    """How many messages of agents wait for the panel; None when the broker cannot say."""
    lengths = _waiting([CONTROL_QUEUE])
    return lengths[0] if lengths else None


def messages_waiting(queues: Iterable[str]) -> dict[str, int] | None:
    """How many messages wait in each of these queues; None when the broker cannot say."""
    names = list(queues)
    lengths = _waiting(names)
    return None if lengths is None else dict(zip(names, lengths, strict=True))


def put_mark(at: datetime) -> bool:
    """Put a mark behind everything that waits for the panel now (``mpm.servers.reading``)."""
    return _send("control.mark", {"put_at": at.isoformat()}, CONTROL_QUEUE)


def broker_answers() -> bool:
    """Whether the broker can be reached; after a failure no is remembered for a moment."""
    return unread() is not None


def _waiting(queues: list[str]) -> list[int] | None:
    """How many messages are in each queue; None when the broker is away."""
    global _away_until
    if time.monotonic() < _away_until:
        return None
    try:
        pool: Any = app.pool
        with pool.acquire(block=True) as connection:
            channel = connection.default_channel
            if not hasattr(channel, "conn_or_acquire"):
                return [_declared(channel, queue) for queue in queues]
            with channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
                for queue in queues:
                    pipe.llen(queue)  # nothing here is sent with a priority of its own
                return [int(length) for length in pipe.execute()]
    except (OperationalError, RedisError, OSError) as error:
        _away_until = time.monotonic() + PAUSE_SECONDS
        log.warning("cannot read the length of %d queues: %s", len(queues), error)
        return None


def _declared(channel: Any, queue: str) -> int:
    """The same of a broker that is no Redis."""
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0  # it answers: there is no such queue
