"""A fixture that gives a test the whole panel, started as ``make demo`` starts it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from easyapache.demo.folder import PROJECT

PATIENCE = 120.0


@dataclass(slots=True)
class Panel:
    """One running panel. ``address`` ends with a slash; ``accounts`` maps a role to a name
    and a password; ``settings`` are those a ``manage.py`` needs to mean this panel."""

    folder: Path
    process: subprocess.Popen[str]
    said: Path
    environment: Mapping[str, str]
    address: str = ""
    accounts: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def running(self) -> dict[str, Any]:
        """``running.json``: processes by name, servers."""
        state: dict[str, Any] = json.loads((self.folder / "running.json").read_text())
        return state

    def pid(self, part: str) -> int:
        """The process id of ``web``, ``worker``, ``beat``, ``redis`` or ``agent-<server>``."""
        found: int = self.running["processes"][part]
        return found

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``manage.py`` on this panel, as an administrator's shell would run it."""
        done = subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def stop(self) -> None:
        """As Ctrl-C does; returns when everything has ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=PATIENCE)


StartPanel = Callable[..., Panel]


def start_panel(folder: Path, *options: str, **settings: str) -> Panel:
    """Start a panel whose data is in ``folder`` and wait until it is ready. ``options`` are
    those of ``manage.py demo``, ``settings`` go into its environment."""
    folder.mkdir(exist_ok=True)
    said = folder / "said"
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {"SECRET_KEY", "SECRET_KEY_FILE", "VAR_DIR", "DEBUG", "REDIS_URL"}
        and name not in {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PORT", "EA4_DATA"}
    }
    environment = {**clean, "EA4_DATA": str(folder), **settings}
    with said.open("a") as output:
        process = subprocess.Popen(
            [sys.executable, str(PROJECT / "manage.py"), "demo", *options],
            env={**environment, "PORT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        )
    panel = Panel(folder, process, said, environment)
    end = time.monotonic() + PATIENCE
    while not (folder / "running.json").exists():
        assert process.poll() is None, f"the panel did not start:\n{said.read_text()}"
        assert time.monotonic() < end, f"the panel is not ready:\n{said.read_text()}"
        time.sleep(0.05)
    panel.address = panel.running["address"]
    for line in (folder / "first-accounts").read_text().splitlines():
        name, password, role = line.split()
        panel.accounts[role.strip("()")] = (name, password)
    return panel


@pytest.fixture
def panel_folder() -> Iterator[Path]:
    """A folder with a short path that every account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="ea4p"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def make_panel(panel_folder: Path) -> Iterator[StartPanel]:
    """Starts panels; stopped when the test ends, and it fails when one leaves a process."""
    started: list[Panel] = []

    def make(*options: str, **settings: str) -> Panel:
        panel = start_panel(panel_folder / f"p{len(started)}", *options, **settings)
        started.append(panel)
        return panel

    yield make
    for panel in started:
        panel.stop()
        assert processes_of(panel.folder) == []


@pytest.fixture(scope="session")
def simulated_panel() -> Iterator[Panel]:
    """One panel with a simulated server, shared by all tests of a process that only need a
    running panel. What a test changes there stays; do not rely on what another one left."""
    folder = Path(tempfile.mkdtemp(prefix="ea4s"))
    folder.chmod(0o755)
    panel = start_panel(folder / "p", "--simulated")
    yield panel
    panel.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def panel() -> Iterator[Panel]:
    """One panel with a real server in a folder (``lab``) and a simulated one (``sandbox``)."""
    folder = Path(tempfile.mkdtemp(prefix="ea4r"))
    folder.chmod(0o755)
    started = start_panel(folder / "p")
    yield started
    started.stop()
    shutil.rmtree(folder)


def processes_of(folder: Path) -> list[str]:
    """The command lines of living processes whose arguments or environment name this folder."""
    needle, found = str(folder).encode(), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            known = line + (entry / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if line and needle in known:
            found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found
