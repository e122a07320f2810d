"""Speaks to the agents: the only place of the panel that puts a message on a host's queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from easyapache.celery import app
from easyapache.host.protocol import host_queue

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
    if time.monotonic() < _away_until:
        return 0
    try:
        with app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            declared = channel.queue_declare(host_queue(server), passive=True)
    except ChannelError:
        return 0
    except (OperationalError, RedisError, OSError) as error:
        log.warning("The broker did not say how long the queue of %s is: %s", server, error)
        return 0
    return int(declared.message_count)
