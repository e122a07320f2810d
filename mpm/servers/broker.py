"""The broker itself, by way of Celery: to put a message on a queue, and to ask how long it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from easyapache.celery import app

ERRORS = (OperationalError, RedisError, OSError)
"""What it is to be away."""


def send(name: str, payload: Mapping[str, Any], queue: str, expires: float | None) -> None:
    """Put one message on ``queue``, without another attempt. ``expires``: seconds until whoever
    reads it drops it. Raises one of ERRORS."""
    app.send_task(
        name,
        kwargs=dict(payload),
        queue=queue,
        expires=expires,
        retry=False,
        ignore_result=True,
    )


def lengths(queues: list[str]) -> list[int]:
    """How many messages are in each queue, asked in one round trip. Raises one of ERRORS."""
    pool: Any = app.pool
    with pool.acquire(block=True) as connection:
        channel = connection.default_channel
        if not hasattr(channel, "conn_or_acquire"):
            return [_declared(channel, queue) for queue in queues]
        with channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.llen(queue)  # nothing here is sent with a priority of its own
            return [int(length) for length in pipe.execute()]


def _declared(channel: Any, queue: str) -> int:
    """The same of a broker that is no Redis."""
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0  # it answers: there is no such queue
