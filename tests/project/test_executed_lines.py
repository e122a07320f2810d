"""SlipCover notes what coverage.py would: the same tests run under each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from coverage import Coverage, CoverageData

from tests.executed_lines import (
    PACKAGES,
    SENT,
    TOP,
    ExecutedLines,
    pytest_load_initial_conftests,
    write,
)

QUICK = "tests/pure/test_turns.py"
CONTROLLER = cast(pytest.Session, SimpleNamespace(config=SimpleNamespace()))
"""The session of a process that is no worker of pytest-xdist."""


def run(data_file: Path, *argv: str) -> str:
    """A run of pytest of its own. Returns what it printed."""
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", *argv, "-q", "-p", "no:cacheprovider"],
        cwd=TOP,
        env={**inherited, "COVERAGE_FILE": str(data_file)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def read(data_file: Path) -> CoverageData:
    data = CoverageData(str(data_file))
    data.read()
    return data


def statements(data_file: Path) -> dict[str, set[int]]:
    """The statements executed, by file: what coverage.py makes of the lines in ``data_file``."""
    coverage = Coverage(data_file=str(data_file), config_file=str(TOP / "pyproject.toml"))
    coverage.load()
    found: dict[str, set[int]] = {}
    data = coverage.get_data()
    for name in data.measured_files():
        if data.lines(name):
            _, all_statements, _, missing, _ = coverage.analysis2(name)
            found[name] = set(all_statements) - set(missing)
    return {name: executed for name, executed in found.items() if executed}


def test_the_workers_of_a_run_note_the_statements_that_coverage_sees(tmp_path: Path) -> None:
    plugin = ("-p", "tests.executed_lines")
    output = run(tmp_path / "noted", "pytest", *plugin, "-n", "1", QUICK)
    assert " passed" in output, output
    source = f"--source={','.join(PACKAGES)}"
    output = run(tmp_path / "traced", "coverage", "run", source, "-m", "pytest", "-n", "0", QUICK)
    assert " passed" in output, output
    traced = statements(tmp_path / "traced")
    assert str(TOP / "mpm/web/polling.py") in traced
    assert statements(tmp_path / "noted") == traced


def test_a_file_that_nothing_was_executed_of_counts(tmp_path: Path) -> None:
    write(tmp_path / "noted", {str(TOP / "mpm/checks.py"): [1]}, {str(TOP / "mpm/checks.py"): [3]})
    data = read(tmp_path / "noted")
    assert data.lines(str(TOP / "mpm/checks.py")) == [1, 3]
    assert data.lines(str(TOP / "easyapache/wsgi.py")) == []


def test_a_module_that_was_imported_before_fails_the_run(pytestconfig: pytest.Config) -> None:
    with pytest.raises(pytest.UsageError, match="imported before its lines could be noted"):
        next(pytest_load_initial_conftests(pytestconfig))


def test_what_workers_executed_is_written_when_the_run_ends(tmp_path: Path) -> None:
    name = str(TOP / "mpm/checks.py")
    executed_lines = ExecutedLines(tmp_path / "noted")
    for lines in ([1, 3], [3, 4]):
        executed_lines.pytest_testnodedown(SimpleNamespace(workeroutput={SENT: {name: lines}}))
    executed_lines.pytest_sessionfinish(CONTROLLER)
    assert read(tmp_path / "noted").lines(name) == [1, 3, 4]


def test_nothing_is_written_of_a_run_in_which_a_worker_crashed(tmp_path: Path) -> None:
    executed_lines = ExecutedLines(tmp_path / "noted")
    executed_lines.pytest_testnodedown(SimpleNamespace(workeroutput={SENT: {"a.py": [1]}}))
    executed_lines.pytest_testnodedown(SimpleNamespace())
    executed_lines.pytest_sessionfinish(CONTROLLER)
    assert not (tmp_path / "noted").exists()
