"""Problems of the broker (Redis), and how to fix them.

Celery and redis are imported on use: most commands never need them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from easyapache.ea4.protocol import CONTROL_QUEUE
from easyapache.ea4.sentences import Sentence
from mpm.access.services.actor import Unanswered


@dataclass(frozen=True, slots=True)
class Trouble:
    """``seen`` is the error of Redis or the system, in English and without a password."""

    cause: Sentence
    fix: Sentence
    seen: str


_LOADING = (
    Sentence("Redis is loading its append-only file and accepts no messages until it finishes."),
    Sentence(
        "Wait until it finishes. The panel doesn't need that file: set appendonly no and save "
        '"" in redis.conf, then restart Redis.'
    ),
)
_REFUSED = (
    Sentence("Redis rejects the username or password in REDIS_URL, or the user lacks permissions."),
    Sentence(
        "Compare REDIS_URL with requirepass or the user line in redis.conf, and give the user "
        "the permissions listed in Help » Install by hand."
    ),
)
_CANNOT_SAVE = (
    Sentence("Redis accepts no messages because it can't save its data to disk."),
    Sentence(
        'The panel doesn\'t need that file: set save "" and appendonly no in redis.conf, '
        "then restart Redis."
    ),
)
_FULL = (
    Sentence("Redis accepts no messages because it has reached its memory limit (maxmemory)."),
    Sentence(
        "Raise maxmemory in redis.conf, and check that the worker and all agents are running."
    ),
)
_STANDBY = (
    Sentence("Redis is a read-only replica."),
    Sentence("Set REDIS_URL to the address of the primary."),
)
_AWAY = (
    Sentence("Redis can't be reached, so the panel and its servers can't exchange messages."),
    Sentence(
        "Start Redis (systemctl status redis). If its log reports an unreadable append-only "
        'file, set appendonly no and save "" in redis.conf, delete appendonlydir or '
        "appendonly.aof, and start it again. No change is lost."
    ),
)


def trouble() -> Trouble | None:
    """Check the broker; None if it accepts messages."""
    from easyapache.celery import app
    from mpm.servers.broker import ERRORS

    try:
        with app.connection_for_write() as connection:
            client: Any = getattr(connection.default_channel, "client", None)
            if client is not None and hasattr(client, "ping"):
                client.ping()
                # Refused like any write; a list without a name of its own is never pushed to.
                client.lpushx(f"{CONTROL_QUEUE}:probe", "")
    except ERRORS as error:
        return _named(error)
    return None


def need_the_broker() -> None:
    """Raises Unanswered if a message to a server would not arrive, so that no request waits for
    it."""
    if (broken := trouble()) is not None:
        raise Unanswered(broken.cause, code="no_broker", status=503, remedy=broken.fix)


def _named(error: BaseException) -> Trouble:
    from kombu.exceptions import OperationalError
    from redis import exceptions as redis

    cause = error.__cause__ if isinstance(error, OperationalError) else error
    cause = cause or error
    text = str(cause)
    if isinstance(cause, redis.BusyLoadingError):
        known = _LOADING
    elif isinstance(cause, redis.AuthenticationError | redis.NoPermissionError) or "NOAUTH" in text:
        known = _REFUSED
    elif isinstance(cause, redis.OutOfMemoryError):
        known = _FULL
    elif isinstance(cause, redis.ReadOnlyError):
        known = _STANDBY
    elif isinstance(cause, redis.ResponseError) and "MISCONF" in text:
        known = _CANNOT_SAVE
    else:
        known = _AWAY
    return Trouble(*known, text[:300])
