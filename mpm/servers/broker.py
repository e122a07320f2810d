"""The broker, through Celery: sends a message to a queue, and reads the length of queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from easyapache.celery import app

ERRORS = (OperationalError, RedisError, OSError)
"""The exceptions of a broker that does not answer."""


def send(name: str, payload: Mapping[str, Any], queue: str, expires: float | None) -> None:
    """Send one message to ``queue``, without retries. ``expires``: seconds after which its consumer
    drops it. Raises one of ERRORS."""
    app.send_task(
        name,
        kwargs=dict(payload),
        queue=queue,
        expires=expires,
        retry=False,
        ignore_result=True,
    )


def lengths(queues: list[str]) -> list[int]:
    """The number of messages in each queue, in one round trip. Raises one of ERRORS."""
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
