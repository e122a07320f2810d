"""A cable between two machines: a network namespace for each, and nothing else in either."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.process import LabError, run

_NAMED = Path("/run/netns")


@dataclass(frozen=True, slots=True)
class Cable:
    """``names``: the namespaces of its two ends, each with the address at the same place in
    ``addresses``. This machine's own network is not touched."""

    names: tuple[str, str]
    addresses: tuple[str, str] = ("10.77.0.1", "10.77.0.2")

    @classmethod
    def laid(cls) -> Cable:
        """A new one. Raises LabError."""
        mark = secrets.token_hex(3)
        cable = cls((f"ea4-{mark}-a", f"ea4-{mark}-b"))
        try:
            for name in cable.names:
                run(["ip", "netns", "add", name])
                run(["ip", "-n", name, "link", "set", "lo", "up"])
            one, two = cable.names
            peer = ("type", "veth", "peer", "name", "cable0", "netns", two)
            run(["ip", "link", "add", "cable0", "netns", one, *peer])
            for name, address in zip(cable.names, cable.addresses, strict=True):
                run(["ip", "-n", name, "address", "add", f"{address}/24", "dev", "cable0"])
                run(["ip", "-n", name, "link", "set", "cable0", "up"])
        except LabError:
            cable.remove()
            raise
        return cable

    def end(self, which: int) -> Path:
        """What a machine is booted with to be at this end (0 or 1)."""
        return _NAMED / self.names[which]

    def unplug(self) -> None:
        """Nothing passes any more; neither end is told."""
        run(["ip", "-n", self.names[0], "link", "set", "cable0", "down"])

    def plug(self) -> None:
        run(["ip", "-n", self.names[0], "link", "set", "cable0", "up"])

    def remove(self) -> None:
        for name in self.names:
            with suppress(LabError):
                run(["ip", "netns", "delete", name])
