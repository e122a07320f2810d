"""What an MPM means in memory and simultaneous requests on one server.

The figures are from the server (proportional set size of its httpd processes from /proc, the
scoreboard, the directives in force); those that can't be measured because another MPM runs are
estimated and marked. Memory is in bytes throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from easyapache.ea4.limits import CPANEL_MAX_REQUEST_WORKERS, DEFAULTS, HARD, Limits, limits_of
from easyapache.ea4.mpm import MPM
from easyapache.ea4.schema import Schema, Translatable
from easyapache.ea4.sentences import Sentence

MIB = 1024 * 1024
ESTIMATED_THREAD = MIB // 2
"""A worker thread's own share where only prefork could be measured: stack and buffers in use."""
ESTIMATED_PROCESS = 12 * MIB
"""A child process where none could be measured."""
HEADROOM = 0.9
"""Of the memory httpd could have, so much is planned with: peaks of PHP and cron need the rest."""
SPARE = 2
"""A limit is called roomy when it is this many times the busiest moment seen."""
RANGE = 2
"""What wasn't measured of the MPM itself may be so many times less or more."""


@dataclass(frozen=True, slots=True)
class Own(Schema):
    """What was measured of one MPM while it ran; the fields are those of ``Measured``."""

    process_bytes: int
    thread_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Measured(Schema):
    """The measurements of a server. Zero or None: not measured.

    ``process_bytes``: proportional memory of one child, with prefork all of it, with threads
    without its worker threads' own share; ``thread_bytes``: that share per thread.
    ``other_bytes``: memory everything but httpd uses. ``busiest``: the most requests seen at
    once. ``directives``: what is set, by name; one that is not set is left out. ``mpm``: which
    MPM was running when this was measured. ``own``: what was measured of each MPM, by its name,
    when it last ran; for an MPM that doesn't run now it counts more than what another one shows.
    """

    IF_ANY: ClassVar = frozenset({"own"})

    memory_total: int
    mpm: MPM | None = None
    process_bytes: int = 0
    thread_bytes: int = 0
    other_bytes: int = 0
    busiest: int = 0
    directives: Mapping[str, int] = field(default_factory=dict)
    own: Mapping[str, Own] = field(default_factory=dict)


class Source(StrEnum):
    """Where a number comes from: from this MPM at work, from another one, or from nowhere."""

    MEASURED = "measured"
    ELSEWHERE = "elsewhere"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class Share(Schema):
    """The memory of one process or of one thread, and where the number comes from."""

    bytes: int
    source: Source

    @property
    def measured(self) -> bool:
        return self.source is Source.MEASURED

    @property
    def low(self) -> int:
        return self.bytes if self.measured else self.bytes // RANGE

    @property
    def high(self) -> int:
        return self.bytes if self.measured else self.bytes * RANGE


class Verdict(StrEnum):
    """Whether an MPM with every worker busy keeps to the memory that httpd could have. Of an
    estimate it may be that nobody can tell."""

    FITS = "fits"
    MAY_NOT_FIT = "may_not_fit"
    DOES_NOT_FIT = "does_not_fit"


@dataclass(frozen=True, slots=True)
class Caution(Translatable):
    """One thing to know about the capacity of a choice. ``code`` is stable."""

    SENTENCES: ClassVar = ("message",)
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Capacity(Schema):
    """One MPM on one server.

    ``process`` and ``thread``: the memory of one child without its threads' own share, and that
    share of one thread; None with prefork. ``memory_at_peak``: httpd's memory when every worker
    is busy, and between ``peak_low`` and ``peak_high`` where that is an estimate;
    ``memory_at_busiest``: at the busiest moment seen. ``available``: what httpd could
    have. ``requests_that_fit``: how many at once that memory would serve. ``directives``:
    values to copy, in the order they are written; ``snippet`` is the same as text.
    """

    KEYS: ClassVar = (
        *("mpm", "limits", "process", "thread", "memory_at_peak", "peak_low", "peak_high"),
        *("memory_at_busiest", "memory_total", "available", "requests_that_fit", "fits"),
        *("verdict", "estimated", "warnings", "directives", "snippet"),
    )
    mpm: MPM
    limits: Limits
    process: Share
    thread: Share | None
    memory_at_peak: int
    peak_low: int
    peak_high: int
    memory_at_busiest: int
    available: int
    memory_total: int
    requests_that_fit: int
    warnings: tuple[Caution, ...]
    directives: Mapping[str, int]

    @property
    def estimated(self) -> bool:
        """Whether not everything was measured."""
        shares = (self.process, self.thread) if self.thread else (self.process,)
        return any(share.source is Source.ESTIMATED for share in shares)

    @property
    def measured(self) -> bool:
        """Whether everything was measured of this MPM itself."""
        return self.process.measured and (self.thread is None or self.thread.measured)

    @property
    def fits(self) -> bool:
        return self.memory_at_peak <= self.available

    @property
    def verdict(self) -> Verdict:
        return _verdict(self.peak_low, self.peak_high, self.available)

    @property
    def snippet(self) -> str:
        lines = [f"    {name} {value}" for name, value in self.directives.items()]
        return "\n".join([f"<IfModule mpm_{self.mpm.value}_module>", *lines, "</IfModule>", ""])


def capacity_of(mpm: MPM, measured: Measured) -> Capacity:
    """What ``mpm`` means on the server that was measured, with its directives as they are."""
    limits = limits_of(mpm, measured.directives)
    process, thread = _shares(mpm, measured)
    size = _Size.of(process, thread, limits.threads_per_child)
    low, high = _range(process, thread, limits)
    available = int(max(measured.memory_total - measured.other_bytes, 0) * HEADROOM)
    return Capacity(
        mpm=mpm,
        limits=limits,
        process=process,
        thread=thread,
        memory_at_peak=size.memory(limits.requests),
        peak_low=low,
        peak_high=high,
        memory_at_busiest=size.memory(min(measured.busiest, limits.requests)),
        available=available,
        memory_total=measured.memory_total,
        requests_that_fit=size.requests_in(available),
        warnings=tuple(_warnings(mpm, measured, limits, available, size, (low, high))),
        directives=dict(_directives(mpm, measured, limits, size.requests_in(available))),
    )


def _shares(mpm: MPM, measured: Measured) -> tuple[Share, Share | None]:
    """One process and, with threads, one thread. What is measured now counts more than what was
    measured when this MPM last ran, and that more than what another one shows. A process with
    threads that becomes one of prefork takes the share of one thread along."""
    runs = measured.mpm in (mpm, None)
    own = None if runs and measured.process_bytes else measured.own.get(mpm.value)
    seen = Source.MEASURED if runs or own else Source.ELSEWHERE
    now = own or Own(measured.process_bytes, measured.thread_bytes)

    def share(size: int, otherwise: int) -> Share:
        return Share(size, seen) if size else Share(otherwise, Source.ESTIMATED)

    process = share(now.process_bytes, ESTIMATED_PROCESS)
    if mpm.threaded:
        return process, share(now.thread_bytes, ESTIMATED_THREAD)
    was_threaded = own is None and measured.mpm is not None and measured.mpm.threaded
    along = now.thread_bytes if was_threaded else 0
    return Share(process.bytes + along, process.source), None


def _range(process: Share, thread: Share | None, limits: Limits) -> tuple[int, int]:
    """The least and the most memory with every worker busy, in bytes."""
    threads = limits.threads_per_child
    low = process.low + (threads * thread.low if thread else 0)
    high = process.high + (threads * thread.high if thread else 0)
    return limits.processes * low, limits.processes * high


def _verdict(low: int, high: int, available: int) -> Verdict:
    if low > available:
        return Verdict.DOES_NOT_FIT
    return Verdict.FITS if high <= available else Verdict.MAY_NOT_FIT


def capacities(measured: Measured) -> tuple[Capacity, ...]:
    """All three, in the order of the chooser."""
    return tuple(capacity_of(mpm, measured) for mpm in MPM)


@dataclass(frozen=True, slots=True)
class _Size:
    """The memory of one process and how many requests it serves at once."""

    process: int
    requests: int

    @classmethod
    def of(cls, process: Share, thread: Share | None, threads: int) -> _Size:
        if thread is None:
            return cls(process.bytes, 1)
        return cls(process.bytes + threads * thread.bytes, threads)

    def memory(self, requests: int) -> int:
        """httpd's memory with so many requests at once; a process has all its threads at once."""
        return -(-requests // self.requests) * self.process

    def requests_in(self, memory: int) -> int:
        return memory // self.process * self.requests


def _directives(
    mpm: MPM, measured: Measured, limits: Limits, fit: int
) -> tuple[tuple[str, int], ...]:
    """Values that fit the memory and leave room above the busiest moment seen: twice that
    moment, no less than what is set now, no more than memory allows, at least one process."""
    wanted = max(measured.busiest * SPARE, limits.requests)
    threads = limits.threads_per_child
    processes = max(min(-(-wanted // threads), fit // threads, HARD[mpm]["ServerLimit"]), 1)
    if not mpm.threaded:
        return (("ServerLimit", processes), ("MaxRequestWorkers", processes))
    # event's finishing processes keep their slot until their last connection has gone; without
    # spare slots new ones cannot start (AH03490: scoreboard is full).
    slots = processes + max(2, processes // 4) if mpm is MPM.EVENT else processes
    values = [
        ("ServerLimit", min(slots, HARD[mpm]["ServerLimit"])),
        ("ThreadsPerChild", threads),
        ("MaxRequestWorkers", processes * threads),
    ]
    if threads > DEFAULTS[mpm]["ThreadLimit"]:
        values.insert(1, ("ThreadLimit", threads))
    return tuple(values)


def _warnings(
    mpm: MPM,
    measured: Measured,
    limits: Limits,
    available: int,
    size: _Size,
    peaks: tuple[int, int],
) -> list[Caution]:
    found = []
    peak, verdict = size.memory(limits.requests), _verdict(*peaks, available)
    if verdict is Verdict.MAY_NOT_FIT:
        found.append(
            Caution(
                "may_not_fit",
                Sentence(
                    "With all {requests} workers busy, {mpm} needs an estimated {low} to {high}, "
                    "and {available} are available to Apache. Measured values replace the "
                    "estimate once {mpm} has run.",
                    requests=limits.requests,
                    mpm=mpm.value,
                    low=_mib(peaks[0]),
                    high=_mib(peaks[1]),
                    available=_mib(available),
                ),
            )
        )
    if verdict is Verdict.DOES_NOT_FIT:
        found.append(
            Caution(
                "does_not_fit",
                Sentence(
                    "With all {requests} workers busy, {mpm} needs {needed}, and {available} "
                    "are available to Apache. {fit} concurrent requests fit before the server"
                    " starts to swap.",
                    requests=limits.requests,
                    mpm=mpm.value,
                    needed=_mib(peak),
                    available=_mib(available),
                    fit=size.requests_in(available),
                ),
            )
        )
    was_forked = measured.mpm is not None and not measured.mpm.threaded
    set_now = measured.directives.get("MaxRequestWorkers", measured.directives.get("MaxClients"))
    if mpm.threaded and was_forked and set_now and set_now <= CPANEL_MAX_REQUEST_WORKERS:
        found.append(
            Caution(
                "limit_stays_150",
                Sentence(
                    "MaxRequestWorkers stays at {set_now}. {mpm} would serve {requests} "
                    "concurrent requests in {processes} processes, no more than prefork does "
                    "now. Raise it to benefit from the change.",
                    set_now=set_now,
                    mpm=mpm.value,
                    requests=limits.requests,
                    processes=limits.processes,
                ),
            )
        )
    if measured.busiest >= limits.requests:
        found.append(
            Caution(
                "limit_too_low",
                Sentence(
                    "The peak was {busiest} concurrent requests; with these values, {mpm} "
                    "serves {requests}. Other visitors wait.",
                    busiest=measured.busiest,
                    mpm=mpm.value,
                    requests=limits.requests,
                ),
            )
        )
    return found + [Caution("limits_corrected", text) for text in limits.corrections]


def _mib(count: int) -> str:
    return f"{count / MIB:.0f} MiB"
