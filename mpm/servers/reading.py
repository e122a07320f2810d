"""How far the panel has read the agents' messages.

Agents' messages wait in one queue, in order. While that queue is long, the database is behind and
cannot show whether an agent is silent. So silence is judged by ``read_until``, never by the clock.
The panel puts marks at the end of the queue; when a mark is read, so are all messages sent before
it. All times are the panel's; agents' clocks do not matter.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from mpm.servers import agents
from mpm.servers.models import Pulse

READ = "read"
"""The pulse with the time until which everything has been read."""
SLACK = timedelta(seconds=15)
"""A shorter delay does not count: marks are sent every 10 seconds."""
KNOWN_FOR = 30.0
A_FEW = 16
"""This many are read in less than a second."""
NOTHING_READ = datetime(2000, 1, 1, tzinfo=UTC)

_delay: tuple[float, timedelta] | None = None
"""When this process last computed the delay of reading, and that delay."""


def look(now: datetime) -> datetime:
    """The time until which everything has been read; if messages wait, a mark is put behind
    them."""
    unread = agents.unread()
    if unread == 0:
        return _note(now, now)
    if unread is not None:
        agents.put_mark(now)
    return _until(now)


def passed_mark(put_at: str, now: datetime) -> None:
    """A mark has been read. Raises ValueError if it is invalid."""
    _note(min(_moment(put_at), now), now)


def read_until(now: datetime) -> datetime:
    """The time until which everything has been read, as known to this process; ``now`` if nothing
    has waited for more than a moment."""
    delay = _known_delay(now)
    return now if delay < SLACK else now - delay


def sent_at(now: datetime, reported: object = None) -> datetime:
    """When the message being read was sent. The time ``reported`` by the agent (ISO 8601) counts
    within the limits that the panel can verify."""
    earliest = read_until(now)
    try:
        moment = _moment(str(reported)) if reported else earliest
    except ValueError:
        return earliest
    return min(max(moment, earliest), now)


def judged_at(now: datetime, read: datetime | None) -> datetime:
    """The time for judging silence on a page, where ``read`` is the pulse's time: it stops while
    nothing is read."""
    return read if read is not None and now - read > 2 * SLACK else now


def forget() -> None:
    """Compute the delay again on next use."""
    global _delay
    _delay = None


def _known_delay(now: datetime) -> timedelta:
    global _delay
    if _delay is None or time.monotonic() - _delay[0] > KNOWN_FOR:
        waiting, read = agents.unread(), _last_noted()
        few = read is None or (waiting is not None and waiting <= A_FEW)
        behind = timedelta() if few or read is None else now - min(read, now)
        _delay = (time.monotonic(), behind)
    return _delay[1]


def _note(read: datetime, now: datetime) -> datetime:
    global _delay
    _delay = (time.monotonic(), now - read)
    Pulse.beat(READ, read)
    return read


def _until(now: datetime) -> datetime:
    return min(_last_noted() or NOTHING_READ, now)


def _last_noted() -> datetime | None:
    return Pulse.objects.filter(name=READ).values_list("at", flat=True).first()


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
