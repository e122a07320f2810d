"""Installs the panel on a whole machine and tries it there: ``python -m tests.machine``.

Each point is a sentence. Exit status 0: all of them hold; 1: one does not; 2: no machine can be
built here. ``--cuts`` and ``--plugs`` say how often the power fails in the middle of a change.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bench.report import Section, Table, markdown, write
from bootstrap import packages
from lab.machine import disk
from lab.machine.boot import Machine
from lab.process import LabError
from tests.machine import two
from tests.machine.server import (
    SPOOL,
    Wrong,
    begun,
    ended,
    in_step,
    other,
    outcome,
    seen,
    sound,
    switch,
    whole,
)
from tests.machine.two import Two
from tests.whm.stand_in import ACLS, REGISTER, UNREGISTER

WEB, WORKER, AGENT = "ea4-mpm-web.service", "ea4-mpm-worker.service", "ea4-mpm-agent.service"
REDIS = "ea4-mpm-redis.service"
MOST_EXPOSED = {WEB: 2.0, WORKER: 2.0, AGENT: 4.5}
"""What ``systemd-analyze security`` may say of a unit at most."""
MOST_MEMORY = 250
"""MiB of one idle server for everything of ours, in proportion where memory is shared."""
SLOW = 8
"""Seconds that the scriptlets of a slow package take: time to do something meanwhile."""
BETWEEN = (0.0, 9.0)
"""Seconds after the agent has taken a change, between which the power fails."""

_MEMORY = """\
for pid in $(cat /sys/fs/cgroup/system.slice/$1/cgroup.procs); do
    sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$pid/smaps_rollup
done
"""


@dataclass
class Trial:
    """One run: the machine, the built package, what was found and measured."""

    folder: Path
    package: Path
    cuts: int
    plugs: int
    chance: random.Random
    until: float
    """When no further power failure is begun, by the monotonic clock."""
    machine: Machine = field(init=False)
    two: Two | None = None
    wrong: list[str] = field(default_factory=list)
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def both(self) -> Two:
        """The two machines. Raises Wrong where they could not be installed."""
        if self.two is None:
            raise Wrong("there are no two machines")
        return self.two

    def figure(self, what: str, value: str) -> None:
        self.figures.append((what, value))
        write_line(f"      {what}: {value}")


def write_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


Point = Callable[[Trial], None]
POINTS: list[tuple[str, Point]] = []


def point(sentence: str) -> Callable[[Point], Point]:
    def register(work: Point) -> Point:
        POINTS.append((sentence, work))
        return work

    return register


# -- from nothing to a changed MPM -------------------------------------------------------------


@point("an installation without a network, and setup, end with the address")
def installed(trial: Trial) -> None:
    trial.machine = Machine.create(trial.folder / "m")
    trial.machine.put(trial.package, "/root/panel.deb")
    trial.figure("boot of the empty server", f"{trial.machine.boot():.1f} s")
    begin = time.monotonic()
    trial.machine.run(["dpkg", "-i", "/root/panel.deb"])
    said = trial.machine.shell("ea4-mpm setup --server web03")
    trial.figure("installation and setup", f"{time.monotonic() - begin:.0f} s")
    if "Ready: https://web03.example.test:8443/" not in said or "password: " not in said:
        raise Wrong(said)
    trial.machine.shell("ea4-mpm check")


@point("a second setup changes nothing and starts nothing anew")
def repeated(trial: Trial) -> None:
    ask = (
        f"systemctl show -p MainPID --value {WEB} {WORKER} {AGENT} {REDIS}; md5sum /etc/ea4-mpm/*.*"
    )
    before = trial.machine.shell(ask)
    said = trial.machine.shell("ea4-mpm setup")
    if "password: " in said or trial.machine.shell(ask) != before:
        raise Wrong(f"{said}\n{before}\n{trial.machine.shell(ask)}")


@point("two commands have changed the MPM, and httpd.service is active with the right process")
def changed(trial: Trial) -> None:
    begin = time.monotonic()
    switch(trial.machine, "event")
    trial.figure("a change, from the command to verified", f"{time.monotonic() - begin:.1f} s")
    sound(trial.machine, "event")


@point("systemctl reloads, restarts, stops and starts the httpd that a change has started")
def obeys(trial: Trial) -> None:
    for word in ("reload", "restart", "stop", "start"):
        trial.machine.run(["systemctl", word, "httpd.service"])
    sound(trial.machine, "event")
    stray = trial.machine.shell("systemctl list-units --failed --no-legend 'httpd*' 'ea4-*'")
    if stray:
        raise Wrong(stray)


@point("a new httpd has the limits, the mounts and the environment of its service")
def surroundings(trial: Trial) -> None:
    machine = trial.machine
    machine.shell(
        "mkdir -p /etc/systemd/system/httpd.service.d && printf '[Service]\\nPrivateTmp=yes\\n"
        "LimitNOFILE=15000\\nUMask=0002\\nEnvironment=SITE=42\\nTasksMax=2000\\n' "
        ">/etc/systemd/system/httpd.service.d/site.conf && systemctl daemon-reload && "
        "systemctl restart httpd.service"
    )
    ask = (
        "pid=$(cat /run/apache2/httpd.pid); readlink /proc/$pid/ns/mnt; "
        "grep 'Max open files' /proc/$pid/limits; grep Umask /proc/$pid/status; "
        "tr '\\0' '\\n' </proc/$pid/environ | grep SITE; cat /proc/$pid/cgroup | grep 0::"
    )
    before = machine.shell(ask)
    switch(machine, "worker")
    sound(machine, "worker")
    if (after := machine.shell(ask)) != before:
        raise Wrong(f"before:\n{before}\nafter:\n{after}")


@point("after a reboot everything runs, and the next change succeeds")
def rebooted(trial: Trial) -> None:
    down, up = trial.machine.reboot()
    trial.figure("shutdown, boot", f"{down:.1f} s, {up:.1f} s")
    sound(trial.machine, "worker")
    _until(trial.machine, "ea4-mpm check", 90)
    switch(trial.machine, "prefork")
    sound(trial.machine, "prefork")


def _until(machine: Machine, command: str, limit: float) -> None:
    """A command succeeds before so many seconds have passed. Raises Wrong."""
    end = time.monotonic() + limit
    while (done := machine.run(["sh", "-c", command], check=False)).returncode:
        if time.monotonic() > end:
            raise Wrong((done.stdout + done.stderr)[-1500:])
        time.sleep(1)


# -- beside cPanel --------------------------------------------------------------------------------


@point("an entry in WHM's menu opens the panel signed in, for that server, and leaves no trace")
def in_whm(trial: Trial) -> None:
    """With stand-ins for WHM's own programs; the panel, its TLS and its units are real."""
    machine = trial.machine
    machine.shell(
        "cd /usr/local/cpanel && mkdir -p bin Whostmgr 3rdparty/bin whostmgr/docroot/cgi/addons "
        "whostmgr/docroot/addon_plugins Cpanel/Config/ConfigObj/Driver /var/cpanel/apps && "
        "ln -sf /usr/bin/perl 3rdparty/bin/perl"
    )
    for name, text, mode in (
        ("bin/register_appconfig", REGISTER, 0o755),
        ("bin/unregister_appconfig", UNREGISTER, 0o755),
        ("Whostmgr/ACLS.pm", ACLS, 0o644),
        ("Whostmgr/resellers", "root:all\nshop:list-accts\n", 0o644),
    ):
        local = trial.folder / "stand-in"
        local.write_text(text)
        local.chmod(mode)
        machine.put(local, f"/usr/local/cpanel/{name}")
    before = machine.shell("find /usr/local/cpanel /var/cpanel /etc/dnf -print | sort")
    said = machine.shell("ea4-mpm whm install && ea4-mpm whm install && ea4-mpm check")
    if "opens https://web03.example.test:8443" not in said or "NO  " in said:
        raise Wrong(said)
    entry = "/usr/local/cpanel/whostmgr/docroot/cgi/addons/ea4mpm/index.cgi"
    machine.shell(
        f"env -i REMOTE_USER=root REQUEST_METHOD=GET {entry} >/root/page && "
        """sed -n 's/.*name="ticket" value="\\([^"]*\\)".*/ticket=\\1/p' /root/page >/root/form"""
    )
    hand_in = (
        "curl -sSk -L -o /root/opened -w '%{http_code} %{url_effective}' -b /root/jar -c /root/jar "
        "--resolve web03.example.test:8443:127.0.0.1 --data @/root/form "
        "https://web03.example.test:8443/whm/"
    )
    opened = machine.shell(hand_in)
    if opened != "200 https://web03.example.test:8443/software/easyapache4/mpm/?server=web03":
        raise Wrong(opened + machine.shell("head -c 3000 /root/page; head -c 2000 /root/opened"))
    machine.shell("grep -q 'root@web03 (WHM)' /root/opened && rm /root/jar")
    again = machine.shell(hand_in)
    if not again.endswith("/login/?whm=used"):
        raise Wrong(again)
    refused = machine.shell(f"env -i REMOTE_USER=shop REQUEST_METHOD=GET {entry}")
    if "403 Forbidden" not in refused or "ea4whm1" in refused:
        raise Wrong(refused)
    machine.shell("ea4-mpm whm remove && ea4-mpm setup")
    after = machine.shell("find /usr/local/cpanel /var/cpanel /etc/dnf -print | sort")
    if after.replace("/restarts\n", "\n") != before:
        raise Wrong(f"{set(after.splitlines()) ^ set(before.splitlines())}")


@point("packages that are installed by hand are in the history at once, and chkservd goes on")
def reported_at_once(trial: Trial) -> None:
    machine = trial.machine
    now = "event" if seen(machine).running != "event" else "worker"
    known = len(_made_outside(machine))
    machine.shell(f"dnf -y install --allowerasing ea-apache24-mod_mpm_{now} ea-apache24-mod_cgid")
    end = time.monotonic() + 40
    while len(found := _made_outside(machine)) <= known:
        if time.monotonic() > end:
            raise Wrong("the panel has not learned of it")
    touched = float(machine.shell(f"stat -c %.Y {SPOOL}/packages-moved"))
    took = datetime.fromisoformat(found[0]).timestamp() - touched
    trial.figure("from the end of somebody else's transaction to the history", f"{took:.2f} s")
    if machine.shell("ls /run/chkservd.suspend 2>/dev/null || :"):
        raise Wrong("chkservd is still suspended")


def _made_outside(machine: Machine) -> list[str]:
    """When the panel learned of each change that somebody else made, the newest first."""
    told = json.loads(machine.shell("ea4-mpm mpm history --server web03 --json"))
    return [one["requested_at"] for one in told["items"] if one["origin"] == "outside"]


# -- what the units may do, and what they take -------------------------------------------------


@point("the units are as closed as they are meant to be")
def closed(trial: Trial) -> None:
    open_wide = []
    for unit in (WEB, WORKER, AGENT, REDIS):
        said = trial.machine.shell(f"systemd-analyze security --no-pager {unit} | tail -1")
        level = float(said.partition(": ")[2].split()[0])
        trial.figure(f"systemd-analyze security, {unit}", f"{level}")
        if level > MOST_EXPOSED.get(unit, 2.0):
            open_wide.append(f"{unit}: {level}")
    if open_wide:
        raise Wrong(", ".join(open_wide))


@point("an idle server spends no more memory on us than it is meant to")
def small(trial: Trial) -> None:
    time.sleep(20)
    total = 0
    for unit in (WEB, WORKER, AGENT, REDIS):
        said = trial.machine.run(["sh", "-c", _MEMORY, "memory", unit]).stdout.split()
        mine = sum(int(kilobytes) for kilobytes in said) / 1024
        total += round(mine)
        trial.figure(f"memory, idle, {unit}", f"{mine:.0f} MiB")
    trial.figure("memory, idle, together", f"{total} MiB")
    if total > MOST_MEMORY:
        raise Wrong(f"{total} MiB")


# -- what is killed does not take a change along -----------------------------------------------


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
    _until(machine, f"ea4-mpm mpm history --json | grep -q {how}", 120)


@point("a killed httpd between the packages neither spends systemd's limit nor stays down")
def start_limit(trial: Trial) -> None:
    machine = trial.machine
    machine.slow(4)
    before, wanted = seen(machine).installed[0], other(machine)
    with begun(machine, wanted) as change:
        in_step(machine, change, "packages")
        _until(machine, "[ $(ls /etc/apache2/conf.modules.d | grep -c mpm_) -gt 1 ]", 20)
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


# -- the power fails ---------------------------------------------------------------------------


@point("power cuts at random instants of a change leave it done or undone, never between")
def cuts(trial: Trial) -> None:
    _power(trial, trial.machine, trial.cuts, Machine.cut, "power cut (all processes killed)")


@point("pulled plugs at random instants of a change leave it done or undone, never between")
def plugs(trial: Trial) -> None:
    if not trial.plugs:
        return
    trial.machine.halt()
    machine = trial.machine.on_image(trial.folder / "disk")
    try:
        machine.boot()
        _power(trial, machine, trial.plugs, Machine.pull_the_plug, "pulled plug (ext4 shut down)")
    finally:
        machine.discard()
    trial.machine.boot()


def _power(
    trial: Trial, machine: Machine, times: int, fails: Callable[[Machine], None], what: str
) -> None:
    """``times`` failures, fewer when the time is over; the count says how many there were."""
    endings: Counter[str] = Counter()
    neither = []
    longest = 0.0
    for number in range(times):
        if time.monotonic() > trial.until:
            break
        state = sound(machine, patience=60)
        before, wanted = state.installed[0], other(machine)
        moment = trial.chance.uniform(*BETWEEN)
        _until(machine, "ea4-mpm manage pulse control --within 60", 120)
        with begun(machine, wanted) as change:
            time.sleep(moment)
            fails(machine)
        begin = time.monotonic()
        machine.boot()
        try:
            if outcome(machine, change) is None and not _has_request(machine, change):
                endings["not yet taken"] += 1
                sound(machine, before)
                continue
            how = whole(machine, change, wanted, before)
        except (Wrong, LabError) as error:
            neither.append(f"after {moment:.1f} s: {error}")
            write_line(f"      {number + 1}: NEITHER {neither[-1]}")
            endings["neither"] += 1
            if seen(machine).faults():
                break
            continue
        longest = max(longest, time.monotonic() - begin)
        endings[how] += 1
        write_line(f"      {number + 1} of {times}, after {moment:.1f} s: {how}")
    said = ", ".join(f"{count} {how}" for how, count in sorted(endings.items()))
    trial.figure(f"{what}, {sum(endings.values())} times", said)
    trial.figure(f"{what}, from boot to the end of the change, longest", f"{longest:.0f} s")
    if neither:
        raise Wrong("; ".join(neither))


def _has_request(machine: Machine, change: str) -> bool:
    return (
        machine.run(["test", "-s", f"{SPOOL}/{change}/request.json"], check=False).returncode == 0
    )


# -- other layouts, other versions, the end ----------------------------------------------------


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
    _until(machine, "ea4-mpm use | grep -q '0.1.1-1 (current)'", 180)
    _until(machine, "ea4-mpm check", 180)
    machine.run(["ea4-mpm", "use", "0.1.0-1"], limit=600)
    _until(machine, "ea4-mpm check", 120)
    switch(machine, before)
    machine.run(["ea4-mpm", "use", "0.1.1-1"], limit=600)
    _until(machine, "ea4-mpm check", 120)


@point("an uninstallation keeps the history where that is wanted, else nothing but the journal")
def removed(trial: Trial) -> None:
    machine = trial.machine
    machine.run(["ea4-mpm", "uninstall", "--keep-history"], limit=300)
    left = machine.shell("ls /var/lib/ea4-mpm/panel/panel.sqlite3 /etc/ea4-mpm/secrets/secret-key")
    if len(left.splitlines()) != 2:
        raise Wrong(f"kept: {left}")
    machine.run(["dpkg", "-i", "/root/panel.deb"])
    machine.shell("ea4-mpm setup --server web03")
    _until(machine, "ea4-mpm mpm history --json | grep -q succeeded", 60)
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


# -- a panel on one machine, an agent on another -------------------------------------------------


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


# -- the run -----------------------------------------------------------------------------------


def run(trial: Trial, wanted: list[str]) -> None:
    for sentence, work in POINTS:
        if wanted and work.__name__ not in wanted and work is not installed:
            continue
        begin = time.monotonic()
        try:
            work(trial)
        except (Wrong, LabError, packages.CannotBuild) as error:
            trial.wrong.append(f"{sentence}: {error}")
            write_line(f"NO    {sentence}\n      {error}")
            if work is installed:
                break
            _recover(trial)
        else:
            write_line(f"ok    {sentence} ({time.monotonic() - begin:.0f} s)")
        took = f"{time.monotonic() - begin:.0f} s"
        held = "no" if trial.wrong and trial.wrong[-1].startswith(sentence) else "yes"
        trial.rows.append((sentence, held, took))


def _recover(trial: Trial) -> None:
    """The next point finds a machine that is up, with packages of the usual speed."""
    both = (trial.two.panel, trial.two.server) if trial.two else (trial.machine,)
    for machine in both:
        if machine.init is None:
            machine.boot()
        machine.slow(0)
    if trial.two:
        trial.two.cable.plug()


def report(trial: Trial, section_name: str) -> None:
    held = sum(row[1] == "yes" for row in trial.rows)
    findings = (f"{held} of {len(trial.rows)} points hold on a whole machine.",)
    tables = (
        Table("What was tried.", ("point", "holds", "took"), tuple(trial.rows)),
        Table("What was measured.", ("what", "value"), tuple(trial.figures)),
    )
    method = (
        (
            "Debian 12 with systemd 252 as process 1, booted by systemd-nspawn with every "
            "capability; dnf and rpm at / with EasyApache 4's package names; httpd.service as on "
            "a cPanel server."
        ),
        "The panel, its worker, its agent and its Redis from the .deb that make packages builds.",
        "Not tried: Enterprise Linux, SELinux, and cPanel's own scripts and watchdog.",
    )
    conditions = (
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.0f}, {time.strftime('%F')}."
    )
    section = Section(findings, tables, method)
    title = "The packages on a whole machine"
    write(section_name, markdown(section_name, title, section, conditions))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--plugs", type=int, default=10)
    parser.add_argument(
        "--minutes", type=float, default=600, help="no further cut or plug after so many"
    )
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--package", type=Path, help="a .deb of the panel; else it is built now")
    parser.add_argument("--point", action="append", default=[], metavar="NAME", help="only these")
    parser.add_argument("--section", help="of bench/RESULTS.md, also where only some points run")
    parser.add_argument("--keep", action="store_true", help="leave the machine's disk behind")
    asked = parser.parse_args()
    if lacks := disk.missing():
        write_line(f"A whole machine needs {', '.join(lacks)}.")
        return 2
    seed = asked.seed if asked.seed is not None else int(time.time())
    write_line(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="ea4-machine-", dir="/var/tmp"))
    folder.chmod(0o755)
    package = asked.package
    if package is None:
        target = [one for one in packages.TARGETS if one.name == "debian12"]
        version = packages.version_of_the_project()
        package = packages.build(target, [packages.PANEL], version, "1", folder)[0]
    until = time.monotonic() + 60 * asked.minutes
    trial = Trial(folder, package, asked.cuts, asked.plugs, random.Random(seed), until)
    try:
        run(trial, asked.point)
        if asked.section or not asked.point:
            report(trial, asked.section or "machine")
    finally:
        if asked.keep:
            write_line(f"kept: {folder}")
        elif hasattr(trial, "machine"):
            if trial.two is not None:
                trial.two.discard()
            trial.machine.discard()
            shutil.rmtree(folder)
    write_line(f"{len(trial.wrong)} of {len(trial.rows)} points do not hold.")
    return 1 if trial.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
