"""Notes which lines of ``easyapache`` and ``mpm`` a test run executes.

``pytest -p tests.executed_lines`` leaves them in ``.coverage``, and coverage.py reports on them:
``coverage report -m``, ``coverage html``. They are noted by SlipCover, which costs a tenth of what
coverage.py does on Python 3.11: see docs/decisions/0018-slipcover-notes-coverage-reports.md.

Only the processes of pytest count, which are the controller and the workers of pytest-xdist. A
program that a test starts (the agent, the panel, the demo) isn't counted.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest
from coverage import CoverageData
from slipcover import Slipcover

TOP = Path(__file__).resolve().parent.parent
PACKAGES = ("easyapache", "mpm")
DATA_FILE = Path(os.environ.get("COVERAGE_FILE", TOP / ".coverage"))
"""Where coverage.py looks for it."""

SENT = "executed_lines"
"""The key under which a worker sends its lines to the controller."""

NEEDLESS_CALLS = 5000
"""After how many calls for lines that are known already SlipCover takes such calls out of the
bytecode. It looks through all modules each time, and with its default of 50 that alone cost a
tenth of the processor time of ``tests/pure``."""


class _Node(Protocol):
    """A worker of pytest-xdist that has ended. It has no output if it crashed."""

    workeroutput: dict[str, object]


class _Slipcover(Slipcover):  # type: ignore[misc] # it has no types
    """SlipCover, which can be kept from taking needless calls out for a while."""

    paused = False

    def deinstrument_seen(self) -> None:
        """Called by SlipCover (on Python 3.11), which makes code objects anew here: megabytes."""
        if not self.paused:
            super().deinstrument_seen()


class _Loader(SourceFileLoader):
    """Loads a module with a call for each of its lines."""

    slipcover: Slipcover

    def exec_module(self, module: ModuleType) -> None:
        self.slipcover.register_module(module)
        code = self.slipcover.instrument(self.get_code(module.__name__))
        exec(code, module.__dict__)  # noqa: S102 (what every loader does)


class _Finder:
    """Finds the modules of ``PACKAGES`` before Python's own finder does."""

    def __init__(self, slipcover: Slipcover) -> None:
        self.slipcover = slipcover

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] not in PACKAGES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            loader = _Loader(spec.loader.name, spec.loader.path)
            loader.slipcover = self.slipcover
            spec.loader = loader
        return spec


class ExecutedLines:
    """What this process executes, and in the controller what its workers did.

    ``data_file`` is written when the run ends, unless a worker crashed: nobody knows what it had
    executed.
    """

    def __init__(self, data_file: Path = DATA_FILE) -> None:
        self.data_file = data_file
        # No patterns of lines to exclude: coverage.py excludes, when it reports.
        self.slipcover = _Slipcover(exclude_lines=[], d_miss_threshold=NEEDLESS_CALLS)
        self.of_workers: dict[str, set[int]] = defaultdict(set)
        self.worker_crashed = False

    def here(self) -> dict[str, list[int]]:
        """The lines that this process has executed, by the path of their file."""
        files = self.slipcover.get_coverage()["files"]
        return {str(Path.cwd() / name): found["executed_lines"] for name, found in files.items()}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """A test that measures memory measures its own."""
        self.slipcover.paused = item.get_closest_marker("measures_memory") is not None
        try:
            return (yield)
        finally:
            self.slipcover.paused = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: _Node) -> None:
        output = getattr(node, "workeroutput", {})
        if SENT not in output:
            self.worker_crashed = True
        for name, lines in output.get(SENT, {}).items():
            self.of_workers[name].update(lines)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        worker_output = getattr(session.config, "workeroutput", None)
        if worker_output is not None:
            worker_output[SENT] = self.here()
        elif not self.worker_crashed:
            write(self.data_file, self.here(), self.of_workers)


def write(data_file: Path, *found: Mapping[str, Collection[int]]) -> None:
    """Replace ``data_file`` by lines executed, by the path of their file. Files of ``PACKAGES``
    that nothing was executed of are in it as well, so that they count."""
    data = CoverageData(str(data_file))
    data.erase()
    for lines in found:
        data.add_lines(lines)
    data.touch_files([str(path) for package in PACKAGES for path in (TOP / package).rglob("*.py")])
    data.write()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Begins before anything imports what is measured."""
    if early := [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        raise pytest.UsageError(f"{early[0]} was imported before its lines could be noted")
    DATA_FILE.unlink(missing_ok=True)
    executed_lines = ExecutedLines()
    sys.meta_path.insert(0, _Finder(executed_lines.slipcover))
    early_config.pluginmanager.register(executed_lines, "executed-lines")
    return (yield)
