"""Speaks to the agents: the only place of the panel that puts a message on a host's queue.

Celery is loaded by the first message, not by the first import: a command of a shell that only reads
the history needs no broker, and would take a fifth of a second longer to start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

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
    from mpm.servers import broker

    try:
        broker.send(name, payload, queue, expires)
    except broker.ERRORS as error:
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


def broker_is_up() -> bool:
    """Whether the broker can be reached; after a failure no is remembered for a moment."""
    return unread() is not None


def _waiting(queues: list[str]) -> list[int] | None:
    """How many messages are in each queue; None when the broker is away."""
    global _away_until
    if time.monotonic() < _away_until:
        return None
    from mpm.servers import broker

    try:
        return broker.lengths(queues)
    except broker.ERRORS as error:
        _away_until = time.monotonic() + PAUSE_SECONDS
        log.warning("cannot read the length of %d queues: %s", len(queues), error)
        return None
