"""Fifty at once against a live server, and one change."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from mpm.models import Change, Event, IdempotentAnswer
from tests.api.conftest import AddServer, AddToken

pytestmark = pytest.mark.django_db(transaction=True)
EVENT = {"mpm": "event", "reason": "HTTP/2"}


@pytest.fixture
def address(live_server: Any) -> str:
    """A live server that lets fifty wait at its door: Django's own resets all but ten."""
    live_server.thread.httpd.socket.listen(128)
    return str(live_server.url)


def all_at_once(address: str, token: str, count: int, keys: Any, body: Any) -> list[httpx.Response]:
    def put(number: int) -> httpx.Response:
        return client.put(
            f"{address}/api/v1/servers/web03/mpm",
            json=body(number),
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": keys(number)},
        )

    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(max_workers=count) as pool:
        return list(pool.map(put, range(count)))


def test_fifty_identical_requests_at_once_make_one_change(
    add_server: AddServer, add_token: AddToken, address: str
) -> None:
    add_server()
    token = add_token("change").text
    answers = all_at_once(address, token, 50, lambda _: "same", lambda _: EVENT)
    assert Counter(answer.status_code for answer in answers) == {202: 50}
    assert len({answer.content for answer in answers}) == 1
    replayed = sum(answer.headers.get("Idempotency-Replayed") == "true" for answer in answers)
    assert replayed == 49
    assert Change.objects.count() == 1
    assert Event.objects.filter(kind="change.queued").count() == 1
    assert IdempotentAnswer.objects.count() == 1


def test_fifty_requests_for_one_state_at_once_make_one_change_and_answer_with_it(
    add_server: AddServer, add_token: AddToken, address: str
) -> None:
    add_server()
    token = add_token("change").text
    answers = all_at_once(address, token, 50, lambda number: f"key-{number}", lambda _: EVENT)
    assert Counter(answer.status_code for answer in answers) == {202: 50}
    change = Change.objects.get()
    assert {answer.json()["change"]["id"] for answer in answers} == {change.pk}


def test_fifty_requests_for_two_states_at_once_make_one_change_and_name_it(
    add_server: AddServer, add_token: AddToken, address: str
) -> None:
    add_server()
    token = add_token("change").text
    answers = all_at_once(
        address,
        token,
        50,
        lambda number: f"key-{number}",
        lambda number: {"mpm": ("event", "worker")[number % 2]},
    )
    assert Counter(answer.status_code for answer in answers) == {202: 25, 409: 25}
    change = Change.objects.get()
    assert {answer.json()["change"]["id"] for answer in answers} == {change.pk}


def test_one_key_with_two_bodies_at_once_is_one_change_and_refusals(
    add_server: AddServer, add_token: AddToken, address: str
) -> None:
    add_server()
    token = add_token("change").text
    answers = all_at_once(
        address,
        token,
        20,
        lambda _: "same",
        lambda number: {"mpm": ("event", "worker")[number % 2]},
    )
    assert Counter(answer.status_code for answer in answers) == {202: 10, 422: 10}
    assert Change.objects.count() == 1
