"""An agent that tells of packages which others have moved has its server looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache

from mpm.servers import looks
from mpm.servers.models import Server
from mpm.tasks import changed


@pytest.fixture(autouse=True)
def no_recent_requests() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The servers whose agents were asked for a look."""
    found: list[str] = []

    def wake(server: str, operation: str, _message: object) -> None:
        assert operation == "inspect"
        found.append(server)

    monkeypatch.setattr(looks, "wake", wake)
    return found


def test_a_server_is_looked_at_as_soon_as_its_agent_says_so(
    known_server: Callable[..., Server], requests: list[str]
) -> None:
    known_server("web01")
    changed(server="web01")
    assert requests == ["web01"]


def test_however_often_it_is_said_the_looks_are_bounded(
    known_server: Callable[..., Server], requests: list[str]
) -> None:
    known_server("web01")
    known_server("web02")
    for _ in range(50):
        changed(server="web01")
    changed(server="web02")
    assert requests == ["web01", "web02"]


def test_a_server_that_nobody_knows_or_that_is_disabled_is_not_asked(
    known_server: Callable[..., Server], requests: list[str]
) -> None:
    known_server("web01", active=False)
    changed(server="web01")
    changed(server="nowhere")
    task: Any = changed
    task(server=["web01"])
    task()
    assert requests == []
