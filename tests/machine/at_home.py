"""An installed panel on a server: the first change, beside cPanel, what it may do and takes."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import datetime

from lab.machine.boot import Machine
from tests.machine.server import (
    SPOOL,
    Wrong,
    other,
    seen,
    sound,
    switch,
)
from tests.machine.trial import (
    AGENT,
    REDIS,
    WEB,
    WORKER,
    Trial,
    point,
    until,
)
from tests.whm.stand_in import ACLS, REGISTER, UNREGISTER

RESUME = "ea4-mpm-resume.service"
MOST_EXPOSED = {WEB: 2.0, WORKER: 2.0, AGENT: 4.5, RESUME: 8.2}
"""What ``systemd-analyze security`` may say of a unit at most."""
MOST_MEMORY = 250
"""MiB of one idle server for everything of ours, in proportion where memory is shared."""

_MEMORY = """\
for pid in $(cat /sys/fs/cgroup/system.slice/$1/cgroup.procs); do
    sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$pid/smaps_rollup
done
"""


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
    until(trial.machine, "ea4-mpm check", 90)
    switch(trial.machine, "prefork")
    sound(trial.machine, "prefork")


@point("journalctl finds the lines about one change, and about one request, each once")
def journaled(trial: Trial) -> None:
    machine = trial.machine
    switch(machine, other(machine))
    number = json.loads(machine.shell("ea4-mpm mpm history --limit 1 --json"))["items"][0]["id"]
    until(machine, f"journalctl EA4_CHANGE={number} | grep -q 'verify: '", 20)
    lines = _journal(machine, f"EA4_CHANGE={number}")
    units = {line["_SYSTEMD_UNIT"].partition("-1.service")[0][:11] for line in lines}
    if missing := {"ea4-mpm-age", "ea4-mpm-wor"} - units:
        raise Wrong(f"no line of {missing}, but of {units}")
    if not any(line.get("EA4_STEP") == "packages" for line in lines):
        raise Wrong("no line of the engine says in which step it was")
    request = "machine-test-0001"
    machine.shell(f"curl -sSk -o /dev/null -H 'X-Request-Id: {request}' https://127.0.0.1:8443/no")
    until(machine, f"journalctl EA4_REQUEST={request} | grep -q /no", 20)
    lines = [*lines, *_journal(machine, f"EA4_REQUEST={request}")]
    said = Counter((line["_PID"], line["__REALTIME_TIMESTAMP"], line["MESSAGE"]) for line in lines)
    if twice := [line for line, times in said.items() if times > 1]:
        raise Wrong(f"twice in the journal: {twice}")
    asked = machine.shell(f"journalctl -b -o cat -u {WEB} | grep -c '/no'")
    if asked != "2":  # the warning of Django for a page that is not there, and the access line
        raise Wrong(f"a request is in the journal {asked} times")


def _journal(machine: Machine, match: str) -> list[dict[str, str]]:
    said = machine.shell(f"journalctl -b -o json {match}")
    return [json.loads(line) for line in said.splitlines()]


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


@point("the units are as closed as they are meant to be")
def closed(trial: Trial) -> None:
    open_wide = []
    for unit in (WEB, WORKER, AGENT, REDIS, RESUME):
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
