"""Sends messages to the agents: the only place of the panel that uses a host's queue.

Celery is imported by the first message, not with this module: a command that only reads the history
needs no broker, and would start 0.2 seconds later.
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

    A message is only a wake-up. If the broker does not answer, that is logged: the sweep sends
    again what is open in the database. Raises ValueError for an invalid operation or server name.
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
    """The number of waiting messages by agent, in one request; 0 if the broker does not answer.

    Otherwise an agent that was offline for days would find thousands of outdated messages.
    """
    names = list(servers)
    lengths = _waiting([host_queue(name) for name in names]) or [0] * len(names)
    return dict(zip(names, lengths, strict=True))


def backlog(server: str) -> int:
    return backlogs([server])[server]


def unread() -> int | None:
    """The number of agents' messages waiting for the panel; None if the broker does not answer."""
    lengths = _waiting([CONTROL_QUEUE])
    return lengths[0] if lengths else None


def messages_waiting(queues: Iterable[str]) -> dict[str, int] | None:
    """The number of waiting messages in each of these queues; None if the broker does not
    answer."""
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
