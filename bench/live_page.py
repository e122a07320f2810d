"""How soon the page of a running change shows progress: from the agent's timestamp of a log line or
of a step's start to the moment it appears in a browser."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from bench.report import Section, Table, spread
from demo.panel import Panel
from tests.browser import opened_browser, sign_in

NAME = "live"
TITLE = "The page of a running change: from the server to the screen"
AIM_MS = 1000.0
CHANGES = ("event", "worker", "prefork", "event", "worker", "prefork")

METHOD = (
    f"{len(CHANGES)} changes of a real server in a folder, asked for in headless Chromium, on a "
    "panel with all its parts on the same machine. A line counts from the time the agent wrote "
    "beside it, a step from its line in the journal."
)

_WATCH = """
new MutationObserver(records => {
  const now = Date.now(), change = location.pathname;
  for (const step of document.querySelectorAll('.steps li:not(.waiting)'))
    window.shown(change, 'step', step.dataset.step + ' ' + step.classList[0], now);
  for (const record of records) for (const node of record.addedNodes) {
    if (!node.querySelectorAll) continue;
    const lines = node.matches('.line') ? [node] : node.querySelectorAll('.line');
    for (const line of lines) window.shown(change, 'line', line.dataset.at, now);
  }
}).observe(document, {childList: true, subtree: true, attributes: true});
"""
_PAGE = re.compile(r"/history/(\d+)/$")


class Watch:
    """Records when a page first shows each log line, and each start and end of a step. ``spool``:
    of the server whose changes are watched."""

    def __init__(self, page: Page, spool: Path) -> None:
        self.spool = spool
        self._seen: dict[tuple[str, str, str], float] = {}
        page.expose_function("shown", self._record)
        page.add_init_script(_WATCH)

    def _record(self, path: str, kind: str, which: str, at: float) -> None:
        found = _PAGE.search(path)
        if found:
            self._seen.setdefault((found[1], kind, which), at)

    def late(self, number: int, uuid: str) -> tuple[list[float], list[float]]:
        """Milliseconds from the server to the screen: of each line and each status of a step shown
        while the change was running."""
        folder = self.spool / uuid
        reports = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
        ended = _ms(reports[-1]["at"])
        reported = {
            f"{item['data']['step']} {item['data']['status']}": _ms(item["at"])
            for item in reports
            if item["kind"] == "step"
        }
        log = (folder / "log").read_bytes()
        lines, steps = [], []
        for (change, kind, which), at in self._seen.items():
            if change != str(number) or at > ended + AIM_MS:
                continue  # shown again when the page reloads at the end
            if kind == "line":
                stamp = log[int(which) :].split(b" ", 1)[0].decode()
                lines.append(at - _ms(stamp))
            else:
                steps.append(at - reported[which])
        return lines, steps


def _ms(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp() * 1000


def measure(report: Callable[[str], None]) -> Section:
    lines: list[float] = []
    steps: list[float] = []
    with _changing() as (panel, page, watch):
        for number, mpm in enumerate(CHANGES, 1):
            uuid = _change(panel, page, mpm)
            these_lines, these_steps = watch.late(number, uuid)
            lines += these_lines
            steps += these_steps
            report(f"change {number} to {mpm}: {len(these_lines)} lines seen live")
    rows = tuple(
        (title, str(len(late)), spread(late, 0), f"{_within(late):.0f}")
        for title, late in (("lines of the log", lines), ("steps begun and ended", steps))
    )
    worst = max(_within(lines), _within(steps))
    verdict = "within" if worst <= AIM_MS else "above"
    return Section(
        findings=(
            f"19 of 20 were shown within {worst:.0f} ms, {verdict} the aim of {AIM_MS:.0f}.",
        ),
        tables=(
            Table(
                "Milliseconds from the server to the screen",
                ("what", "seen live", "median", "95 of 100 within"),
                rows,
            ),
        ),
        method=(METHOD,),
    )


def _within(late: list[float]) -> float:
    return sorted(late)[len(late) * 95 // 100]


@contextmanager
def _changing() -> Iterator[tuple[Panel, Page, Watch]]:
    """A panel with a real server, and a page of it that an administrator has signed in on."""
    with tempfile.TemporaryDirectory(prefix="ea4bench") as name, opened_browser() as browser:
        Path(name).chmod(0o755)
        panel = Panel.start(Path(name) / "p")
        try:
            while panel.manage("mpm", "status", "--server", "lab").returncode:
                time.sleep(0.5)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            watch = Watch(page, panel.folder / "spool" / "lab")
            sign_in(page, panel)
            yield panel, page, watch
        finally:
            panel.stop()


def _change(panel: Panel, page: Page, mpm: str) -> str:
    """Have one change made and its page watched to the end. Returns its long id."""
    command = ("switch", mpm, "--server", "lab", "--stored", "--yes", "--json")
    output = panel.manage("mpm", *command).stdout
    made: dict[str, Any] = json.loads(output)
    page.goto(f"{panel.address}software/easyapache4/history/{made['change']['id']}/")
    page.get_by_role("heading", name="What happened").wait_for()
    return str(made["change"]["uuid"])
