"""The table of faults at the end of a test run: fault, times, as before, as asked, neither."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.faults.field import Ending, Table

RecordEnding = Callable[[Ending], Ending]


@pytest.fixture
def record_ending(record_property: Callable[[str, object], None]) -> RecordEnding:
    """Enter an ending into the table; whatever process the test ran in."""

    def record(ending: Ending) -> Ending:
        line = (ending.fault, ending.kills, ending.end, ending.outcome, ending.why)
        record_property("ending", json.dumps(line))
        return ending

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table = Table()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            if report.when != "call":
                continue
            for name, value in report.user_properties:
                if name == "ending":
                    table.add(Ending(*json.loads(str(value))))
    if table.endings:
        terminalreporter.section("changes on a real server, and how they ended")
        for line in str(table).splitlines():
            terminalreporter.line(line)
        terminalreporter.line(f"{len(table.endings)} changes, {table.kills} kills")
