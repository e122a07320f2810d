"""Rate limits: counted over sixty seconds, told in headers, and never in the way of all."""

from __future__ import annotations

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from easyapache.models import Server
from mpm.models import Token
from mpm.throttle import WINDOW, Limiter, failures, judge
from mpm.tokens import revoke
from tests.api.conftest import ADMIN, AddToken, Call, Whm


def test_a_token_is_told_its_limit_and_stopped_at_it(
    server: Server, add_token: AddToken, call: Call
) -> None:
    token, other = add_token("read", per_minute=3), add_token("read", per_minute=3)
    answers = [call("GET", "servers", token=token) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    refused = answers[-1]
    assert refused.type == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= WINDOW
    assert refused.headers["RateLimit-Policy"] == '"token";q=3;w=60'
    assert refused.headers["RateLimit"].startswith('"token";r=0;t=')
    assert call("GET", "servers", token=other).status == 200


def test_an_address_that_guesses_is_stopped(
    server: Server, add_token: AddToken, call: Call
) -> None:
    statuses = [call("GET", "servers", token="ea4mpm_guess").status for _ in range(25)]
    assert statuses[:20] == [401] * 20
    assert statuses[-1] == 429
    assert call("GET", "servers", token=add_token("read")).status == 429
    assert failures("192.0.2.99", failed=False).allowed


@pytest.mark.parametrize("why", ["expired", "revoked", "of another network"])
def test_an_old_secret_that_is_still_in_use_locks_out_nobody_else(
    server: Server, add_token: AddToken, call: Call, whm: Whm, why: str
) -> None:
    old, good = add_token("read", per_minute=25), add_token("read")
    if why == "expired":
        Token.objects.filter(pk=old.token.pk).update(expires_at=timezone.now())
    elif why == "revoked":
        revoke(old.token, ADMIN)
    else:
        Token.objects.filter(pk=old.token.pk).update(networks=["203.0.113.0/24"])
    statuses = [call("GET", "servers", token=old).status for _ in range(30)]
    assert statuses == [401] * 25 + [429] * 5
    assert call("GET", "servers", token=good).status == 200
    assert whm("servicestatus", service="httpd")["metadata"]["result"] == 1


@given(
    limit=st.integers(1, 1000),
    previous=st.integers(0, 5000),
    current=st.integers(1, 5000),
    elapsed=st.floats(0, 59.999),
)
def test_a_verdict_is_consistent(limit: int, previous: int, current: int, elapsed: float) -> None:
    verdict = judge(limit, previous, current, elapsed)
    assert 0 <= verdict.remaining < limit or not verdict.allowed
    assert verdict.allowed == (verdict.retry_after == 0)
    assert 0 <= verdict.retry_after <= WINDOW
    assert 1 <= verdict.reset <= WINDOW
    if current > limit:
        assert not verdict.allowed
    if previous == 0 and current <= limit:
        assert verdict.allowed


def test_no_burst_of_twice_the_limit_at_the_turn_of_the_minute() -> None:
    limiter = Limiter(None)
    late = [limiter.hit("k", 10, now=1_000_000_019.5).allowed for _ in range(10)]
    assert all(late)
    early = [limiter.hit("k", 10, now=1_000_000_020.5).allowed for _ in range(10)]
    assert not any(early)
    assert limiter.hit("k", 10, now=1_000_000_139.0).allowed


def test_looking_counts_nothing() -> None:
    limiter = Limiter(None)
    assert all(limiter.hit("k", 2, 0, now=1e9).allowed for _ in range(9))
    assert [limiter.hit("k", 2, now=1e9).allowed for _ in range(3)] == [True, True, False]
    assert not limiter.hit("k", 2, 0, now=1e9).allowed


def test_without_redis_each_process_counts_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    from mpm.throttle import Shared

    limiter = Limiter(Shared("redis://127.0.0.1:1/0"))
    assert [limiter.hit("k", 2, now=1e9).allowed for _ in range(3)] == [True, True, False]
    assert len([r for r in caplog.records if "per process" in r.message]) == 1
