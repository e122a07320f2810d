"""A server with the goals of an MPM change, whichever driver it is behind."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

from easyapache.agent.config import HostConfig
from easyapache.agent.packages import kit as kits
from easyapache.agent.real import RealServer
from easyapache.agent.server import Interruption, Kit, Server
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import Goal
from lab.server import Lab

PREFIX = "ea-apache24-mod_"
MPMS = ("event", "worker", "prefork")


def goal_for(server: Server, mpm: str, *, itk: bool = False, add: tuple[str, ...] = ()) -> Goal:
    """Everything the solver would take out for this MPM may leave, as if somebody had read the
    plan and agreed."""
    install = [f"{PREFIX}mpm_{mpm}", f"{PREFIX}cgi{'' if mpm == 'prefork' else 'd'}", *add]
    remove = []
    if itk:
        install.append(f"{PREFIX}mpm_itk")
    elif f"{PREFIX}mpm_itk" in server.inspect().names:
        remove.append(f"{PREFIX}mpm_itk")
    wish = Goal(tuple(sorted(install)), tuple(remove))
    answer = server.resolve(wish, protect=False)
    return Goal(wish.install, wish.remove, tuple(sorted(item.name for item in answer.remove)))


@dataclass
class Managed:
    """``lines`` collects whatever was logged."""

    server: Server
    config: HostConfig
    lab: Lab | None = None
    lines: list[str] = field(default_factory=list)

    def log(self, line: str) -> None:
        self.lines.append(line)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def real(self) -> RealServer:
        assert isinstance(self.server, RealServer)
        return self.server

    def plan(
        self, mpm: str, *, itk: bool = False, add: tuple[str, ...] = ()
    ) -> tuple[Goal, Transaction]:
        goal = goal_for(self.server, mpm, itk=itk, add=add)
        return goal, self.server.resolve(goal, protect=True)

    def kit(self, transaction: Transaction, before: Profile | None = None) -> Kit:
        folder = self.config.spool / uuid.uuid4().hex / "kit"
        before = before or self.server.inspect()
        kit = kits.prepare(folder, uuid.uuid4().hex, before, transaction, self.config)
        self.server.download(transaction, kit, self.log)
        kits.seal(folder)  # as the engine does before anything begins that needs it
        return kit

    def packages(self, goal: Goal, transaction: Transaction, change: str = "") -> int | None:
        change = change or uuid.uuid4().hex
        folder = self.config.spool / change / "output"
        self.server.start_packages(change, goal, transaction, folder, self.log)
        return self.server.follow_packages(change, folder, self.log)

    def switch(
        self, mpm: str, *, itk: bool = False, add: tuple[str, ...] = (), method: str = "auto"
    ) -> tuple[Kit, Interruption]:
        """The whole way, without an engine around it."""
        goal, transaction = self.plan(mpm, itk=itk, add=add)
        kit = self.kit(transaction)
        with self.server.watch(kit.folder.with_name("window"), self.log):
            self.packages(goal, transaction)
            self.server.config_test(self.log)
            return kit, self.server.restart(method, self.log)


def manage(lab: Lab, spool: Path | None = None) -> Managed:
    config = lab.host_config(spool or lab.folder / "spool")
    config.spool.mkdir(parents=True, exist_ok=True)
    return Managed(RealServer(config), config, lab)
