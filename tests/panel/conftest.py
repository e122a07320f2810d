"""A short history that several tests look at."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mpm.changes.services.record import record_log
from mpm.models import Change
from mpm.servers.models import Server
from tests.panel.reports import EVENT, PREFORK, carried_out, piece


@pytest.fixture
def story_of_two(known_server: Callable[..., Server]) -> list[Change]:
    """Six changes of web01, there and back again, and one of web02."""
    server, other = known_server("web01"), known_server("web02")
    made = []
    for _ in range(3):
        made.append(carried_out(server, EVENT, reason="there"))
        record_log("web01", made[-1].uuid, 0, piece(b"log\n"))
        made.append(carried_out(server, PREFORK, reason="and back"))
    made.append(carried_out(other, EVENT))
    return made
