"""Fixtures that give a test the whole panel, started as ``make demo`` starts it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.panel import Panel
from tests.places import short_folder

__all__ = ["MakePanel", "Panel", "processes_of", "stopped_afterwards"]

MakePanel = Callable[..., Panel]

PATIENT = {"SILENCE_SECONDS": "86400", "PREVIEW_SECONDS": "86400"}
"""Settings of a panel that is to have a past: what nobody answers stays as it is for a day."""


@contextmanager
def stopped_afterwards(panel: Panel) -> Iterator[Panel]:
    """Stops the panel at the end, and fails when it leaves a process behind."""
    try:
        yield panel
    finally:
        panel.stop()
    assert processes_of(panel.folder) == []


@pytest.fixture
def make_panel() -> Iterator[MakePanel]:
    """Starts panels; the arguments are those of ``Panel.start`` after the folder."""
    started: list[Panel] = []
    with short_folder() as folder:

        def make(*options: str, **settings: str) -> Panel:
            panel = Panel.start(folder / str(len(started)), *options, **settings)
            started.append(panel)
            return panel

        yield make
        for panel in started:
            panel.stop()
        assert processes_of(folder) == []


@contextmanager
def panel_without_labs() -> Iterator[Panel]:
    """A panel with one server, a simulated one (``sandbox``)."""
    with (
        short_folder() as folder,
        stopped_afterwards(
            Panel.start(folder / "p", "--simulated", RESCAN_SECONDS="4", **PATIENT)
        ) as panel,
    ):
        yield panel


@pytest.fixture(scope="session")
def _panel_and_past() -> Iterator[tuple[Panel, dict[str, str]]]:
    """The past is made before anything is changed: numbers of changes follow their times, as they
    do on every panel."""
    with panel_without_labs() as panel:
        yield panel, make_past(panel)


@pytest.fixture(scope="session")
def simulated_panel(_panel_and_past: tuple[Panel, dict[str, str]]) -> Panel:
    """One such panel, shared by all tests that ask for it, and stopped after the last of them
    (``tests.together``). What a test changes there stays: none may rely on what another left."""
    return _panel_and_past[0]


@pytest.fixture(scope="session")
def past(_panel_and_past: tuple[Panel, dict[str, str]]) -> dict[str, str]:
    """What happened on that panel; see ``make_past``."""
    return _panel_and_past[1]


@contextmanager
def bare_panel() -> Iterator[Panel]:
    """A panel to which nothing has happened, not even a server."""
    with (
        short_folder() as folder,
        stopped_afterwards(Panel.start(folder / "p", "--bare")) as panel,
    ):
        yield panel


def make_past(panel: Panel) -> dict[str, str]:
    """Give a running panel a past (``tests.past``), and return by name what there is then: numbers
    of changes and reviews, tokens of links."""
    done = panel.manage("shell", "--no-imports", "-c", "from tests.past import main; main()")
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def panel() -> Iterator[Panel]:
    """One panel with a real server in a folder (``lab``) and a simulated one (``sandbox``), both
    fresh, shared by the tests of one module."""
    with short_folder() as folder, stopped_afterwards(Panel.start(folder / "p")) as started:
        yield started


def processes_of(folder: Path) -> list[str]:
    """The command lines of living processes whose arguments or environment name this folder."""
    return list(_named(folder).values())


def pids_of(folder: Path) -> list[int]:
    """The same processes, by their ids."""
    return list(_named(folder))


def _named(folder: Path) -> dict[int, str]:
    needle, found = str(folder).encode(), {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            known = line + (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if line and needle in known:
            found[int(entry.name)] = line.replace(b"\0", b" ").decode(errors="replace")
    return found
