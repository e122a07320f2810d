"""``make smoke``: the main job without a browser, on a server made for it.

Services, Redis, agent, dnf and httpd, from a fresh lab: prefork → event → worker → prefork, ITK on
and off. One JSON line per change on standard output, progress on standard error; exit status 0 when
every change succeeded and httpd's own server-status confirms it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.panel import DidNotStart, Panel
from demo.servers import LabServer
from lab.server import Lab
from lab.system import explain, missing


@dataclass(frozen=True, slots=True)
class Change:
    """The requested MPM, and ITK on or off."""

    mpm: str
    itk: bool

    @property
    def label(self) -> str:
        return self.mpm + (" with ITK" if self.itk else "")


CHANGES = (
    Change("event", itk=False),
    Change("worker", itk=False),
    Change("prefork", itk=False),
    Change("prefork", itk=True),
    Change("prefork", itk=False),
)


def narrate(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def make(change: Change, lab: Lab, panel: Panel) -> dict[str, Any]:
    """Request one change by the command line and wait for its end. ``ok`` only if the command
    succeeds and the running httpd confirms it."""
    before, started = lab.status(), time.monotonic()
    done = panel.manage(
        *("mpm", "switch", change.mpm, "--itk" if change.itk else "--no-itk"),
        *("--server", LabServer.name, "--reason", "smoke test", "--yes", "--wait", "--json"),
    )
    seconds, after = time.monotonic() - started, lab.status()
    return {
        "from": before.running,
        "from_itk": before.itk,
        "to": change.mpm,
        "to_itk": change.itk,
        "ok": done.returncode == 0 and (after.running, after.itk) == (change.mpm, change.itk),
        "seconds": round(seconds, 2),
        "exit_status": done.returncode,
        "server_status": {"mpm": after.running, "itk": after.itk},
        **_result_of(done),
    }


def _result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    try:
        result = json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"said": (done.stdout + done.stderr).strip()[-2000:]}
    kept = ("id", "state", "outcome", "refused", "longest_wait_ms", "error", "code", "detail")
    return {key: result[key] for key in kept if result.get(key) not in (None, "")}


def main() -> int:
    lacks = missing()
    if lacks:
        narrate(explain(lacks))
        return 1
    place = Path(tempfile.mkdtemp(prefix="ea4smoke"))
    place.chmod(0o755)
    narrate("smoke: starting a panel with a fresh server")
    try:
        panel = Panel.start(place)
    except DidNotStart as error:
        narrate(f"smoke: the panel did not start\n{error}")
        return 1
    good = True
    try:
        lab = Lab.open(place / "servers" / LabServer.name)
        for change in CHANGES:
            narrate(f"smoke: {change.label}")
            line = make(change, lab, panel)
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
            good = good and line["ok"]
    finally:
        panel.stop()
    if not good:
        narrate(f"smoke: failed; logs and data are in {place}")
        return 1
    shutil.rmtree(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
