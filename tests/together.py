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
    if any(found[-1].scope == "module" for found in definitions.values()):
        return module
    if SHARED not in definitions:
        return ""
    return module if module.endswith("test_every_page.py") else SHARED


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return 0 if groups[item] else 1 if item.get_closest_marker("lab") else 2

    groups = {item: group_of(item) for item in items}
    for item, group in groups.items():
        if group:
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=place)
