"""How panel and agents use their Redis: few connections, and few commands for each message.

Redis has room for 10 000 clients. Kombu opens two or more connections for every channel and
Celery has a channel for every thread that sends, so that 700 agents would fill it.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis


class Channel(kombu_redis.Channel):
    """One pool of connections instead of two, and no book of what is not acknowledged yet.

    That book gives a message again whose worker was killed, an hour later. Here every message
    may be lost: the sweep finds what is still to be done within seconds.
    """

    ack_emulation = False

    @property
    def pool(self) -> Any:
        return self.async_pool


class Transport(kombu_redis.Transport):
    Channel = Channel


def use_few_connections() -> None:
    """Have kombu open addresses of Redis with this transport, in this process."""
    ours = f"{__name__}:{Transport.__name__}"
    TRANSPORT_ALIASES.update({"redis": ours, "rediss": ours})
