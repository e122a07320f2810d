"""Speaks to the agents: the only place of the panel that puts a message on a host's queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from easyapache.celery import app
from easyapache.host.protocol import CONTROL_QUEUE, host_queue

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
    global _away_until
    if operation not in OPERATIONS:
        raise ValueError(f"{operation!r} is no operation of an agent")
    queue = host_queue(server)
    if time.monotonic() < _away_until:
        return False
    try:
        app.send_task(
            f"host.{operation}",
            kwargs=dict(payload),
            queue=queue,
            expires=EXPIRES_SECONDS,
            retry=False,
            ignore_result=True,
        )
    except (OperationalError, RedisError, OSError) as error:
        _away_until = time.monotonic() + PAUSE_SECONDS
        log.warning("The broker did not take %s for %s: %s", operation, server, error)
        return False
    return True


def forget_failures() -> None:
    """Try the broker again at once: it is known to be another one, or back."""
    global _away_until
    _away_until = 0.0


def backlog(server: str) -> int:
    """How many messages wait for the agent of ``server``; 0 when the broker cannot say.

    An agent that is away for days would otherwise be met by thousands of stale questions.
    """
    return _waiting(host_queue(server)) or 0


def broker_answers() -> bool:
    """Whether the broker can be reached; after a failure no is remembered for a moment."""
    return _waiting(CONTROL_QUEUE) is not None


def _waiting(queue: str) -> int | None:
    """How many messages are in a queue; None when the broker is away."""
    global _away_until
    if time.monotonic() < _away_until:
        return None
    try:
        with app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0  # it answers: there is no such queue
    except (OperationalError, RedisError, OSError) as error:
        _away_until = time.monotonic() + PAUSE_SECONDS
        log.warning("The broker did not say how long the queue %s is: %s", queue, error)
        return None
