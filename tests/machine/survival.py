"""What is killed, stopped or shut down does not take a change along."""

from __future__ import annotations

import time

from tests.machine.server import (
    SPOOL,
    Wrong,
    begun,
    in_step,
    other,
    seen,
    sound,
    switch,
    whole,
)
from tests.machine.trial import (
    AGENT,
    REDIS,
    SLOW,
    WEB,
    WORKER,
    Trial,
    point,
    until,
)


@point("stop, kill and restart of the agent, daemon-reload and isolate end no dnf and no engine")
def survives(trial: Trial) -> None:
    machine = trial.machine
    machine.slow(SLOW)
    for blow in (
        f"systemctl stop {AGENT}; sleep 1; systemctl start {AGENT}",
        f"systemctl kill -s KILL {AGENT}",
        f"systemctl restart {AGENT} && systemctl daemon-reload && systemctl daemon-reexec",
        "systemctl isolate multi-user.target",
        f"systemctl restart {REDIS} {WEB} {WORKER}",
    ):
        before = seen(machine).installed[0]
        wanted = other(machine)
        with begun(machine, wanted) as change:
            in_step(machine, change, "packages")
            time.sleep(1)
            machine.shell(blow)
            how = whole(machine, change, wanted, before)
        if how != "succeeded":
            raise Wrong(f"{blow}: {how}")
    machine.slow(0)


@point("a shutdown waits for the transaction, and the boot finishes the change without a hand")
def shut_down(trial: Trial) -> None:
    machine = trial.machine
    machine.slow(SLOW)
    before, wanted = seen(machine).installed[0], other(machine)
    with begun(machine, wanted) as change:
        in_step(machine, change, "packages")
        time.sleep(1)
        trial.figure("shutdown within a transaction of packages", f"{machine.halt():.1f} s")
    exits = list((machine.root / SPOOL.lstrip("/") / change / "output").glob("*/packages.exit"))
    if not exits or '"status": 0' not in exits[0].read_text(encoding="ascii"):
        raise Wrong("dnf was cut off by the shutdown")
    machine.boot()
    how = whole(machine, change, wanted, before)
    machine.slow(0)
    if how != "succeeded":
        raise Wrong(how)


@point("who shuts the machine down during a change is told who holds it and why")
def inhibited(trial: Trial) -> None:
    """Root's shutdown passes over a lock of this systemd unless told otherwise: it is delayed, and
    the change goes on after the boot."""
    machine = trial.machine
    locks = "systemd-inhibit --list --no-legend"
    machine.slow(4)
    before, wanted = seen(machine).installed[0], other(machine)
    with begun(machine, wanted) as change:
        in_step(machine, change, "packages")
        held = machine.shell(locks)
        refused = machine.run(["systemctl", "reboot", "--check-inhibitors=yes"], check=False)
        how = whole(machine, change, wanted, before)
    said = refused.stdout + refused.stderr
    if refused.returncode == 0 or "EA4 MPM panel" not in said or f"will be {wanted}" not in said:
        raise Wrong(f"reboot was not refused: {said}; held: {held}")
    if how != "succeeded" or held.count("EA4 MPM panel") != 2:
        raise Wrong(f"{how}; held: {held}")
    if left := machine.shell(locks).replace("No inhibitors.", ""):
        raise Wrong(f"held after the change: {left}")
    machine.slow(SLOW)
    for command in (["systemctl", "poweroff"], ["systemctl", "reboot"], ["reboot", "-f"]):
        before, wanted = seen(machine).installed[0], other(machine)
        with begun(machine, wanted) as change:
            in_step(machine, change, "packages")
            time.sleep(1)
            took = machine.halt(command)
        machine.boot()
        how = whole(machine, change, wanted, before)
        trial.figure(
            f"{' '.join(command)} within a transaction of packages", f"{took:.1f} s, {how}"
        )
    machine.slow(0)


@point("without logind a change goes on, and its log says that nothing holds back a shutdown")
def without_logind(trial: Trial) -> None:
    machine = trial.machine
    machine.shell("systemctl mask --runtime --now systemd-logind.service")
    try:
        before, wanted = seen(machine).installed[0], other(machine)
        with begun(machine, wanted) as change:
            how = whole(machine, change, wanted, before)
    finally:
        machine.shell("systemctl unmask --runtime systemd-logind.service")
    told = machine.shell(
        f"grep -c 'systemd-logind gives no lock' {SPOOL}/{change}/log", check=False
    )
    if how != "succeeded" or told != "1":
        raise Wrong(f"{how}; the log says it {told} times")


@point("after a cut between the packages a boot without Redis finishes the change")
def without_redis(trial: Trial) -> None:
    machine = trial.machine
    machine.slow(SLOW)
    before, wanted = seen(machine).installed[0], other(machine)
    with begun(machine, wanted) as change:
        in_step(machine, change, "packages")
        time.sleep(4)
        machine.cut()
    mask = machine.root / "etc/systemd/system" / REDIS
    mask.symlink_to("/dev/null")
    try:
        machine.boot()
        how = whole(machine, change, wanted, before)
        said = machine.shell(f"systemctl is-active {REDIS}", check=False)
        if said == "active":
            raise Wrong("Redis ran after all")
    finally:
        mask.unlink()
    machine.shell(f"systemctl daemon-reload; systemctl restart {REDIS}")
    machine.slow(0)
    trial.figure("cut between the packages, boot without Redis", how)
    until(machine, f"ea4-mpm mpm history --json | grep -q {how}", 120)


@point("a killed httpd between the packages neither spends systemd's limit nor stays down")
def start_limit(trial: Trial) -> None:
    machine = trial.machine
    machine.slow(4)
    before, wanted = seen(machine).installed[0], other(machine)
    with begun(machine, wanted) as change:
        in_step(machine, change, "packages")
        until(machine, "[ $(ls /etc/apache2/conf.modules.d | grep -c mpm_) -gt 1 ]", 20)
        machine.shell("kill -9 $(pgrep -x httpd)", check=False)
        whole(machine, change, wanted, before)
    machine.slow(0)
    said = machine.shell("journalctl -b -u httpd.service | grep -c 'too quickly'", check=False)
    if said.strip() != "0":
        raise Wrong(f"systemd refused a start {said} times")


@point("a switched off httpd is not started")
def switched_off(trial: Trial) -> None:
    machine = trial.machine
    machine.shell("touch /etc/httpddisable; systemctl stop httpd.service")
    try:
        refused = machine.run(
            ["ea4-mpm", "mpm", "switch", other(machine), "--reason", "off", "--wait", "--yes"],
            check=False,
        )
        running = machine.shell("pgrep -x httpd | wc -l", check=False)
        if refused.returncode == 0 or running != "0":
            raise Wrong(f"exit status {refused.returncode}, {running} httpd processes")
    finally:
        machine.shell("rm -f /etc/httpddisable; systemctl start httpd.service")
    sound(machine)


@point("a change succeeds where httpd listens on every IPv6 address as well")
def every_address(trial: Trial) -> None:
    machine = trial.machine
    files = "/etc/apache2/conf/httpd.conf /var/cpanel/conf/apache/main"
    machine.shell(f"sed -i 's/^Listen 0.0.0.0:80$/&\\nListen [::]:80/' {files}")
    machine.shell("systemctl restart httpd.service && curl -sg -o /dev/null http://[::1]/")
    try:
        wanted = other(machine)
        switch(machine, wanted)
        sound(machine, wanted)
        machine.shell("curl -sg -o /dev/null http://[::1]/")
    finally:
        machine.shell(f"sed -i '/^Listen \\[::\\]:80$/d' {files}; systemctl restart httpd.service")
