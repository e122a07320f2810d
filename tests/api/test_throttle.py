"""Rate limits: counted over sixty seconds, told in headers, and never in the way of all."""

from __future__ import annotations

import base64

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from mpm.access.counters import WINDOW
from mpm.access.rights import ADMINISTRATOR
from mpm.access.throttle import Limiter, judge
from mpm.access.tokens import revoke
from mpm.models import Token
from mpm.servers.models import Server
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
    answers = [call("GET", "servers", token="ea4mpm_guess") for _ in range(25)]
    statuses = [answer.status for answer in answers]
    assert statuses[:20] == [401] * 20
    assert statuses[-1] == 429
    assert answers[-1].headers["RateLimit-Policy"] == '"wrong-tokens";q=20;w=60'
    assert answers[-1].headers["RateLimit"].startswith('"wrong-tokens";r=0;t=')


def test_wrong_credentials_of_one_refuse_nobody_from_the_same_address_who_has_right_ones(
    server: Server, add_token: AddToken, call: Call, whm: Whm, client: Client
) -> None:
    good, person = add_token("read"), User.objects.create_user("anna", password="a long password")
    person.groups.add(Group.objects.get_or_create(name=ADMINISTRATOR)[0])
    wrong = f"whm root:{good.text[:-1]}{'a' if good.text[-1] != 'a' else 'b'}"
    for number in range(45):
        text = f"ea4mpm_{number:012}_{'x' * 43}" if number % 2 else "no token at all"
        call("GET", "servers", token=text)
        client.get("/json-api/servicestatus", headers={"Authorization": wrong})
    refused_one = client.get("/json-api/servicestatus", headers={"Authorization": wrong})
    assert refused_one.status_code == 429
    answer = call("GET", "servers", token=good)
    assert (answer.status, answer.headers["RateLimit-Policy"][:7]) == (200, '"token"')
    assert whm("servicestatus", service="httpd")["metadata"]["result"] == 1
    basic = base64.b64encode(b"anna:a long password").decode()
    by_password = client.get(
        "/json-api/servicestatus?api.version=1", headers={"Authorization": f"Basic {basic}"}
    )
    assert by_password.json()["metadata"]["result"] == 1


def test_wrong_passwords_do_not_refuse_a_valid_token_and_name_their_own_limit(
    server: Server, add_token: AddToken, call: Call, client: Client
) -> None:
    basic = base64.b64encode(b"anna:wrong").decode()
    answers = [
        client.get("/json-api/version", headers={"Authorization": f"Basic {basic}"})
        for _ in range(25)
    ]
    answer = answers[-1]
    assert answer.status_code == 429
    assert answer.headers["RateLimit-Policy"] == '"wrong-passwords";q=5;w=60'
    assert call("GET", "servers", token=add_token("read")).status == 200
    sam = User.objects.create_user("sam", password="right horse")
    sam.groups.add(Group.objects.get(name="support"))
    basic = base64.b64encode(b"sam:right horse").decode()
    answer = client.get("/json-api/version", headers={"Authorization": f"Basic {basic}"})
    assert answer.status_code == 200


def test_one_key_id_is_not_guessed_faster_from_many_addresses(
    server: Server, add_token: AddToken, client: Client
) -> None:
    good = add_token("read")
    wrong = f"Bearer {good.text[:-1]}{'a' if good.text[-1] != 'a' else 'b'}"
    statuses = [
        client.get(
            "/api/v1/servers",
            headers={"Authorization": wrong},
            REMOTE_ADDR=f"203.0.113.{number}",
        ).status_code
        for number in range(25)
    ]
    assert statuses == [401] * 20 + [429] * 5


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
    from mpm.access.shared_counter import Shared

    limiter = Limiter(Shared("redis://127.0.0.1:1/0"))
    assert [limiter.hit("k", 2, now=1e9).allowed for _ in range(3)] == [True, True, False]
    assert len([r for r in caplog.records if "per process" in r.message]) == 1
