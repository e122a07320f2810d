"""Kills changes on a real server at random instants, and counts how they end.

    python -m tests.faults.torture --kills 500 [--plugs 100] [--seed 1]

A kill ends processes; a pulled plug also takes away what had not reached the disk
(``tests.faults.plug``). Prints a table (fault, times, ended as before, ended as asked, neither);
exit status 1 when anything ended as neither.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from easyapache.agent.change.folder import ChangeFolder
from easyapache.ea4.protocol import ChangeRequest
from lab.server import Lab
from tests.faults.field import Ending, Field, Table, other_mpm, touched
from tests.faults.plug import Disk, disk
from tests.faults.struck import struck_at
from tests.places import short_folder


def _engine(line: str) -> bool:
    return "easyapache.agent.change.engine" in line


def _dnf(line: str) -> bool:
    return "dnf" in line and "keeper.py" not in line and not _engine(line)


def _keeper(line: str) -> bool:
    return "keeper.py" in line or _dnf(line)


def _panel(line: str) -> bool:
    return _engine(line) or "keeper.py" in line


def _everything(_: str) -> bool:
    return True


VICTIMS: dict[str, Callable[[str], bool]] = {
    "the engine killed within dnf": _engine,
    "dnf killed": _dnf,
    "dnf and its keeper killed": _keeper,
    "engine and keeper killed, dnf left": _panel,
    "power cut within dnf": _everything,
}


def at_every_line(
    field: Field, when: str, request: ChangeRequest | None = None
) -> tuple[Ending, list[str]]:
    """One change whose engine is killed ``before`` or ``after`` every line of its journal, each
    kind of line once. Its ending, and at which lines the engine died."""
    before, sites = field.server.inspect(), field.server.sites()
    request = request or field.request(other_mpm(before))
    folder = field.folder(request)
    while folder.outcome is None:
        engine = field.start_engine(folder, strike=when)
        engine.wait()
        if engine.returncode != -signal.SIGKILL:
            break
        field.kills += 1
    field.finish(folder)
    ending = field.judge(f"killed {when} every line of the journal", request, before, sites)
    return ending, struck_at(folder.path)


def within_dnf(field: Field, fault: str) -> Ending:
    """One change whose processes are killed at a random instant of the transaction."""
    takes = field.time_of_dnf
    before, sites = field.server.inspect(), field.server.sites()
    request = field.request(other_mpm(before))
    folder = field.folder(request)
    engine = field.start_engine(folder)
    if random.random() < 0.5:
        instant = _delayed(random.uniform(0, takes), lambda: touched(folder))
    else:
        # rpm's own part of dnf's second is short and the one that matters: aim at it.
        instant = _delayed(
            random.uniform(0, 0.2), lambda: field.dnf_printed(folder, b"Running transaction\n")
        )
    if field.until(engine, instant):
        field.kill(VICTIMS[fault])
    if VICTIMS[fault] in (_everything, _engine, _panel):
        engine.wait()
    if VICTIMS[fault] is _everything:
        field.boot()
    field.finish(folder, engine if engine.poll() is None else None)
    return field.judge(fault, request, before, sites)


def at_any_time(field: Field, fault: str) -> Ending:
    """A power cut at a random instant of the whole change, once, twice or three times."""
    takes = field.time_of_a_change
    before, sites = field.server.inspect(), field.server.sites()
    request = field.request(other_mpm(before))
    folder = field.folder(request)
    for _ in range(random.randint(1, 3)):
        engine = field.start_engine(folder)
        if field.until(engine, _delayed(random.uniform(0, takes), lambda: True)):
            field.kill(_everything)
        engine.wait()
        field.boot()
        if folder.outcome is not None:
            break
    field.finish(folder)
    return field.judge(fault, request, before, sites)


PLUGS = ("plug pulled at any time", "plug pulled within dnf")


def plug_pulled(field: Field, pullable: Disk, fault: str) -> tuple[Ending, Field]:
    """One change on a server whose plug is pulled at a random instant, once, twice or three
    times. Its ending, and the field as it is after the last start."""
    takes, within = field.time_of_a_change, field.time_of_dnf
    before, sites = field.server.inspect(), field.server.sites()
    request = field.request(other_mpm(before))
    field.folder(request)
    pullable.settle()
    pulled = 0
    for _ in range(random.choice([1, 1, 2, 3])):
        folder = field.folder(request)
        engine = field.start_engine(folder)
        if fault == PLUGS[0]:
            instant = _delayed(random.uniform(0, takes), lambda: True)
        else:
            instant = _delayed(random.uniform(0, within), lambda f=folder: touched(f))  # type: ignore[misc]
        if not field.until(engine, instant):
            break
        pullable.pull_the_plug()
        pulled += 1
        engine.wait()
        pullable.power_on()
        field = Field(Lab.open(field.lab.folder))
        field.boot()
    field.finish(field.folder(request))
    field.kills = pulled
    said = f"{fault} (killed only)" if pullable.lacks else fault
    return field.judge(said, request, before, sites), field


def _delayed(seconds: float, condition: Callable[[], bool]) -> Callable[[], bool]:
    """True once ``condition`` has been true for ``seconds``."""
    since: list[float] = []

    def ready() -> bool:
        if not since and condition():
            since.append(time.monotonic())
        return bool(since) and time.monotonic() - since[0] >= seconds

    return ready


@contextmanager
def fresh_field(stock: str = "minimal") -> Iterator[Field]:
    with short_folder() as folder:
        lab = Lab.create(folder / "lab", stock).up()
        try:
            yield Field(lab)
        finally:
            lab.down()


def rounds(field: Field, kills: int, table: Table, report: Callable[[str], None]) -> None:
    """Change after change on one server until there have been so many kills."""
    faults = [*VICTIMS, "power cut at any time", "before", "after"]
    number = 0
    while table.kills < kills:
        fault = faults[number % len(faults)]
        number += 1
        if fault in VICTIMS:
            ending = within_dnf(field, fault)
        elif fault == "power cut at any time":
            ending = at_any_time(field, fault)
        else:
            ending, _ = at_every_line(field, fault)
        table.add(ending)
        report(f"{table.kills:>4} kills  {ending.fault}: {ending.end} ({ending.outcome})")
        if table.wrong:
            # The server is no longer what the next round would start from.
            return
        _forget(field)


def plugs(number: int, table: Table, report: Callable[[str], None]) -> None:
    """Change after change on one disk until its plug has been pulled so often."""
    with disk() as pullable:
        if pullable.lacks:
            report(f"no plug can be pulled here, only processes killed: {pullable.lacks}")
        lab = Lab.create(pullable.place / "lab", "minimal").up()
        field = Field(lab)
        pulled = turn = 0
        while pulled < number:
            ending, field = plug_pulled(field, pullable, PLUGS[turn % len(PLUGS)])
            turn += 1
            pulled += ending.kills
            table.add(ending)
            report(f"{pulled:>4} plugs  {ending.fault}: {ending.end} ({ending.outcome})")
            if table.wrong:
                _keep(field, report)
                break
            _forget(field)
        field.lab.down()


def _keep(field: Field, report: Callable[[str], None]) -> None:
    kept = Path(tempfile.mkdtemp(prefix="ea4-torture-"))
    shutil.copytree(field.spool.root, kept / "spool")
    report(f"its spool is kept for a look: {kept}")


def _forget(field: Field) -> None:
    """A change that has been judged needs no room any more."""
    for folder in field.spool.folders():
        if ChangeFolder(folder.path).outcome is not None:
            shutil.rmtree(folder.path)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.torture")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--plugs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.randrange(2**32)
    random.seed(seed)
    sys.stdout.write(f"seed {seed}\n")

    def report(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    table = Table()
    while table.kills < options.kills and not table.wrong:
        with fresh_field() as field:
            rounds(field, min(options.kills, table.kills + 100), table, report)
            if table.wrong:
                _keep(field, report)
    if options.plugs and not table.wrong:
        plugs(options.plugs, table, report)
    report(str(table))
    return 1 if table.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
