"""Other layouts, other versions, an uninstallation; then two machines."""

from __future__ import annotations

from bootstrap import packages
from tests.machine import two
from tests.machine.server import (
    Wrong,
    begun,
    ended,
    in_step,
    other,
    seen,
    sound,
    switch,
)
from tests.machine.trial import (
    SLOW,
    Trial,
    point,
    until,
)
from tests.machine.two import Two


@point("with the control groups of EL 8 a change leaves httpd in its own service as well")
def hybrid(trial: Trial) -> None:
    trial.machine.halt()
    trial.machine.layout = "hybrid"
    try:
        trial.machine.boot()
        for mpm in ("event", "worker", "prefork"):
            if mpm not in seen(trial.machine).installed:
                switch(trial.machine, mpm)
                sound(trial.machine, mpm)
    finally:
        trial.machine.halt()
        trial.machine.layout = "v2"
        trial.machine.boot()


@point("an upgrade in the middle of a change disturbs neither, and the way back works")
def upgraded(trial: Trial) -> None:
    machine = trial.machine
    target = next(one for one in packages.TARGETS if one.name == "debian12")
    newer = packages.build([target], [packages.PANEL], "0.1.1", "1", trial.folder / "newer")[0]
    machine.put(newer, "/root/newer.deb")
    machine.slow(SLOW)
    before, wanted = seen(machine).installed[0], other(machine)
    with begun(machine, wanted) as change:
        in_step(machine, change, "packages")
        machine.run(["dpkg", "-i", "/root/newer.deb"], limit=600)
        how = ended(machine, change)["outcome"]
    machine.slow(0)
    if how != "succeeded":
        raise Wrong(f"the change ended as {how}")
    sound(machine, wanted)
    until(machine, "ea4-mpm use | grep -q '0.1.1-1 (current)'", 180)
    until(machine, "ea4-mpm check", 180)
    machine.run(["ea4-mpm", "use", "0.1.0-1"], limit=600)
    until(machine, "ea4-mpm check", 120)
    switch(machine, before)
    machine.run(["ea4-mpm", "use", "0.1.1-1"], limit=600)
    until(machine, "ea4-mpm check", 120)


@point("an uninstallation keeps the history where that is wanted, else nothing but the journal")
def removed(trial: Trial) -> None:
    machine = trial.machine
    machine.run(["ea4-mpm", "uninstall", "--keep-history"], limit=300)
    left = machine.shell("ls /var/lib/ea4-mpm/panel/panel.sqlite3 /etc/ea4-mpm/secrets/secret-key")
    if len(left.splitlines()) != 2:
        raise Wrong(f"kept: {left}")
    machine.run(["dpkg", "-i", "/root/panel.deb"])
    machine.shell("ea4-mpm setup --server web03")
    until(machine, "ea4-mpm mpm history --json | grep -q succeeded", 60)
    machine.run(["ea4-mpm", "uninstall"], limit=300)
    left = machine.shell(
        "ls -d /opt/ea4-mpm /etc/ea4-mpm /var/lib/ea4-mpm /run/ea4-mpm* /usr/sbin/ea4-mpm "
        "/usr/lib/systemd/system/ea4-mpm* /etc/systemd/system/*/ea4-mpm* 2>/dev/null; "
        "getent passwd ea4-mpm; getent group ea4-mpm; "
        "systemctl list-units --all --no-legend 'ea4-*'",
        check=False,
    )
    left += machine.run(["pgrep", "-fa", "/opt/ea4-mpm"], check=False).stdout
    if left:
        raise Wrong(f"left: {left}")
    sound(machine)


@point("a panel on one machine changes the MPM of another one, which has the agent alone")
def apart(trial: Trial) -> None:
    if trial.machine.init is not None:
        trial.machine.halt()
    target = next(one for one in packages.TARGETS if one.name == "debian12")
    version = packages.version_of_the_project()
    agent = packages.build([target], [packages.AGENT], version, "1", trial.folder / "agents")[0]
    trial.two = Two.installed(trial.folder, trial.package, agent)
    two.there_and_back(trial.two)


@point("a change ends while the panel cannot be reached, and the panel learns how")
def unplugged(trial: Trial) -> None:
    two.unplugged(trial.both)


@point("a change ends while the panel's machine has no power, and the panel learns how")
def panel_lost(trial: Trial) -> None:
    two.panel_lost(trial.both)


@point("a server whose power failed finishes its change without the panel, which learns how")
def server_lost(trial: Trial) -> None:
    two.server_lost(trial.both)
