"""A server that nobody runs: simulated, known to a panel as a real one, with the project's own
engine behind it. And a clock that can be set back."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from django.utils import timezone

from easyapache.agent.change.engine import Engine
from easyapache.agent.change.spool import Spool
from easyapache.agent.config import HostConfig
from easyapache.agent.simulated.server import SimulatedServer
from easyapache.agent.simulated.state import create_state, start_httpd
from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Transaction
from easyapache.ea4.protocol import Goal, Report
from mpm.access.services.actor import Actor
from mpm.changes.services.dispatch import message_for
from mpm.changes.services.lookup import server_named
from mpm.changes.services.planning import request_preview
from mpm.changes.services.record import record_log, record_reports
from mpm.changes.services.request import request_change
from mpm.models import Change, Preview
from mpm.servers.looks import request_number
from mpm.servers.models import Server
from mpm.servers.services.heartbeat import record_heartbeat
from mpm.servers.services.inspection import record_inspection, record_preview
from mpm.servers.services.servers import add_server

DSO = "ea-php74-php"
ADA = Actor(name="ada", role="administrator", address="203.0.113.9", request_id="r-4711-0815")
CAPABILITIES = {
    "package_manager": "dnf",
    "restart_method": "overlap",
    "restart_reason": "old and new httpd share the ports",
    "rehearsal": "namespaces",
    "systemd": True,
    "kernel": "5.14.0",
    "python": "3.9.18",
}
_STAMP = re.compile(rb"^\d{4}-\d\d-\d\dT[\d:.]+Z", re.MULTILINE)


@contextmanager
def ago(**time: float) -> Iterator[None]:
    """Whatever asks Django for the time gets an earlier one."""

    def then() -> datetime:
        return datetime.now(UTC) - timedelta(**time)

    with mock.patch("django.utils.timezone.now", new=then):
        yield


def shift() -> timedelta:
    return timezone.now() - datetime.now(UTC)


@dataclass
class Machine:
    """A simulated server that the panel takes for a real one."""

    name: str
    host: SimulatedServer
    config: HostConfig

    @classmethod
    def add(cls, folder: Path, name: str) -> Machine:
        """Make it known to the panel, and have it looked at."""
        state = folder / f"{name}.json"
        create_state(state, add=(DSO,), pace=0)
        add_server(name, actor=ADA, hostname=f"{name}.example.net")
        config = HostConfig(
            server=name, spool=folder / name, driver="simulated", simulated_state=state
        )
        record_heartbeat(name, "1.0", CAPABILITIES)
        machine = cls(name, SimulatedServer(state), config)
        machine.look()
        return machine

    @property
    def row(self) -> Server:
        return server_named(self.name)

    def look(self, **facts: Any) -> Change | None:
        """A scan; ``facts`` replace what it would find. Returns the change that it reveals."""
        seen = self.host.inspect()
        seen = replace(seen, facts={**seen.facts, **facts})
        number = request_number(timezone.now())
        return record_inspection(self.name, number, seen)

    def changed_by_hand(self, to: str, **facts: Any) -> Change:
        """Somebody moves the server from one MPM to another, and a scan finds it."""
        replace_mpm(self.host, to)
        found = self.look(**facts)
        assert found is not None
        return found

    @contextmanager
    def broken(self, *faults: str) -> Iterator[None]:
        """These faults strike as often as they can meanwhile."""
        with self.host.state() as state:
            state["faults"] = dict.fromkeys(faults, -1)
        yield
        with self.host.state() as state:
            state["faults"] = {}

    def change(self, to: str, who: Actor = ADA, *, itk: bool = False, **values: Any) -> Change:
        return request_change(self.row, Choice.parse(to, itk=itk), actor=who, **values)

    def carry_out(self, change: Change, up_to: str = "", more_log: bytes = b"") -> Change:
        """Run the change, and tell the panel of it up to where the step ``up_to`` has begun."""
        spool = Spool(self.config.spool)
        spool.prepare()
        folder, _ = spool.create(message_for(change))
        Engine(folder, self.host, self.config, pause=lambda _: None).run()
        reports = [report.as_json() for report in folder.reports()]
        for number, report in enumerate(reports, 1):
            report["at"] = (datetime.fromisoformat(report["at"]) + shift()).isoformat()
            if up_to and report["data"].get("step") == up_to:
                reports = reports[:number]
                break
        log = folder.log_path.read_bytes()
        if up_to:
            begins = re.search(rb"^\S+ " + up_to.encode(), log, re.MULTILINE)
            log = log[: begins.start()] if begins else log
        record_log_text(change, _STAMP.sub(earlier, log + more_log))
        record_reports(self.name, change.uuid, map(Report.from_json, reports))
        change.refresh_from_db()
        return change

    def ended(self, to: str, who: Actor = ADA, **values: Any) -> Change:
        return self.carry_out(self.change(to, who, **values))

    def preview(self, to: str, *, itk: bool = False, keep: tuple[str, ...] = ()) -> Preview:
        choice = Choice.parse(to, itk=itk, keep=keep)
        return request_preview(self.row, choice, ADA)

    def answered(self, preview: Preview, *, without: str = "") -> Preview:
        """What the server says to it; ``without``: a package that it does not name."""
        moves = self.host.resolve(Goal.from_json(preview.goal), protect=False).as_json()
        moves["remove"] = [item for item in moves["remove"] if item["name"] != without]
        moves["sizes"] = {
            "install": {item["name"]: 310_000 for item in moves["install"]},
            "remove": {item["name"]: 290_000 for item in moves["remove"]},
            "download": {item["name"]: 120_000 for item in moves["install"]},
        }
        answer = Transaction.from_json(moves)
        record_preview(self.name, preview.uuid, answer, None, self.host.inspect())
        return preview


def replace_mpm(host: SimulatedServer, to: str) -> None:
    """What somebody on the server does by hand, with a restart."""
    moves = host.resolve(Goal((f"ea-apache24-mod_mpm_{to}",)), protect=False)
    with host.state() as state:
        gone = {item.name for item in moves.remove}
        state["packages"] = [item for item in state["packages"] if item["name"] not in gone]
        state["packages"] += [item.as_json() for item in moves.install]
        start_httpd(state)


def earlier(stamp: re.Match[bytes]) -> bytes:
    moment = datetime.fromisoformat(stamp[0].decode()) + shift()
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z".encode()


def record_log_text(change: Change, text: bytes) -> None:
    for start in range(0, len(text), 60_000):
        piece = base64.b64encode(text[start : start + 60_000]).decode()
        record_log(change.server_name, change.uuid, start, piece)
