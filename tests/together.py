"""Which tests run in one process, and in which order.

A panel and a browser take longer to start than most tests take to run. Tests that share one stay
in one process instead of starting it in each; and what takes long is begun first, so that at the
end no process waits for another.
"""

from __future__ import annotations

import pytest

SHARED = "simulated_panel"
"""The panel that many tests share."""


def group_of(item: pytest.Item) -> str:
    """The name of the group a test runs with; empty where any process will do."""
    definitions = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    module = item.nodeid.partition("::")[0]
    if SHARED in definitions:
        return SHARED
    return module if any(found[-1].scope == "module" for found in definitions.values()) else ""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Here, because xdist reads the marks as soon as everything is collected."""
    if group := group_of(item):
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        longest_first = ("xdist_group", "browser", "lab")
        marked = [
            number for number, name in enumerate(longest_first) if item.get_closest_marker(name)
        ]
        return min(marked, default=len(longest_first))

    items.sort(key=place)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Nobody needs the shared panel after the last test of its group, and at rest it still looks
    at its servers every few seconds."""
    panel = getattr(item, "funcargs", {}).get(SHARED)
    if panel and SHARED not in getattr(nextitem, "fixturenames", ()):
        panel.stop()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that xdist takes no notice of cost minutes and are seen nowhere else."""
    if not session.config.getoption("loadgroup", default=False):
        return
    for item in session.items:
        if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
            raise pytest.UsageError(f"pytest-xdist does not group {item.nodeid}")
