"""The servers a demo manages: a real one in a folder, and a simulated one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from demo.folder import Folder, write_private
from demo.supervisor import Report
from easyapache.agent.simulated.state import create_state
from lab.process import LabError
from lab.server import Lab
from lab.system import missing

DSO = ("ea-php74-php",)
"""PHP as an Apache module, which EasyApache 4's default profile does not have: so that there is
something that a threaded MPM would cost."""


class DemoServer(Protocol):
    """One server and its agent's configuration."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def registration(self) -> dict[str, str]:
        """Its entry in the panel: name, hostname, kind, note."""

    def up(self, place: Path, folder: Folder, report: Report) -> Path:
        """Make it if it does not exist, start it, and return its agent's configuration file."""

    def down(self, place: Path) -> None:
        """Stop its processes. No data is lost."""


class LabServer:
    """EasyApache 4's default profile with real packages and a real httpd."""

    name = "lab"
    title = "a real server in a folder"

    @property
    def registration(self) -> dict[str, str]:
        return {
            "name": self.name,
            "hostname": "lab.example.test",
            "kind": "lab",
            "note": "Real packages and a real httpd in a folder of this machine.",
        }

    def up(self, place: Path, folder: Folder, report: Report) -> Path:
        if (place / "lab.json").exists():
            lab = Lab.open(place)
        else:
            report("lab: building the packages and installing EasyApache 4's default profile")
            lab = Lab.create(place, "default", extra=DSO)
        lab.up()
        report(f"lab: httpd answers at {lab.address}")
        spool = folder.spool / self.name
        spool.mkdir(exist_ok=True, mode=0o700)
        return lab.write_agent_config(spool, self.name, folder.agents / f"{self.name}.toml")

    def down(self, place: Path) -> None:
        if (place / "lab.json").exists():
            Lab.open(place).down()


class SimulatedServer:
    """A server in a file: EasyApache 4's own relations, no packages and no httpd."""

    name = "sandbox"
    title = "a simulated server"

    @property
    def registration(self) -> dict[str, str]:
        return {
            "name": self.name,
            "hostname": "sandbox.example.test",
            "kind": "simulated",
            "note": "For trying things out. Changes nothing real.",
        }

    def up(self, place: Path, folder: Folder, report: Report) -> Path:  # noqa: ARG002
        place.mkdir(exist_ok=True, mode=0o700)
        state = place / "state.json"
        if not state.exists():
            create_state(state, add=DSO)
        spool = folder.spool / self.name
        spool.mkdir(exist_ok=True, mode=0o700)
        config = folder.agents / f"{self.name}.toml"
        write_private(
            config,
            f'server = "{self.name}"\nspool = "{spool}"\ndriver = "simulated"\n'
            f'simulated_state = "{state}"\n',
        )
        return config

    def down(self, place: Path) -> None:
        """Nothing of it runs outside its agent."""


def demo_servers() -> tuple[list[DemoServer], str]:
    """The servers this machine supports, and a notice if some are missing."""
    lacks = missing()
    if lacks:
        return [SimulatedServer()], (
            "This panel runs on a simulated server only: this machine lacks "
            + ", ".join(lacks)
            + "."
        )
    return [LabServer(), SimulatedServer()], ""


__all__ = ["DemoServer", "LabError", "LabServer", "SimulatedServer", "demo_servers"]
