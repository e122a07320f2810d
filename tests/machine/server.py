"""What the points ask of a machine: its httpd, its packages, and how its changes ended."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab.machine.boot import Machine

MPMS = ("event", "worker", "prefork")
SPOOL = "/var/lib/ea4-mpm/agent"
SITES = (
    ("http://127.0.0.1/", "static.lab.test"),
    ("http://127.0.0.1/cgi-bin/who.cgi", "cgi.lab.test"),
    ("http://127.0.0.1/index.php", "php.lab.test"),
)
ENDED = 180.0
"""Seconds after a boot within which what was cut off has ended."""

_STATE = r"""
conf=/etc/apache2/conf.modules.d
names() { sed 's/.*mpm_//; s/\.conf$//' | sort | tr '\n' ' '; }
pid=$(cat /run/apache2/httpd.pid 2>/dev/null)
echo "installed=$(rpm -qa 'ea-apache24-mod_mpm_*' --qf '%{NAME}\n' | names)"
echo "configured=$(grep -lE '^ *LoadModule mpm_' $conf/*.conf | names)"
status='http://127.0.0.1/whm-server-status?auto'
echo "running=$(curl -s -m 10 "$status" | sed -n 's/^ServerMPM: //p')"
echo "active=$(systemctl is-active httpd.service)"
echo "main=$(systemctl show -p MainPID --value httpd.service)"
echo "pid=$pid"
echo "group=$(grep -E '^(0::|[0-9]+:name=systemd:)' /proc/$pid/cgroup 2>/dev/null | tr '\n' ' ')"
echo "syntax=$(httpd -t 2>&1 | tail -1)"
"""


class Wrong(AssertionError):
    """A point does not hold; the message says what was seen."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A server at one moment, as rpm, systemd, the kernel and httpd itself have it."""

    installed: tuple[str, ...]
    configured: tuple[str, ...]
    running: str
    active: str
    main: str
    pid: str
    group: str
    syntax: str

    def faults(self, wanted: str = "") -> list[str]:
        """What is not as it has to be after every change, however it ended."""
        found = []
        if len(self.installed) != 1:
            found.append(f"installed: {self.installed}")
        if self.configured != self.installed:
            found.append(f"configured: {self.configured}, installed: {self.installed}")
        if (self.running.lower(),) != self.installed:
            found.append(f"running: {self.running or 'nothing'}, installed: {self.installed}")
        if wanted and wanted not in self.installed:
            found.append(f"installed: {self.installed}, not {wanted}")
        if self.active != "active":
            found.append(f"httpd.service is {self.active}")
        if not self.pid or self.main != self.pid:
            found.append(f"main process {self.main}, pid file {self.pid or 'none'}")
        if "httpd.service" not in self.group:
            found.append(f"httpd is in {self.group or 'no control group'}")
        if self.syntax != "Syntax OK":
            found.append(f"httpd -t: {self.syntax}")
        return found


def seen(machine: Machine) -> Seen:
    lines = machine.shell(_STATE, check=False).splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return Seen(
        tuple(sorted(values.get("installed", "").split())),
        tuple(values.get("configured", "").split()),
        running=values.get("running", "").strip(),
        active=values.get("active", "").strip(),
        main=values.get("main", "").strip(),
        pid=values.get("pid", "").strip(),
        group=values.get("group", "").strip(),
        syntax=values.get("syntax", "").strip(),
    )


def sound(machine: Machine, wanted: str = "", patience: float = 30.0) -> Seen:
    """The server is whole and its sites answer. A while is allowed in which the old httpd finishes
    its last requests. Raises Wrong."""
    end = time.monotonic() + patience
    while True:
        state = seen(machine)
        faults = state.faults(wanted)
        for address, host in SITES:
            code = machine.shell(
                f"curl -s -m 10 -o /dev/null -w '%{{http_code}}' -H 'Host: {host}' {address}",
                check=False,
            )
            if code != "200":
                faults.append(f"{host} answers {code}")
        if not faults:
            return state
        if time.monotonic() > end:
            raise Wrong("; ".join(faults))
        time.sleep(0.5)


# -- changes -----------------------------------------------------------------------------------


def changes(machine: Machine) -> list[str]:
    """Changes of this server, the oldest first."""
    said = machine.shell(f"ls -tr {SPOOL}/*/request.json 2>/dev/null", check=False)
    return [line.split("/")[-2] for line in said.splitlines()]


def outcome(machine: Machine, change: str) -> dict[str, Any] | None:
    """How a change ended; None while it has not."""
    line = machine.shell(f"tail -n 1 {SPOOL}/{change}/journal.jsonl", check=False)
    try:
        report = json.loads(line)
    except ValueError:
        return None
    return dict(report["data"]) if report.get("kind") == "outcome" else None


def ended(machine: Machine, change: str, limit: float = ENDED) -> dict[str, Any]:
    """Wait for the end of a change. Raises Wrong."""
    end = time.monotonic() + limit
    while (how := outcome(machine, change)) is None:
        if time.monotonic() > end:
            log = machine.shell(f"tail -n 5 {SPOOL}/{change}/log", check=False)
            raise Wrong(f"change {change} has not ended after {limit:.0f} s: {log}")
        time.sleep(0.3)
    return how


def step(machine: Machine, change: str) -> str:
    """The step that a change has begun last; empty before the first."""
    text = machine.shell(f"cat {SPOOL}/{change}/journal.jsonl 2>/dev/null", check=False)
    last = ""
    for line in text.splitlines():
        try:
            report = json.loads(line)
        except ValueError:
            continue
        if report["kind"] == "step" and report["data"]["status"] == "started":
            last = report["data"]["step"]
    return last


@contextmanager
def begun(machine: Machine, mpm: str) -> Iterator[str]:
    """A change to ``mpm`` that is in the agent's hands; its name. Raises Wrong."""
    known = set(changes(machine))
    command = ["ea4-mpm", "mpm", "switch", mpm, "--yes", "--reason", "machine test"]
    with machine.background(command) as process:
        end = time.monotonic() + 90
        while not (new := [one for one in changes(machine) if one not in known]):
            if process.poll() not in (None, 0):
                raise Wrong(f"switch was refused: {process.communicate()[0][-600:]}")
            if time.monotonic() > end:
                raise Wrong("the change did not reach the agent within 90 s")
            time.sleep(0.05)
        yield new[0]


def in_step(machine: Machine, change: str, name: str, limit: float = 60.0) -> None:
    """Wait until a change is in this step. Raises Wrong when it has passed it, or never gets
    there."""
    end = time.monotonic() + limit
    while (now := step(machine, change)) != name:
        if outcome(machine, change) is not None or time.monotonic() > end:
            raise Wrong(f"the change was never seen in {name}, but in {now}")
        time.sleep(0.05)


def switch(machine: Machine, mpm: str) -> None:
    """A whole change with one command. Raises LabError when it does not succeed."""
    machine.run(
        ["ea4-mpm", "mpm", "switch", mpm, "--yes", "--reason", "machine test", "--wait"], limit=240
    )


def other(machine: Machine) -> str:
    """An MPM that the server does not run."""
    installed = seen(machine).installed
    return next(mpm for mpm in MPMS if mpm not in installed)


def whole(machine: Machine, change: str, wanted: str, before: str) -> str:
    """A change has ended by itself, and the server is what its outcome says: ``wanted`` or
    ``before``, never between. Returns how it ended; raises Wrong."""
    how = ended(machine, change)["outcome"]
    if how not in ("succeeded", "restored", "not_started", "canceled"):
        raise Wrong(f"the change ended as {how}")
    sound(machine, wanted if how == "succeeded" else before)
    return str(how)
