"""Which tests run in one process, and in which order.

A panel and a browser take longer to start than most tests take to run. Tests that share one stay
in one process instead of starting it in each; and what takes long is begun first, so that at the
end no process waits for another.
"""

from __future__ import annotations

import pytest

SHARED = "simulated_panel"
"""The fixture that lives as long as its process."""


def group_of(item: pytest.Item) -> str:
    """The name of the group a test runs with; empty where any process will do."""
    definitions = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    module = item.nodeid.partition("::")[0]
    if SHARED in definitions and not module.endswith("test_every_page.py"):
        return SHARED
    scopes = {found[-1].scope for found in definitions.values()}
    return module if SHARED in definitions or "module" in scopes else ""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Here, because xdist reads the marks as soon as everything is collected."""
    if group := group_of(item):
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        marks = item.get_closest_marker
        return 0 if marks("xdist_group") else 1 if marks("lab") else 2

    items.sort(key=place)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that xdist takes no notice of cost minutes and are seen nowhere else."""
    if not session.config.getoption("loadgroup", default=False):
        return
    for item in session.items:
        if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
            raise pytest.UsageError(f"pytest-xdist does not group {item.nodeid}")
