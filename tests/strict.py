"""A test that did not run has not passed: skips and expected failures fail the run."""

from __future__ import annotations

import pytest
from _pytest.reports import CollectReport, TestReport


class NothingSkipped:
    """Counts what was skipped or expected to fail, on this process and on xdist's workers."""

    def __init__(self) -> None:
        self.not_run: list[str] = []

    def pytest_runtest_logreport(self, report: TestReport) -> None:
        if report.skipped or hasattr(report, "wasxfail"):
            self.not_run.append(report.nodeid)

    def pytest_collectreport(self, report: CollectReport) -> None:
        if report.skipped:
            self.not_run.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.not_run and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.not_run:
            terminalreporter.section("skipped, which counts as failed", red=True)
            for node in self.not_run:
                terminalreporter.line(node)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(NothingSkipped(), "nothing-skipped")
