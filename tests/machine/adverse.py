"""What else goes wrong on a server while its MPM is changed.

After each of these the change has ended as it says, and the server is whole: as planned or as it
was. What cannot be tried here: another clock, which a machine on this kernel shares with all
others.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab.machine.boot import Machine
from tests.machine.server import (
    Wrong,
    begun,
    ended,
    in_step,
    other,
    seen,
    sound,
    switch,
    whole,
)
from tests.machine.trial import AGENT, REDIS, WEB, WORKER, Trial, point, until

SOCKET = "/run/ea4-mpm-redis/redis.sock"
_PIDS = "systemctl show -p MainPID --value"


@dataclass(frozen=True, slots=True)
class Blow:
    """What is done while packages are changed, and what mends it: at once, or once ``after``
    seconds have passed."""

    name: str
    command: str
    mended: str = ":"
    after: float = 0.0


SERVICES = (
    Blow(
        "the agent is stopped by a signal",
        f"kill -STOP $({_PIDS} {AGENT})",
        f"kill -CONT $({_PIDS} {AGENT})",
        12,
    ),
    Blow("worker and pages are killed", f"systemctl kill -s KILL {WORKER} {WEB}"),
    Blow("the journal is killed", "systemctl kill -s KILL systemd-journald"),
    Blow(
        "the journal reads nothing for a while",
        f"kill -STOP $({_PIDS} systemd-journald)",
        f"kill -CONT $({_PIDS} systemd-journald)",
        12,
    ),
    Blow("D-Bus is killed", f"kill -9 $({_PIDS} dbus.service)"),
    Blow("logind is killed", "systemctl kill -s KILL systemd-logind"),
    Blow("Redis is killed", f"systemctl kill -s KILL {REDIS}"),
    Blow("Redis loses its socket", f"rm {SOCKET}", f"systemctl restart {REDIS}", 5),
    Blow("a second agent is started", "@second", "systemctl stop second-agent", 8),
)
PLACES = (
    Blow(
        "/run and /tmp are full",
        "mount -o remount,size=24m /run; mount -o remount,size=8m /tmp; "
        "dd if=/dev/zero of=/run/full bs=64k; dd if=/dev/zero of=/tmp/full bs=64k; :",
        "rm -f /run/full /tmp/full; mount -o remount,size=50% /run; mount -o remount,size=10% /tmp",
        15,
    ),
    Blow(
        "/var becomes read-only",
        "mount --bind /var /var && mount -o remount,bind,ro /var",
        "umount /var",
        10,
    ),
)
HTTPD = (
    Blow("httpd is restarted by its own program", "httpd -k restart; :"),
    Blow("httpd is reloaded by its own program", "sleep 2; httpd -k graceful; :"),
    Blow("httpd.service is restarted", "systemctl restart httpd.service; :"),
    Blow(
        "logs are rotated over and over",
        "systemd-run --unit=rotations sh -c 'for n in $(seq 40); do "
        "/usr/local/cpanel/scripts/restartsrv_httpd --graceful; sleep 0.4; done'",
        "systemctl stop rotations",
        14,
    ),
    Blow(
        "its limits become narrow",
        "mkdir -p /etc/systemd/system/httpd.service.d && printf '[Service]\\nTasksMax=40\\n"
        "LimitNOFILE=256\\n' >/etc/systemd/system/httpd.service.d/narrow.conf && "
        "systemctl daemon-reload",
        "rm /etc/systemd/system/httpd.service.d/narrow.conf; systemctl daemon-reload",
        30,
    ),
)


def _strike(trial: Trial, blow: Blow, *, slow: int = 4) -> str:
    """One change that is struck while packages are changed; how it ended. Raises Wrong."""
    machine = trial.machine
    machine.slow(slow)
    before, wanted = sound(machine, patience=60).installed[0], other(machine)
    command = _second_agent(machine) if blow.command == "@second" else blow.command
    with begun(machine, wanted) as change:
        in_step(machine, change, "packages")
        time.sleep(1)
        machine.shell(command, check=False)
        time.sleep(blow.after)
        machine.shell(blow.mended, check=False)
        how = whole(machine, change, wanted, before)
    machine.slow(0)
    until(machine, f"ea4-mpm mpm history --limit 1 --json | grep -q '\"{how}\"'", 120)
    until(machine, "ea4-mpm check", 120)
    return how


def _all(trial: Trial, blows: tuple[Blow, ...]) -> None:
    wrong = []
    for blow in blows:
        try:
            trial.figure(f"while packages are changed {blow.name}", _strike(trial, blow))
        except Wrong as error:
            wrong.append(f"{blow.name}: {error}")
            trial.figure(f"while packages are changed {blow.name}", f"WRONG: {error}")
            if seen(trial.machine).faults():
                break  # the next blow would only find this one's damage
    if wrong:
        raise Wrong("; ".join(wrong))


def _second_agent(machine: Machine) -> str:
    started = machine.shell(f"systemctl show -p ExecStart --value {AGENT}")
    words = started.partition("argv[]=")[2].partition(" ;")[0]
    files = "".join(f" -p EnvironmentFile=/etc/ea4-mpm/{name}.env" for name in ("broker", "agent"))
    given = machine.shell(f"systemctl show -p Environment --value {AGENT}")
    return (
        f"systemd-run --unit=second-agent -p WorkingDirectory=/opt/ea4-mpm/current{files} "
        f"-p Environment='{given}' {words.replace('${EA4_SERVER}', 'web03')}"
    )


@point("what serves the panel is killed, stopped or doubled, and the change ends well")
def services_struck(trial: Trial) -> None:
    _all(trial, SERVICES)


@point("full and read-only places in the middle of a change leave the server whole")
def places_struck(trial: Trial) -> None:
    _all(trial, PLACES)


@point("somebody else's restart, and narrower limits, in the middle of a change leave it whole")
def httpd_struck(trial: Trial) -> None:
    _all(trial, HTTPD)


@point("a full disk in the middle of a change leaves the server whole")
def disk_full(trial: Trial) -> None:
    trial.machine.halt()
    usual, trial.machine = trial.machine, trial.machine.on_image(trial.folder / "full")
    try:
        trial.machine.boot()
        full = Blow(
            "the disk is full",
            "dd if=/dev/zero of=/full bs=1M; dd if=/dev/zero of=/full2 bs=4k; sync; :",
            "rm -f /full /full2",
            20,
        )
        _all(trial, (full,))
    finally:
        trial.machine.discard()
        trial.machine = usual
        usual.boot()


_MASK = "mv /etc/systemd/system/httpd.service /root/ && systemctl mask httpd.service"
_UNMASK = (
    "systemctl unmask httpd.service; cd /etc/systemd/system && mv /root/httpd.service . && "
    "ln -sf ../httpd.service multi-user.target.wants/ && systemctl daemon-reload"
)


@point("a masked httpd.service, before or within a change, leaves the server whole and is told")
def masked(trial: Trial) -> None:
    machine = trial.machine
    machine.shell(_MASK)
    try:
        refused = machine.run(
            ["ea4-mpm", "mpm", "switch", other(machine), "--reason", "no", "--wait", "--yes"],
            check=False,
        )
        if refused.returncode == 0 or "mask" not in refused.stdout + refused.stderr:
            raise Wrong(f"{refused.returncode}: {refused.stdout}{refused.stderr}")
    finally:
        machine.shell(_UNMASK)
    sound(machine)
    _all(trial, (Blow("httpd.service is masked", _MASK, _UNMASK, 30),))


@point("a change says that httpd is stopped, and starts it; one stopped within it is running again")
def stopped(trial: Trial) -> None:
    """Who wants it to stay away switches it off: that is another point."""
    machine = trial.machine
    machine.shell("systemctl stop httpd.service")
    wanted = other(machine)
    said = machine.shell(f"ea4-mpm mpm switch {wanted} --reason no --wait --yes")
    if "Apache isn't running" not in said or "A change starts it again." not in said:
        raise Wrong(said)
    sound(machine, wanted)
    _all(trial, (Blow("httpd.service is stopped", "systemctl stop httpd.service"),))


@point("systemctl isolate rescue.target in the middle of a change ends neither dnf nor the change")
def rescue(trial: Trial) -> None:
    machine = trial.machine
    machine.slow(4)
    before, wanted = seen(machine).installed[0], other(machine)
    with begun(machine, wanted) as change:
        in_step(machine, change, "packages")
        time.sleep(1)
        machine.shell("systemctl isolate --no-block rescue.target")
        how = ended(machine, change)["outcome"]
        trial.figure("isolate rescue.target within a transaction of packages", str(how))
        machine.shell("systemctl isolate --no-block multi-user.target")
        until(machine, "systemctl is-active -q httpd.service", 60)
        whole(machine, change, wanted, before)
    machine.slow(0)
    until(machine, "ea4-mpm check", 120)


@point("wrong owners and modes below /etc/ea4-mpm are told, and setup mends them")
def wrong_modes(trial: Trial) -> None:
    machine = trial.machine
    listed = "find /etc/ea4-mpm -printf '%M %u %g %p\\n' | sort -k4"
    before = machine.shell(listed)
    machine.shell("chmod -R a+rwX /etc/ea4-mpm; chown -R nobody /etc/ea4-mpm")
    told = machine.run(["ea4-mpm", "check"], check=False)
    if told.returncode == 0 or "NO  " not in told.stdout:
        raise Wrong(f"not noticed: {told.stdout}")
    machine.shell("ea4-mpm setup", limit=600)
    if (after := machine.shell(listed)) != before:
        raise Wrong(f"before:\n{before}\nafter:\n{after}")
    until(machine, "ea4-mpm check", 120)
    switch(machine, other(machine))
    sound(machine)
