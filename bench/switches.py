"""An MPM change by hand, by script, by Ansible and by this panel, while visitors keep coming."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.contenders import Contender, Field, ThisPanel
from bench.in_flight import DOWNLOADS, SCRIPTS, InFlight
from bench.load import OUTCOMES, Tally, visitors
from bench.report import Section, Table, ratio, spread, whole
from lab import apache
from lab.server import Lab

NAME = "switches"
TITLE = "Changing the MPM: by hand, by script, by Ansible, by this panel"

RATE = 1000.0
JOURNEY = ("prefork", "event", "worker", "prefork", "event", "worker", "prefork")
LEAD, AFTER, AT_LEAST = 1.0, 1.5, 6.0
"""Seconds of visitors before the switch, after it, and altogether."""
UNANSWERED = 5.0
"""Seconds a finished contender gets until its httpd answers."""


@dataclass(frozen=True, slots=True)
class Switch:
    """The duration and the visitor impact of one switch. ``left_down``: the contender has ended,
    and no httpd serves, or one with another MPM."""

    move: tuple[str, str]
    seconds: float
    met: Tally
    cut: int
    left_down: bool


def measure(report: Callable[[str], None]) -> Section:
    """Every contender makes the whole journey, in turns."""
    done: dict[str, list[Switch]] = defaultdict(list)
    with Field() as field:
        for before, after in pairwise(JOURNEY):
            for contender in field.contenders:
                switch = measure_one(contender, before, after)
                done[contender.title].append(switch)
                report(f"{contender.title.split(':')[0]}: {before} to {after}: {summary(switch)}")
        steps = steps_of(field.this_panel)
    return section(done, steps)


def summary(switch: Switch) -> str:
    down = ", and left the server without the MPM" if switch.left_down else ""
    met = ", ".join(f"{switch.met.counts[kind]} {kind}" for kind in OUTCOMES)
    return f"{switch.seconds:.2f} s, {met}, {switch.cut} cut, {switch.met.rate:.0f}/s{down}"


def measure_one(contender: Contender, before: str, after: str) -> Switch:
    """One switch with new visitors and open requests."""
    lab = contender.lab.up()
    with InFlight(lab) as under_way, visitors(lab.setup.ports.http, RATE) as load:
        began = time.monotonic()
        time.sleep(LEAD)
        started = time.monotonic()
        contender.switch(before, after)
        returned = time.monotonic()
        serves = _serves(lab, after, returned + UNANSWERED)
        ended = time.monotonic()
        time.sleep(max(AFTER, AT_LEAST - (ended - began)))
        cut = under_way.finish()
    seconds = (ended if serves else returned) - started
    return Switch((before, after), seconds, load.tally, cut, not serves)


def _serves(lab: Lab, mpm: str, until: float) -> bool:
    while True:
        if apache.read_status(lab.status_url).get("ServerMPM", "").lower() == mpm:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.01)


# -- the panel's own account ---------------------------------------------------------------------


def steps_of(panel: ThisPanel) -> Table:
    """How the panel's time is spent, from the journals of its changes."""
    lasted: dict[str, list[float]] = defaultdict(list)
    for change in panel.lasted:
        marks = [("request to first step", 0.0)]
        marks += [(step, at) for at, step, status in change["steps"] if status == "started"]
        marks.append(("", change["seconds"]))
        for (name, start), (_, end) in pairwise(marks):
            lasted[name].append(end - start)
    rows = tuple((name, spread(values)) for name, values in lasted.items())
    return Table("Where the panel's time goes.", ("step", "seconds"), rows)


# -- in words ------------------------------------------------------------------------------------


def section(done: dict[str, list[Switch]], steps: Table) -> Section:
    ours, base = done[ThisPanel.title], statistics.median(_seconds(next(iter(done.values()))))
    rows = tuple(_row(title, switches, base) for title, switches in done.items())
    header = (
        *("way", "wall time, s", "to raw", "connections", "failed"),
        *("longest outage, ms", "longest wait, ms", "in flight, cut", "left without it"),
    )
    table = Table(f"{len(ours)} switches each, prefork → event → worker → prefork.", header, rows)
    kinds = Table(
        "What the failed connections met, all switches together.",
        ("way", *OUTCOMES[1:], "rate reached, lowest"),
        tuple(
            (
                title,
                *(
                    whole(sum(switch.met.counts[kind] for switch in switches))
                    for kind in OUTCOMES[1:]
                ),
                f"{min(switch.met.rate for switch in switches):.0f} a second",
            )
            for title, switches in done.items()
        ),
    )
    return Section(findings(done), (table, moves_of(done), kinds, steps), METHOD)


def moves_of(done: dict[str, list[Switch]]) -> Table:
    """Wall times one by one: a hard stop takes much longer from a threaded MPM."""
    moves = list(dict.fromkeys(pairwise(JOURNEY)))
    rows = tuple(
        (title, *(", ".join(_wall(one) for one in switches if one.move == move) for move in moves))
        for title, switches in done.items()
    )
    header = ("way", *(f"{before} → {after}" for before, after in moves))
    return Table("Wall time of each switch, s (†: and then no httpd served).", header, rows)


def _wall(switch: Switch) -> str:
    return f"{switch.seconds:.2f}{'†' if switch.left_down else ''}"


def _row(title: str, switches: Sequence[Switch], base: float) -> tuple[str, ...]:
    seconds = _seconds(switches)
    begun = (SCRIPTS + DOWNLOADS) * len(switches)
    return (
        title,
        spread(seconds),
        ratio(statistics.median(seconds), base),
        whole(sum(switch.met.total for switch in switches)),
        whole(sum(switch.met.failed for switch in switches)),
        f"{1000 * max(switch.met.outage for switch in switches):.0f}",
        f"{1000 * max(switch.met.longest_wait for switch in switches):.0f}",
        f"{sum(switch.cut for switch in switches)} of {begun}",
        f"{sum(switch.left_down for switch in switches)} of {len(switches)}",
    )


def _seconds(switches: Sequence[Switch]) -> list[float]:
    return [switch.seconds for switch in switches]


def findings(done: dict[str, list[Switch]]) -> tuple[str, ...]:
    """The three aims, each with its result."""
    ours = done[ThisPanel.title]
    theirs = next(switches for title, switches in done.items() if title.startswith("Ansible"))
    total = sum(switch.met.total for switch in ours)
    failed = sum(switch.met.failed for switch in ours)
    cut, begun = sum(switch.cut for switch in ours), (SCRIPTS + DOWNLOADS) * len(ours)
    mine, other = statistics.median(_seconds(ours)), statistics.median(_seconds(theirs))
    refused = (
        f"{_aim(failed == 0 and total >= 30000)} This panel failed {whole(failed)} of "
        f"{whole(total)} new connections (aim: none of at least 30 000)."
    )
    unharmed = f"{_aim(cut == 0)} It cut {cut} of {begun} requests under way (aim: none)."
    quick = (
        f"{_aim(mine <= other)} It took {mine:.2f} s from the request to verified, Ansible "
        f"{other:.2f} s without verifying ({ratio(mine, other)}; aim: no more)."
    )
    at_once, theirs_at_once = (
        statistics.median(one.seconds for one in switches if one.move[0] == "prefork")
        for switches in (ours, theirs)
    )
    even = (
        "From prefork, which stops at once even with requests under way, it took "
        f"{at_once:.2f} s and Ansible {theirs_at_once:.2f} s "
        f"({ratio(at_once, theirs_at_once)}); much of the rest is Ansible's httpd stopping."
    )
    return refused, unharmed, quick, even


def _aim(reached: bool) -> str:
    return "Reached." if reached else "**Missed.**"


_METHOD = f"""\
Every way has its own copy of one fresh server in a folder: real packages, real dnf, real httpd.
They take turns, one switch each, so that whatever else the machine does meets all of them.

Visitors: {RATE:.0f} new connections a second from a process of its own, open loop, each one GET
with its whole answer, from {LEAD:.0f} s before the switch to at least {AFTER} s after it. A
connection has failed when it is refused, reset, cut short, answered with anything but 200, or not
answered within 15 s.

In flight: {SCRIPTS} CGI scripts and {DOWNLOADS} downloads of 40 MB, begun before the switch and
kept going until after it; whole means that the last byte came.

Wall time ends when the way says that it is done and httpd's own server-status names the new MPM.
For this panel it is from the call of the service that pages and APIs use to the row that says
succeeded: asked dnf, downloaded, rehearsed, changed, restarted, and compared packages,
configuration, running httpd and sites. The others compare nothing. Where a way left the server
without httpd, its time is until it said that it was done.

`httpd -k stop` from worker or event waits about ten seconds for a script that is under way before
it kills it, and answers nobody meanwhile: that is most of the wall time of raw and Ansible there.

Longest outage: the longest stretch in which every new connection failed. Longest wait: of a
connection that was answered, from its first packet to the last byte.

Left without it: the way had ended without an error, and {UNANSWERED:.0f} s later httpd did not
answer or ran another MPM. `httpd -k start` says nothing when the old one is still stopping, which
takes seconds with a script under way.
"""
METHOD = tuple(" ".join(part.split()) for part in _METHOD.split("\n\n"))
