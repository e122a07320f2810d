"""A person at a browser in front of the panel with a past, and the agents of its servers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery
from playwright.sync_api import Browser, Download, Page

from demo.panel import Panel
from easyapache.ea4.protocol import CONTROL_QUEUE
from tests.browser import PATIENCE_MS, Complaints, sign_in


@dataclass(slots=True)
class Desk:
    """``page`` is signed in as an administrator; ``known`` is what ``make_past`` has made."""

    browser: Browser
    panel: Panel
    known: dict[str, str]
    page: Page
    complaints: Complaints
    state: Any
    opened: list[Any] = field(default_factory=list)

    def open(self, path: str, page: Page | None = None) -> Page:
        """An address of ``tests.visits``, on the page of this desk or on another one."""
        page = page or self.page
        page.goto(self.panel.address + path.format_map(self.known))
        return page

    def another(self, *, signed_in: bool = True, **options: Any) -> Page:
        """A page of another browser."""
        if signed_in:
            options["storage_state"] = self.state
        context = self.browser.new_context(**({"locale": "en-GB"} | options))
        context.set_default_timeout(PATIENCE_MS)
        self.opened.append(context)
        page = context.new_page()
        self.complaints.listen(page)
        return page

    def copied(self) -> str:
        """What is on the clipboard."""
        return str(self.page.evaluate("navigator.clipboard.readText()"))


def text_of(download: Download) -> str:
    return download.path().read_text("utf-8")


@pytest.fixture(scope="session")
def signed_in_state(browser: Browser, simulated_panel: Panel) -> Any:
    """The cookies of an administrator: typing a password is what a session is there to spare."""
    context = browser.new_context()
    sign_in(context.new_page(), simulated_panel)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def desk(
    browser: Browser, simulated_panel: Panel, past: dict[str, str], signed_in_state: Any
) -> Iterator[Desk]:
    """Fails when a page threw, or broke the security policy."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900},
        locale="en-GB",
        permissions=["clipboard-read", "clipboard-write"],
        storage_state=signed_in_state,
    )
    context.set_default_timeout(PATIENCE_MS)
    page, complaints = context.new_page(), Complaints()
    complaints.listen(page)
    made = Desk(browser, simulated_panel, past, page, complaints, signed_in_state)
    yield made
    for one in (context, *made.opened):
        one.close()
    assert complaints.messages == []


class Voice:
    """Says to a panel what the agent of one of its servers would, by the same messages."""

    def __init__(self, panel: Panel) -> None:
        lines = (panel.folder / "panel.env").read_text("utf-8").splitlines()
        broker = dict(line.split("=", 1) for line in lines)["REDIS_URL"]
        self.app = Celery("voice", broker=broker, set_as_current=False)
        self.said: dict[str, int] = {}

    def _send(self, name: str, **message: Any) -> None:
        self.app.send_task(f"control.{name}", kwargs=message, queue=CONTROL_QUEUE)

    def log(self, server: str, change: str, start: int, *lines: str) -> int:
        """Lines of the log that begins at byte ``start``; returns where the next ones begin."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        data = "".join(f"{stamp} packages  {line}\n" for line in lines).encode()
        text = base64.b64encode(data).decode()
        self._send("log", server=server, change=change, offset=start, text=text)
        return start + len(data)

    def ends(self, server: str, change: str, seq: int) -> None:
        """The change succeeded; ``seq`` is the number of this report."""
        said = {"outcome": "succeeded", "decided_by": "verification", "sentence": "It is done."}
        report = {"seq": seq, "at": datetime.now(UTC).isoformat(), "kind": "outcome", "data": said}
        self._send("reports", server=server, change=change, reports=[report])

    def close(self) -> None:
        self.app.close()


@pytest.fixture
def voice(simulated_panel: Panel) -> Iterator[Voice]:
    made = Voice(simulated_panel)
    yield made
    made.close()
