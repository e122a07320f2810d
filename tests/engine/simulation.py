"""A simulated server with a spool, and one change after another on it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

from easyapache.agent.change.engine import Engine
from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.progress import shows
from easyapache.agent.change.spool import Spool
from easyapache.agent.config import HostConfig
from easyapache.agent.simulated.server import SimulatedServer
from easyapache.agent.simulated.state import create_state
from easyapache.ea4.profile import Profile
from easyapache.ea4.protocol import ChangeRequest, Goal, Report

PREFIX = "ea-apache24-"


class Simulation:
    """Asks a simulated server for changes the way the panel does, and runs their engines here."""

    def __init__(
        self, folder: Path, faults: Mapping[str, int] | None = None, pace: float = 0.0
    ) -> None:
        state = folder / "server.json"
        create_state(state, pace=pace, faults=faults)
        self.server = SimulatedServer(state)
        self.config = HostConfig(
            server="sim", spool=folder / "spool", driver="simulated", simulated_state=state
        )
        self.spool = Spool(self.config.spool)
        self.spool.prepare()
        self.start = self.server.inspect()

    def request(
        self, mpm: str = "event", *, itk: bool = False, undo_of: str | None = None
    ) -> ChangeRequest:
        install = [f"{PREFIX}mod_mpm_{mpm}", f"{PREFIX}mod_cgi{'' if mpm == 'prefork' else 'd'}"]
        remove = []
        if itk:
            install.append(f"{PREFIX}mod_mpm_itk")
        elif f"{PREFIX}mod_mpm_itk" in self.server.inspect().names:
            remove.append(f"{PREFIX}mod_mpm_itk")
        goal = Goal(tuple(sorted(install)), tuple(remove))
        answer = self.server.resolve(goal, protect=False)
        may_remove = tuple(sorted(item.name for item in answer.remove))
        return ChangeRequest(
            change=uuid.uuid4().hex,
            server="sim",
            goal=Goal(goal.install, goal.remove, may_remove),
            transaction=answer,
            mpm=mpm,
            itk=itk,
            undo_of=undo_of,
        )

    def inverse(self, request: ChangeRequest, mpm: str = "prefork") -> ChangeRequest:
        """The change that takes ``request`` back."""
        back = request.transaction.inverse
        names = tuple(sorted(item.name for item in back.install))
        gone = tuple(sorted(item.name for item in back.remove))
        return ChangeRequest(
            change=uuid.uuid4().hex,
            server="sim",
            goal=Goal(names, (), gone),
            transaction=back,
            mpm=mpm,
            itk=False,
            undo_of=request.change,
        )

    def folder(self, request: ChangeRequest) -> ChangeFolder:
        return self.spool.create(request)[0]

    def engine(self, folder: ChangeFolder) -> Engine:
        return Engine(folder, self.server, self.config, pause=lambda _: None)

    def run(self, request: ChangeRequest) -> Report:
        return self.engine(self.folder(request)).run()

    def sound(self) -> Profile:
        """The server as it is, which must be sound: one MPM, seen the same by all three."""
        now = self.server.inspect()
        assert now.running is not None, "httpd does not run"
        assert now.running.mpm is not None
        assert shows(now, now.running.mpm, now.running.itk)
        assert not now.facts.get("missing_files")
        return now


def kinds(folder: ChangeFolder) -> list[str]:
    """The journal in short: ``packages started``, ``evidence``, …, ``outcome succeeded``."""
    short = []
    for report in folder.reports():
        if report.kind == "step":
            short.append(f"{report.data['step']} {report.data['status']}")
        elif report.kind == "outcome":
            short.append(f"outcome {report.data['outcome']}")
        else:
            short.append(report.kind)
    return short
