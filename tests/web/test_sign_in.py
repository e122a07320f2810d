"""Signing in: wrong passwords are counted, and no header resets the count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client

from mpm.access.services.actor import SYSTEM
from mpm.access.services.users import add_user
from mpm.access.throttle import FAILURES_A_MINUTE, FAILURES_OF_ONE, limiter

PASSWORD = "a long enough one"


@pytest.fixture(autouse=True)
def fresh_counts() -> Iterator[None]:
    limiter.cache_clear()
    yield
    limiter.cache_clear()


@pytest.fixture
def person(db: None) -> User:
    return add_user("robin", "support", actor=SYSTEM, password=PASSWORD)[0]


def sign_in(client: Client, name: str, password: str, address: str, **headers: str) -> int:
    form = {"username": name, "password": password}
    answer = client.post("/login/", form, REMOTE_ADDR=address, headers=headers or None)
    return int(answer.status_code)


def test_the_right_password_opens_the_panel(client: Client, person: User) -> None:
    assert sign_in(client, "robin", PASSWORD, "192.0.2.1") == 302
    assert client.get("/").status_code == 200


def test_an_address_that_guesses_waits_even_with_the_right_password(
    client: Client, person: User
) -> None:
    for number in range(FAILURES_A_MINUTE):
        assert sign_in(client, f"name{number}", "wrong", "192.0.2.1") == 200
    answer = client.post(
        "/login/", {"username": "robin", "password": PASSWORD}, REMOTE_ADDR="192.0.2.1"
    )
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "Too many attempts" in answer.content.decode()
    assert client.get("/").status_code == 302
    assert sign_in(client, "robin", PASSWORD, "192.0.2.2") == 302


def test_wrong_passwords_of_one_account_refuse_no_other_one_from_the_same_address(
    client: Client, person: User
) -> None:
    answers = [sign_in(client, "stale", "wrong", "192.0.2.1") for _ in range(3 * FAILURES_OF_ONE)]
    assert answers.count(429) == 2 * FAILURES_OF_ONE
    assert sign_in(client, "robin", PASSWORD, "192.0.2.1") == 302


def test_an_account_is_not_guessed_at_from_many_addresses(client: Client, person: User) -> None:
    spellings = ("robin", "ROBIN", " robin ", "\uff52obin")
    for number in range(FAILURES_A_MINUTE):
        name = spellings[number % len(spellings)]
        assert sign_in(client, name, "wrong", f"192.0.2.{number + 1}") == 200
    assert sign_in(client, "robin", PASSWORD, "198.51.100.7") == 429


def test_a_forged_header_makes_nobody_somebody_else(client: Client, person: User) -> None:
    answers = [
        sign_in(
            client,
            f"name{number}",
            "wrong",
            "192.0.2.1",
            **{"X-Forwarded-For": f"203.0.113.{number}"},
        )
        for number in range(FAILURES_A_MINUTE + 1)
    ]
    assert answers[-1] == 429
