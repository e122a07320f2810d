"""The history's pages, filters and exports at a thousand changes and at a million."""

from __future__ import annotations

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.history_reader import SHORT
from bench.report import Section, Table, spread, whole
from demo.folder import PROJECT
from demo.panel import ELSEWHERE

NAME = "history"
TITLE = "Change history: a thousand changes and a million"

FEW = 1000
MANY = int(os.environ.get("BENCH_ROWS", "1000000"))
"""BENCH_ROWS: fewer, for a quick look. The results say how many there were."""
AIM = 1.5
PAGED = ("first page", "10 % deep", "50 % deep", "100 % deep")
EXPORTS = {"csv": "changes as CSV", "json": "changes as JSON"}
TIMES, PATIENCE = 41, 12.0
"""Each page is read this often at both sizes in turn, or for so many seconds."""


Readings = Mapping[str, list[float]]
"""Seconds by the name of a page."""
Listed = Mapping[str, int]
"""How many changes a page lists, by its name."""


class ReaderFailed(Exception):
    """A reader failed; the message is the end of its output."""


class History:
    """One database of its own, filled."""

    def __init__(self, folder: Path, rows: int) -> None:
        folder.mkdir()
        self.rows = rows
        self._path = folder / "history.sqlite3"
        clean = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        self._environment = {
            **clean,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "VAR_DIR": str(folder),
            "DATABASE_URL": f"sqlite:///{self._path}",
            "LOG_LEVEL": "WARNING",
        }
        _run(self._environment, str(PROJECT / "manage.py"), "prepare")
        filled = _run(self._environment, "-m", "bench.fill_history", "--rows", str(rows))
        self.filled: Mapping[str, float] = json.loads(filled)

    @property
    def bytes(self) -> int:
        return self._path.stat().st_size

    def export(self, kind: str) -> Mapping[str, float]:
        """The figures of bench.history_reader for an export in a new process."""
        figures: Mapping[str, float] = json.loads(
            _run(self._environment, "-m", "bench.history_reader", kind)
        )
        return figures

    def reader(self) -> Reader:
        return Reader(self._environment)


class Reader:
    """A process that reads pages of one history; ``rows``: the number of changes listed on each
    page, by name."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.history_reader", "pages"],
            cwd=PROJECT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.rows: dict[str, int] = self._next_line()

    def seconds(self, name: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return float(self._next_line())

    def _next_line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            ended = self._process.wait()
            raise ReaderFailed(f"a reading broke (status {ended}); what it said is above")
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def read_in_turns(one: Reader, other: Reader) -> tuple[Readings, Readings]:
    """Every page of both, the two sizes in turns so that what else the machine does meets both.
    The first times of each do not count: templates and plans of queries are made then."""
    small: dict[str, list[float]] = {}
    large: dict[str, list[float]] = {}
    for name in one.rows:
        one.seconds(name)
        other.seconds(name)
        small[name], large[name] = [], []
        end = time.monotonic() + PATIENCE
        while not small[name] or (len(small[name]) < TIMES and time.monotonic() < end):
            small[name].append(one.seconds(name))
            large[name].append(other.seconds(name))
    return small, large


def _run(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReaderFailed(f"{' '.join(arguments)}\n{done.stderr[-3000:]}")
    return done.stdout


def measure(report: Callable[[str], None]) -> Section:
    with tempfile.TemporaryDirectory(prefix="ea4b") as folder:
        few = History(Path(folder) / "few", FEW)
        many = History(Path(folder) / "many", MANY)
        report(f"history: {MANY} changes written in {many.filled['seconds']:.0f} s")
        with closing(few.reader()) as one, closing(many.reader()) as other:
            small, large = read_in_turns(one, other)
            listed = (one.rows, other.rows)
        report("history: pages read")
        exports = {}
        for kind, title in EXPORTS.items():
            exports[kind] = (few.export(kind), many.export(kind))
            report(f"history: {title}: {exports[kind][1]['seconds']:.0f} s")
        size = many.bytes
    return section(small, large, listed, exports, many.filled, size)


def section(
    small: Readings,
    large: Readings,
    listed: tuple[Listed, Listed],
    exports: Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]],
    filled: Mapping[str, float],
    size: int,
) -> Section:
    """The measurements as tables; ``small`` and ``large`` are of FEW and of MANY changes,
    ``listed`` has the number of rows on each of their pages."""
    ratios = ratios_of(small, large, listed)
    pages = Table(
        "Pages, in milliseconds. †: held against the first page of the short history, because the "
        "same page lists fewer changes there.",
        ("page", "listed", f"{whole(FEW)} changes", "listed", f"{whole(MANY)} changes", "ratio"),
        tuple(
            (
                name,
                str(listed[0][name]) if listed[1][name] else "–",
                spread(_milliseconds(small[name]), 1),
                str(listed[1][name]) if listed[1][name] else "–",
                spread(_milliseconds(large[name]), 1),
                f"{times:.2f} ×{'' if same else ' †'}",
            )
            for name, (times, same) in ratios.items()
        ),
    )
    files = Table(
        f"Whole files at {whole(MANY)} changes. Growth is by how much the process grew meanwhile.",
        ("what", "lines", "seconds", "lines a second", "MB", "growth, MB", f"at {whole(FEW)}, MB"),
        tuple(
            (
                EXPORTS[kind],
                whole(int(much["rows"])),
                f"{much['seconds']:.1f}",
                whole(round(much["rows"] / much["seconds"])),
                f"{much['bytes'] / 1e6:.0f}",
                f"{much['grown'] / 1e6:.1f}",
                f"{little['grown'] / 1e6:.1f}",
            )
            for kind, (little, much) in exports.items()
        ),
    )
    return Section(findings(ratios, exports), (pages, files), method(filled, size))


def ratios_of(
    small: Readings, large: Readings, listed: tuple[Listed, Listed]
) -> dict[str, tuple[float, bool]]:
    """By page: how many times as long as at FEW it takes at MANY, and whether it is held against
    the same page. Where that lists fewer changes, it is the first page of the short history: a list
    of fifty takes longer to write than one of ten, however it was found."""
    found = {}
    for name, readings in large.items():
        same = listed[0][name] >= listed[1][name]
        base = statistics.median(small[name])
        if not same:
            base = max(base, statistics.median(small["first page"]))
        found[name] = (statistics.median(readings) / base, same)
    return found


def findings(
    ratios: Mapping[str, tuple[float, bool]],
    exports: Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]],
) -> tuple[str, ...]:
    def worst(names: Iterable[str]) -> tuple[str, float]:
        name = max(names, key=lambda one: ratios[one][0])
        return name, ratios[name][0]

    slow = [name for name, (times, _) in ratios.items() if times > AIM]
    deep, times = worst(PAGED)
    reached = "Reached." if times <= AIM else "**Missed.**"
    depth = (
        f"{reached} A page at {whole(MANY)} changes takes at most {times:.2f} times as long as at "
        f"{whole(FEW)}, at any depth (slowest: {deep}; aim: {AIM} times)."
    )
    found = [depth]
    name, times = worst(name for name in ratios if name not in (*PAGED, SHORT))
    reached = "Reached." if times <= AIM else "**Missed.**"
    found.append(
        f"{reached} With a filter it takes at most {times:.2f} times as long (slowest: {name})."
    )
    if SHORT in slow:
        found.append(
            "Words of one or two letters are not in the index: where no change has them, every one "
            f"is read ({ratios[SHORT][0]:.0f} times as long)."
        )
    grown = max(much["grown"] for _, much in exports.values()) / 1e6
    found.append(f"No export grew its process by more than {grown:.0f} MB.")
    if others := [name for name in slow if name != SHORT]:
        found.append(f"Slower than {AIM} times: {', '.join(others)}.")
    return tuple(found)


def _milliseconds(seconds: list[float]) -> list[float]:
    return [1000 * value for value in seconds]


def method(filled: Mapping[str, float], size: int) -> tuple[str, ...]:
    wrote = (
        f"`python -m bench.fill_history` wrote {whole(int(filled['changes']))} changes with "
        f"{whole(int(filled['events']))} sealed events into an empty SQLite database in "
        f"{filled['seconds']:.0f} s ({size / 1e9:.1f} GB): 200 servers, 40 people, two years. Its "
        "plans are a tenth as long as real ones. The short history is of 10 servers and 10 people, "
        "so that each of them fills a page there too."
    )
    read = (
        "Pages are the panel's own, through every middleware and with their templates, asked "
        f"inside one process per size: {TIMES} times each, in turns, after one that does not "
        "count; fewer where they are slow. `rows` is the list alone, as REST and the command line "
        "read it."
    )
    return wrote, read, "Each file was made in a process of its own."
