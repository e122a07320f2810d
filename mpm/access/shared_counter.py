"""Counts in Redis, shared by all processes of the panel."""

from __future__ import annotations

import redis
from redis.exceptions import RedisError

from mpm.access.counters import WINDOW, CounterAway


class Shared:
    """A counter for :class:`mpm.access.throttle.Limiter`. ``url`` is that of a Redis."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=0.25, socket_connect_timeout=0.25)

    def hit(self, key: str, window: int, amount: int) -> tuple[int, int]:
        pipe = self._redis.pipeline(transaction=False)
        name = f"ea4mpm:rate:{key}:"
        pipe.incrby(f"{name}{window}", amount)
        pipe.expire(f"{name}{window}", 2 * WINDOW)
        pipe.get(f"{name}{window - 1}")
        try:
            current, _, previous = pipe.execute()
        except (RedisError, OSError) as error:
            raise CounterAway(str(error)) from error
        return int(previous or 0), int(current)
