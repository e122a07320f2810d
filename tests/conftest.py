"""What every test may use; each area keeps its fixtures in a module of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from easyapache import memory

pytest_plugins = [
    "tests.faults.report",
    "tests.labs",
    "tests.panel_fixtures",
    "tests.stack",
    "tests.strict",
    "tests.browser",
    "tests.desk",
    "tests.together",
]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """All tests stay loaded until the end: Python need not look through them again and again."""
    memory.starting()
    try:
        return (yield)
    finally:
        memory.started()
