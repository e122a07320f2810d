"""What every test may use; each area keeps its fixtures in a module of its own."""

from __future__ import annotations

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
