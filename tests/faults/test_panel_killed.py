"""Parts of the panel die, or are started again, while a change is under way on a real server: the
change is not interrupted, its row ends, and it ends true."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.panel import Panel
from lab import apache
from lab.server import Lab
from tests.faults.field import AS_PLANNED, BEFORE, NEITHER, Ending, unclean
from tests.faults.report import RecordEnding
from tests.places import short_folder
from tests.stack import pids_of, stopped_afterwards

pytestmark = pytest.mark.lab

TRUE_AFTER = 60.0
"""Seconds after a crash in which the panel tells the truth again."""

visitor = httpx.Client(timeout=TRUE_AFTER, limits=httpx.Limits(max_keepalive_connections=0))
"""Whoever asks: over a new connection each time."""


@dataclass
class Watched:
    """A panel, its real server, and a token to ask with."""

    panel: Panel
    lab: Lab
    token: str

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Once more where a part that was just killed took the question with it."""
        end = time.monotonic() + TRUE_AFTER
        while True:
            try:
                answer = visitor.request(
                    method,
                    f"{self.panel.address}api/v1/{path}",
                    headers={"Authorization": f"Bearer {self.token}"},
                    **more,
                )
            except httpx.TransportError:
                assert time.monotonic() < end, self.panel.output
                continue
            if answer.status_code < 500 or time.monotonic() > end:
                return answer

    def begin(self) -> tuple[int, str, str]:
        """Ask for another MPM, and wait until its packages are being exchanged. (number of the
        change, MPM before, MPM asked for)"""
        end = time.monotonic() + TRUE_AFTER
        while (seen := self.ask("GET", "servers/lab/mpm").json()).get("mpm") is None:
            assert time.monotonic() < end, seen
            time.sleep(0.2)
        goal = "prefork" if seen["mpm"] in ("event", "worker") else "event"
        answer = self.ask("PUT", "servers/lab/mpm", json={"mpm": goal})
        assert answer.status_code == 202, answer.text
        change = answer.json()["change"]
        journal = self.panel.folder / "spool" / "lab" / change["uuid"] / "journal.jsonl"
        while not (journal.exists() and b'"packages","status":"started"' in journal.read_bytes()):
            assert time.monotonic() < end, self.panel.output
            time.sleep(0.005)
        return int(change["id"]), str(seen["mpm"]), goal

    def ended(self, number: int) -> dict[str, Any]:
        """The row of the change once it has ended, which it does within a minute."""
        end = time.monotonic() + TRUE_AFTER
        while True:
            row: dict[str, Any] = self.ask("GET", f"changes/{number}").json()
            if row["state"] in ("succeeded", "restored", "failed", "canceled"):
                return row
            assert time.monotonic() < end, (row, self.panel.output)
            time.sleep(0.1)

    def judge(self, fault: str, kills: int, row: dict[str, Any], before: str, goal: str) -> Ending:
        """What the row says, held against the server."""
        now = self.lab.status()
        shown = {"succeeded": goal, "restored": before}.get(row["state"])
        packages = {name for name in now.installed if name in ("event", "worker", "prefork")}
        wrong = unclean(self.lab, self.lab.rpm("-qa", "--qf", "%{name}\\n").split())
        sites = [self.lab.fetch(site).status for site in self.lab.sites]
        true = (now.running, packages) == (shown, {shown}) and not wrong
        if not true or max(sites) >= 400:
            why = f"the row says {row['state']}, the server shows {now} {wrong} {sites}"
            return Ending(fault, kills, NEITHER, row["state"], why)
        return Ending(fault, kills, AS_PLANNED if shown == goal else BEFORE, row["state"])


def watched(panel: Panel) -> Watched:
    said = panel.manage("mpm", "token", "create", "tests", "--scope", "change", "--json").stdout
    return Watched(panel, Lab.open(panel.folder / "servers" / "lab"), json.loads(said)["token"])


@pytest.fixture(scope="module")
def house() -> Iterator[Watched]:
    with short_folder() as folder, stopped_afterwards(Panel.start(folder / "p")) as panel:
        yield watched(panel)


@pytest.mark.parametrize(
    "parts",
    [
        ("agent-lab",),
        ("worker",),
        ("web",),
        ("beat",),
        ("redis",),
        ("redis", "worker"),
        ("agent-lab", "worker", "web", "beat", "redis"),
    ],
    ids=" and ".join,
)
def test_parts_killed_within_the_transaction_interrupt_nothing(
    house: Watched, record_ending: RecordEnding, parts: tuple[str, ...]
) -> None:
    number, before, goal = house.begin()
    pids = [house.panel.pid(part) for part in parts]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    row = house.ended(number)
    ending = record_ending(house.judge(f"killed: {', '.join(parts)}", len(pids), row, before, goal))
    assert ending.end == AS_PLANNED, ending


@pytest.mark.parametrize("part", ["agent-lab", "worker", "redis"])
def test_a_part_that_is_started_again_interrupts_nothing(
    house: Watched, record_ending: RecordEnding, part: str
) -> None:
    number, before, goal = house.begin()
    os.kill(house.panel.pid(part), signal.SIGTERM)
    ending = record_ending(house.judge(f"ended: {part}", 0, house.ended(number), before, goal))
    assert ending.end == AS_PLANNED, ending


def test_a_power_cut_of_everything_at_once_leaves_a_true_row(record_ending: RecordEnding) -> None:
    """Panel, broker, agent, engine, dnf and httpd, then the machine starts again."""
    with short_folder() as folder:
        house = watched(Panel.start(folder / "p"))
        number, before, goal = house.begin()
        hit = {*pids_of(house.panel.folder), *apache.processes_of(house.lab.root)}
        for pid in hit:
            os.kill(pid, signal.SIGKILL)
        house.panel.process.wait()
        _gone(house.panel.folder)
        (house.panel.folder / "running.json").unlink()
        with stopped_afterwards(Panel.start(house.panel.folder)) as again:
            house.panel = again
            row = house.ended(number)
            ending = record_ending(
                house.judge("power cut of everything", len(hit), row, before, goal)
            )
            assert ending.end in (AS_PLANNED, BEFORE), ending


def _gone(folder: Path) -> None:
    end = time.monotonic() + 10
    while pids_of(folder):
        assert time.monotonic() < end
        time.sleep(0.02)
