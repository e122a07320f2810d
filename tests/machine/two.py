"""A panel on one machine, an agent alone on another, and a cable between them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.machine.boot import Machine
from lab.machine.network import Cable
from tests.machine.server import Wrong, changes, ended, in_step, other, seen, sound

SERVER = "web04"
_REDIS = """\
[Unit]
Description=Redis of the company, not of the package
After=network.target
[Service]
ExecStart=/usr/bin/redis-server --bind {address} --port 6379 --requirepass {password} \\
    --save "" --appendonly no
Restart=always
[Install]
WantedBy=multi-user.target
"""


@dataclass
class Two:
    """``panel`` has no EasyApache 4 of its own to change, ``server`` has no panel."""

    cable: Cable
    panel: Machine
    server: Machine

    @classmethod
    def installed(cls, folder: Path, panel_package: Path, agent_package: Path) -> Two:
        """Both from their packages, by the commands of the docs. Raises LabError and Wrong."""
        cable = Cable.laid()
        panel, server = (Machine.create(folder / name) for name in ("panel", "agent"))
        two = cls(cable, panel, server)
        try:
            two._install(panel_package, agent_package)
        except BaseException:
            two.discard()
            raise
        return two

    def _install(self, panel_package: Path, agent_package: Path) -> None:
        for which, machine in enumerate((self.panel, self.server)):
            machine.network = self.cable.end(which)
            machine.boot()
        address, password = self.cable.addresses[0], secrets.token_hex(16)
        redis = f"redis://:{password}@{address}:6379/0"
        self.panel.shell("systemctl disable --now httpd.service")
        unit = self.panel.root / "etc/systemd/system/company-redis.service"
        unit.write_text(_REDIS.format(address=address, password=password), encoding="utf-8")
        self.panel.shell("systemctl daemon-reload; systemctl enable --now company-redis.service")
        self.panel.put(panel_package, "/root/panel.deb")
        self.panel.run(["dpkg", "-i", "/root/panel.deb"])
        said = self.panel.shell(
            f"ea4-mpm setup --no-agent --host panel.example.test --redis {redis}", limit=600
        )
        if "Ready: https://panel.example.test:8443/" not in said:
            raise Wrong(said)
        self.panel.run(["ea4-mpm", "mpm", "server", "add", SERVER])
        self.server.put(agent_package, "/root/agent.deb")
        self.server.run(["dpkg", "-i", "/root/agent.deb"])
        self.server.shell(f"ea4-mpm setup --server {SERVER} --redis {redis}", limit=600)
        self.server.shell("ea4-mpm check")

    def discard(self) -> None:
        for machine in (self.panel, self.server):
            machine.discard()
        self.cable.remove()

    def switch(self, mpm: str, *more: str) -> str:
        """Ask the panel for it; its answer. Raises LabError when the panel refuses, or with
        ``--wait`` when the change doesn't succeed."""
        words = ("switch", mpm, "--server", SERVER, "--yes", "--reason", "machine test", *more)
        return self.panel.run(["ea4-mpm", "mpm", *words], limit=240).stdout

    def begin(self, mpm: str) -> str:
        """A change that the agent has; its name on the server. Raises Wrong."""
        known = set(changes(self.server))
        self.switch(mpm)
        for _ in range(600):
            if new := [one for one in changes(self.server) if one not in known]:
                return new[0]
        raise Wrong("the change did not reach the agent")

    def agrees(self, mpm: str, limit: float = 120.0) -> None:
        """The server is whole on ``mpm``, and the panel says so too. Raises Wrong."""
        sound(self.server, mpm)
        asked = f'ea4-mpm mpm status --server {SERVER} --json | grep -q \'"mpm": "{mpm}"\''
        ended = f"ea4-mpm mpm history --server {SERVER} --limit 1 --json | grep -q succeeded"
        each = f"{asked} && {ended} && exit; sleep 1"
        script = f"for n in $(seq {limit:.0f}); do {each}; done; exit 1"
        if self.panel.run(["sh", "-c", script], check=False, limit=2 * limit).returncode:
            said = self.panel.shell(f"ea4-mpm mpm status --server {SERVER}", check=False)
            raise Wrong(f"the panel does not say {mpm}: {said}")


def there_and_back(two: Two) -> None:
    for mpm in ("event", "worker", "prefork"):
        if mpm not in seen(two.server).installed:
            two.switch(mpm, "--wait")
            two.agrees(mpm)


@contextmanager
def within_packages(two: Two) -> Iterator[Callable[[], None]]:
    """A change that is changing packages. The block is given a function that waits for its end,
    which must be success; afterward the panel must say so too. Raises Wrong."""
    wanted = other(two.server)
    two.server.slow(4)
    change = two.begin(wanted)
    in_step(two.server, change, "packages")

    def succeeds() -> None:
        if (how := ended(two.server, change)["outcome"]) != "succeeded":
            raise Wrong(f"the change ended as {how}")

    yield succeeds
    two.server.slow(0)
    two.agrees(wanted)


def unplugged(two: Two) -> None:
    """The cable is pulled while packages are changed, and plugged in once the change has ended."""
    with within_packages(two) as succeeds:
        two.cable.unplug()
        succeeds()
        two.cable.plug()


def panel_lost(two: Two) -> None:
    """The power of the panel's machine fails while packages are changed."""
    with within_packages(two) as succeeds:
        two.panel.cut()
        succeeds()
        two.panel.boot()


def server_lost(two: Two) -> None:
    """The power of the server fails while packages are changed; it boots without the panel."""
    with within_packages(two) as succeeds:
        two.server.cut()
        two.cable.unplug()
        two.server.boot()
        succeeds()
        two.cable.plug()
