"""Limits the requests of a token, and reports the limits.

Counted in two windows of a minute each, the older one weighted by its part of the last sixty
seconds: no burst of twice the limit at the turn of a minute. Counters are in Redis, shared by all
web processes; if it does not answer, each process counts for itself: the limit is then looser, but
no request is refused for that.
"""

from __future__ import annotations

import logging
import math
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from django.conf import settings

from mpm.access.counters import WINDOW, Counter, CounterAway, Memory

log = logging.getLogger(__name__)

AWAY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """``remaining`` requests of ``limit``; ``reset``: seconds until the whole limit is available
    again, ``retry_after``: until the next request is accepted (0 if this one was). ``policy`` names
    the limit."""

    limit: int
    remaining: int
    reset: int
    retry_after: int = 0
    policy: str = "token"

    @property
    def allowed(self) -> bool:
        return self.retry_after == 0

    @property
    def headers(self) -> dict[str, str]:
        """The fields of the IETF draft, and the three older ones most clients know."""
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w={WINDOW}',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={self.reset}',
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
            **({"Retry-After": str(self.retry_after)} if self.retry_after else {}),
        }


def judge(limit: int, previous: int, current: int, elapsed: float) -> Verdict:
    """Pure: ``current`` includes this request; ``elapsed`` seconds of the window have passed.

    Refused requests of the last window do not count in this one, so that a client that kept trying
    is accepted again like one that waited.
    """
    weight = 1 - elapsed / WINDOW
    before = min(previous, limit) * weight
    used = before + current
    reset = max(1, math.ceil(WINDOW - elapsed))
    if used <= limit:
        return Verdict(limit, max(0, math.floor(limit - used)), reset)
    over = used - limit
    # The older window fades over sixty seconds; the rest is freed when the window ends.
    fades = min(previous, limit) / WINDOW
    wait = over / fades if fades and over / fades < WINDOW - elapsed else WINDOW - elapsed
    return Verdict(limit, 0, reset, max(1, math.ceil(wait)))


class Limiter:
    """Uses the shared counter, or the one of this process while the shared one does not answer."""

    def __init__(self, shared: Counter | None) -> None:
        self._shared, self._memory, self._away_until = shared, Memory(), 0.0

    def hit(self, key: str, limit: int, amount: int = 1, now: float | None = None) -> Verdict:
        now = time.time() if now is None else now
        window, elapsed = divmod(now, WINDOW)
        previous, current = self._count(key, int(window), amount)
        return judge(limit, previous, current if amount else current + 1, elapsed)

    def _count(self, key: str, window: int, amount: int) -> tuple[int, int]:
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return self._shared.hit(key, window, amount)
            except CounterAway as error:
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("rate limits are counted per process for now: %s", error)
        return self._memory.hit(key, window, amount)


@cache
def limiter() -> Limiter:
    """The broker may be something else than Redis, as in tests: then there is nothing to share."""
    url: str = settings.REDIS_URL
    if not url.startswith(("redis:", "rediss:", "unix:")):
        return Limiter(None)
    from mpm.access.shared_counter import Shared  # a command in process is not limited

    return Limiter(Shared(url))


FAILURES_A_MINUTE = 20
FAILURES_OF_ONE = 5
"""For one account from one address: a program with an old password uses up a quarter of what its
address has, so that it never refuses the right passwords of others there."""


def wrong_secrets(key_id: str, address: str) -> Verdict:
    """Count a wrong token secret for its key id ("" if it has none) and for the client's address;
    returns the stricter verdict. Valid tokens are not limited by it."""
    keys = [f"secret-from:{address}", *([f"secret-of:{key_id}"] if key_id else [])]
    return _worst(dict.fromkeys(keys, FAILURES_A_MINUTE), "wrong-tokens", failed=True)


def wrong_tickets(address: str, *, failed: bool) -> Verdict:
    """How many tickets of WHM that were refused came from an address lately."""
    key = f"ticket-from:{address}"
    return _worst({key: FAILURES_A_MINUTE}, "wrong-tickets", failed=failed)


def guesses(name: str, address: str, *, failed: bool) -> Verdict:
    """The verdict on recent wrong passwords for the account ``name`` or from ``address``, including
    this one if ``failed``; the strictest one counts, so that neither many addresses for one account
    nor one address for many accounts get further. One account has a limit of its own from one
    address, at which its passwords are no longer looked at."""
    account = unicodedata.normalize("NFKC", name).strip().casefold()[:150]
    own = f"failed:{address}:account:{account}"
    limits = {
        own: FAILURES_OF_ONE,
        f"failed:{address}": FAILURES_A_MINUTE,
        f"failed:account:{account}": FAILURES_A_MINUTE,
    }
    return _worst(limits, "wrong-passwords", failed=failed)


def _worst(limits: Mapping[str, int], policy: str, *, failed: bool) -> Verdict:
    amount = 1 if failed else 0
    verdicts = [limiter().hit(key, limit, amount) for key, limit in limits.items()]
    return replace(max(verdicts, key=lambda verdict: verdict.retry_after), policy=policy)
