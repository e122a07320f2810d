"""The power fails at random instants of a change."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from lab.machine.boot import Machine
from lab.process import LabError
from tests.machine.server import (
    SPOOL,
    Wrong,
    begun,
    other,
    outcome,
    seen,
    sound,
    whole,
)
from tests.machine.trial import (
    Trial,
    point,
    until,
    within,
    write_line,
)

ONE = 600.0
"""Seconds one failure may take, from the change to its end."""
BETWEEN = (0.0, 9.0)
"""Seconds after the agent has taken a change, between which the power fails."""


@point(
    "power cuts at random instants of a change leave it done or undone, never between", limit=None
)
def cuts(trial: Trial) -> None:
    _power(trial, trial.machine, trial.cuts, Machine.cut, "power cut (all processes killed)")


@point(
    "pulled plugs at random instants of a change leave it done or undone, never between",
    limit=None,
)
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
        moment = trial.chance.uniform(*BETWEEN)
        begin = time.monotonic()
        try:
            with within(ONE):
                how = _once(machine, moment, fails)
        except (Wrong, LabError) as error:
            neither.append(f"after {moment:.1f} s: {error}")
            write_line(f"      {number + 1}: NEITHER {neither[-1]}")
            endings["neither"] += 1
            if machine.init is None or seen(machine).faults():
                break
            continue
        longest = max(longest, time.monotonic() - begin)
        endings[how] += 1
        write_line(f"      {number + 1} of {times}, after {moment:.1f} s: {how}")
    said = ", ".join(f"{count} {how}" for how, count in sorted(endings.items()))
    trial.figure(f"{what}, {sum(endings.values())} times", said)
    trial.figure(f"{what}, from a change to its end after the boot, longest", f"{longest:.0f} s")
    if neither:
        raise Wrong("; ".join(neither))


UNFINISHED = '"state": *"(queued|running|canceling)"'
"""Of a change, until the panel has heard from the server how it ended."""


def _once(machine: Machine, moment: float, fails: Callable[[Machine], None]) -> str:
    """One change whose power fails after ``moment`` seconds; how it ended after the boot."""
    before, wanted = sound(machine, patience=60).installed[0], other(machine)
    until(machine, "ea4-mpm manage pulse control --within 60", 120)
    until(machine, f"! ea4-mpm mpm history --limit 1 --json | grep -Eq '{UNFINISHED}'", 120)
    with begun(machine, wanted) as change:
        time.sleep(moment)
        fails(machine)
    machine.boot()
    if outcome(machine, change) is None and not _has_request(machine, change):
        sound(machine, before)
        return "not yet taken"
    return whole(machine, change, wanted, before)


def _has_request(machine: Machine, change: str) -> bool:
    return (
        machine.run(["test", "-s", f"{SPOOL}/{change}/request.json"], check=False).returncode == 0
    )
