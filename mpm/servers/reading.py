"""How far the panel has read of what the agents sent.

What agents tell waits in one queue, in its order. While that queue is long, what the database
knows is old: that a server said nothing since is then not to be had from it. So whoever judges a
silence asks ``read_until``, and never the clock. Known by a mark of the panel's own: it is put at
the end of the queue, and when it is read, so is everything that was sent before it. All times are
the panel's; how an agent's clock goes does not matter.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from mpm.servers import agents
from mpm.servers.models import Pulse

READ = "read"
"""The pulse that says until when everything has been read."""
SLACK = timedelta(seconds=15)
"""A delay below this is none: marks are put every 10 seconds."""
KNOWN_FOR = 30.0
A_FEW = 16
"""So many are read in less than a second."""
NOTHING_READ = datetime(2000, 1, 1, tzinfo=UTC)

_delay: tuple[float, timedelta] | None = None
"""When this process last found out how old what it reads is, and how old it was."""


def look(now: datetime) -> datetime:
    """Until when everything has been read; where something waits, a mark is put behind it."""
    unread = agents.unread()
    if unread == 0:
        return _note(now, now)
    if unread is not None:
        agents.put_mark(now)
    return _until(now)


def passed_mark(put_at: str, now: datetime) -> None:
    """A mark has been read. Raises ValueError for what is none."""
    _note(min(_moment(put_at), now), now)


def read_until(now: datetime) -> datetime:
    """Until when everything has been read, as this process knows; ``now`` where nothing waits
    for longer than a moment."""
    delay = _known_delay(now)
    return now if delay < SLACK else now - delay


def sent_at(now: datetime, reported: object = None) -> datetime:
    """When what is being read now was sent. What the agent itself ``told`` of that (ISO 8601)
    counts as far as the panel can tell that it may be true."""
    earliest = read_until(now)
    try:
        moment = _moment(str(reported)) if reported else earliest
    except ValueError:
        return earliest
    return min(max(moment, earliest), now)


def judged_at(now: datetime, read: datetime | None) -> datetime:
    """The moment at which a page may judge silence, where ``read`` is what the pulse says: it does
    not go on while nothing is read."""
    return read if read is not None and now - read > 2 * SLACK else now


def forget() -> None:
    """Find out anew."""
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
