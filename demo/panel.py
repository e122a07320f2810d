"""A panel in a process of its own, as ``make demo`` starts it: for the smoke test and the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.folder import PROJECT
from demo.parts import CHOSEN

PATIENCE = 120.0
ELSEWHERE = (*CHOSEN, "VAR_DIR", "DEBUG", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "PORT", "EA4_DATA")
"""Settings of a panel in the caller's own environment."""


class DidNotStart(Exception):
    """The panel ended or hung before it was ready; the message is its output."""


@dataclass(slots=True)
class Panel:
    """One running panel. ``address`` ends with a slash; ``accounts`` maps a role to the name
    and password of the account that was made for it; ``environment`` makes a ``manage.py`` mean
    this panel."""

    folder: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[str]
    address: str = ""
    accounts: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def start(
        cls, folder: Path, *options: str, within: Sequence[str] = (), **settings: str
    ) -> Panel:
        """Start one with its data in ``folder`` and wait until it is ready. ``options`` are those
        of ``manage.py demo``; ``settings`` go into its environment; ``within`` is an argv that
        executes the rest of the command line. Raises DidNotStart."""
        folder.mkdir(exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        environment = {**clean, "EA4_DATA": str(folder)}
        with (folder / "said").open("a") as output:
            process = subprocess.Popen(
                [*within, sys.executable, str(PROJECT / "manage.py"), "demo", *options],
                env={**environment, "PORT": "0", **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        panel = cls(folder, environment, process)
        try:
            panel.wait_until_ready()
        except DidNotStart:
            panel.stop()
            raise
        return panel

    def wait_until_ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while not (self.folder / "running.json").exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise DidNotStart(self.output)
            time.sleep(0.05)
        self.address = self.running["address"]
        for line in (self.folder / "first-accounts").read_text().splitlines():
            name, password, role = line.split()
            self.accounts[role.strip("()")] = (name, password)

    @property
    def output(self) -> str:
        """Its terminal output so far."""
        return (self.folder / "said").read_text()

    @property
    def running(self) -> dict[str, Any]:
        """``running.json``: address, process ids by name, servers."""
        state: dict[str, Any] = json.loads((self.folder / "running.json").read_text())
        return state

    def pid(self, part: str) -> int:
        """The process id of ``web``, ``worker``, ``beat``, ``redis`` or ``agent-<server>``."""
        found: int = self.running["processes"][part]
        return found

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``manage.py`` on this panel, as a shell of this machine would run it."""
        return subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), *arguments],
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def stop(self) -> None:
        """As Ctrl-C does; returns when everything has ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=PATIENCE)
