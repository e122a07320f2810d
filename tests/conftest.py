"""What every test may use; each area keeps its fixtures in a module of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from easyapache import memory

# How long a machine takes to think of an example says nothing of what is tested.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

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


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background so, and every program that a test starts would
    # inherit it: none of them would hear of Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def files_as_by_default() -> Iterator[None]:
    """The panel's processes create files for themselves alone, and so does a test that has loaded
    one of them. The next test begins as any process does."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """All tests stay loaded until the end: Python need not look through them again and again."""
    memory.starting()
    try:
        return (yield)
    finally:
        memory.started()
