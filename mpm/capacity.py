"""What an MPM means in memory and simultaneous requests on one server.

Numbers come from the server (proportional set size of its httpd processes from /proc, the
scoreboard, the directives in force); where something cannot be measured because another MPM
runs, it is estimated and said to be. Memory is in bytes throughout.

The limits follow httpd 2.4's own start-up checks (server/mpm/*/*.c), in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from easyapache.sentences import Sentence, with_words
from mpm.catalog import MPM

MIB = 1024 * 1024
CPANEL_MAX_REQUEST_WORKERS = 150
ESTIMATED_THREAD = MIB // 2
"""A worker thread's own share where only prefork could be measured: stack and buffers in use."""
ESTIMATED_PROCESS = 12 * MIB
"""A child process where none could be measured."""
HEADROOM = 0.9
"""Of the memory httpd could have, so much is planned with: peaks of PHP and cron need the rest."""
SPARE = 2
"""A limit is called roomy when it is this many times the busiest moment seen."""

_DEFAULTS: Mapping[MPM, Mapping[str, int]] = {
    MPM.PREFORK: {"ServerLimit": 256, "MaxRequestWorkers": 256},
    MPM.WORKER: {
        "ServerLimit": 16,
        "MaxRequestWorkers": 400,
        "ThreadsPerChild": 25,
        "ThreadLimit": 64,
    },
    MPM.EVENT: {
        "ServerLimit": 16,
        "MaxRequestWorkers": 400,
        "ThreadsPerChild": 25,
        "ThreadLimit": 64,
        "AsyncRequestWorkerFactor": 2,
    },
}
_HARD = {
    MPM.PREFORK: {"ServerLimit": 200_000},
    MPM.WORKER: {"ServerLimit": 20_000, "ThreadLimit": 20_000},
    MPM.EVENT: {"ServerLimit": 20_000, "ThreadLimit": 100_000},
}
# The numbers under which httpd writes its corrections into the error log.
_CODES = {
    MPM.PREFORK: {"lowered": "AH00180"},
    MPM.WORKER: {"raised": "AH00314", "rounded": "AH00316", "lowered": "AH00318"},
    MPM.EVENT: {"raised": "AH00511", "rounded": "AH00513", "lowered": "AH00515"},
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on a server. Zero or None: could not be.

    ``process_bytes``: proportional memory of one child, with prefork all of it, with threads
    without its worker threads' own share; ``thread_bytes``: that share per thread.
    ``other_bytes``: memory everything but httpd uses. ``busiest``: the most requests seen at
    once. ``directives``: what is set, by name; one that is not set is left out. ``mpm``: which
    MPM was running when this was measured.
    """

    memory_total: int
    mpm: MPM | None = None
    process_bytes: int = 0
    thread_bytes: int = 0
    other_bytes: int = 0
    busiest: int = 0
    directives: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "memory_total": self.memory_total,
            "mpm": self.mpm.value if self.mpm else None,
            "process_bytes": self.process_bytes,
            "thread_bytes": self.thread_bytes,
            "other_bytes": self.other_bytes,
            "busiest": self.busiest,
            "directives": dict(self.directives),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measured:
        """Raises KeyError or ValueError for what is not a measurement."""
        return cls(
            memory_total=int(data["memory_total"]),
            mpm=MPM(data["mpm"]) if data.get("mpm") else None,
            process_bytes=int(data.get("process_bytes") or 0),
            thread_bytes=int(data.get("thread_bytes") or 0),
            other_bytes=int(data.get("other_bytes") or 0),
            busiest=int(data.get("busiest") or 0),
            directives={str(k): int(v) for k, v in (data.get("directives") or {}).items()},
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What httpd makes of the directives. ``requests`` = served at once at most;
    ``connections`` = open at once at most. ``corrections``: what httpd would write into its
    error log when it starts, each with its number."""

    requests: int
    processes: int
    threads_per_child: int
    server_limit: int
    connections: int
    corrections: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {
            "corrections": list(self.corrections)
        }


@dataclass(frozen=True, slots=True)
class Caution:
    """One thing to know about the capacity of a choice. ``code`` is stable."""

    code: str
    message: str

    def as_json(self) -> dict[str, Any]:
        return with_words({"code": self.code, "message": self.message}, "message")


@dataclass(frozen=True, slots=True)
class Capacity:
    """One MPM on one server.

    ``memory_at_peak``: httpd's memory when every worker is busy; ``memory_at_busiest``: at the
    busiest moment seen. ``available``: what httpd could have. ``requests_that_fit``: how many
    at once that memory would serve. ``directives``: values to copy, in the order they are
    written; ``snippet`` is the same as text. ``estimated``: not everything was measured.
    """

    mpm: MPM
    limits: Limits
    memory_at_peak: int
    memory_at_busiest: int
    available: int
    memory_total: int
    requests_that_fit: int
    estimated: bool
    warnings: tuple[Caution, ...]
    directives: tuple[tuple[str, int], ...]

    @property
    def fits(self) -> bool:
        return self.memory_at_peak <= self.available

    @property
    def snippet(self) -> str:
        lines = [f"    {name} {value}" for name, value in self.directives]
        return "\n".join([f"<IfModule mpm_{self.mpm.value}_module>", *lines, "</IfModule>", ""])

    def as_json(self) -> dict[str, Any]:
        return {
            "mpm": self.mpm.value,
            "limits": self.limits.as_json(),
            "memory_at_peak": self.memory_at_peak,
            "memory_at_busiest": self.memory_at_busiest,
            "memory_total": self.memory_total,
            "available": self.available,
            "requests_that_fit": self.requests_that_fit,
            "fits": self.fits,
            "estimated": self.estimated,
            "warnings": [item.as_json() for item in self.warnings],
            "directives": dict(self.directives),
            "snippet": self.snippet,
        }


def limits_of(mpm: MPM, directives: Mapping[str, int]) -> Limits:
    """The limits httpd works with, given what is set. As in httpd, no value is below 1."""
    values = {**_DEFAULTS[mpm], **{k: v for k, v in directives.items() if k in _DEFAULTS[mpm]}}
    if "MaxRequestWorkers" not in directives and "MaxClients" in directives:
        values["MaxRequestWorkers"] = directives["MaxClients"]  # its name before 2.4
    hard, codes, said = _HARD[mpm], _CODES[mpm], []
    server_limit = min(max(values["ServerLimit"], 1), hard["ServerLimit"])
    workers = max(values["MaxRequestWorkers"], 1)
    if not mpm.threaded:
        if workers > server_limit:
            said.append(
                Sentence(
                    "{code}: MaxRequestWorkers {workers} exceeds ServerLimit {server_limit} and "
                    "is lowered to it.",
                    code=codes["lowered"],
                    workers=workers,
                    server_limit=server_limit,
                )
            )
            workers = server_limit
        return Limits(workers, workers, 1, server_limit, workers, tuple(said))
    thread_limit = min(max(values["ThreadLimit"], 1), hard["ThreadLimit"])
    threads = max(values["ThreadsPerChild"], 1)
    if threads > thread_limit:
        said.append(
            Sentence(
                "ThreadsPerChild {threads} exceeds ThreadLimit and is lowered to it.",
                threads=threads,
            )
        )
        threads = thread_limit
    if workers < threads:
        said.append(
            Sentence(
                "{code}: MaxRequestWorkers {workers} is less than ThreadsPerChild {threads} "
                "and is raised to it.",
                code=codes["raised"],
                workers=workers,
                threads=threads,
            )
        )
        workers = threads
    processes = workers // threads
    if workers % threads:
        said.append(
            Sentence(
                "{code}: MaxRequestWorkers {workers} is not a multiple of ThreadsPerChild "
                "{threads} and is lowered to {result}.",
                code=codes["rounded"],
                workers=workers,
                threads=threads,
                result=processes * threads,
            )
        )
    if processes > server_limit:
        said.append(
            Sentence(
                "{code}: MaxRequestWorkers would need {processes} processes, ServerLimit "
                "allows {server_limit}; it is lowered to {result}.",
                code=codes["lowered"],
                processes=processes,
                server_limit=server_limit,
                result=server_limit * threads,
            )
        )
        processes = server_limit
    requests = processes * threads
    factor = max(values.get("AsyncRequestWorkerFactor", 0), 0)
    return Limits(requests, processes, threads, server_limit, requests * (factor + 1), tuple(said))


def capacity_of(mpm: MPM, measured: Measured) -> Capacity:
    """What ``mpm`` means on the server that was measured, with its directives as they are."""
    limits = limits_of(mpm, measured.directives)
    size = _Size.of(mpm, measured, limits.threads_per_child)
    available = int(max(measured.memory_total - measured.other_bytes, 0) * HEADROOM)
    return Capacity(
        mpm=mpm,
        limits=limits,
        memory_at_peak=size.memory(limits.requests),
        memory_at_busiest=size.memory(min(measured.busiest, limits.requests)),
        available=available,
        memory_total=measured.memory_total,
        requests_that_fit=size.requests_in(available),
        estimated=not measured.process_bytes or (mpm.threaded and not measured.thread_bytes),
        warnings=tuple(_warnings(mpm, measured, limits, available, size)),
        directives=_directives(mpm, measured, limits, size.requests_in(available)),
    )


def capacities(measured: Measured) -> tuple[Capacity, ...]:
    """All three, in the order of the chooser."""
    return tuple(capacity_of(mpm, measured) for mpm in MPM)


@dataclass(frozen=True, slots=True)
class _Size:
    """The memory of one process and how many requests it serves at once."""

    process: int
    requests: int

    @classmethod
    def of(cls, mpm: MPM, measured: Measured, threads: int) -> _Size:
        process = measured.process_bytes or ESTIMATED_PROCESS
        if mpm.threaded:
            thread = measured.thread_bytes or ESTIMATED_THREAD
            return cls(process + threads * thread, threads)
        whole = measured.mpm is None or not measured.mpm.threaded
        return cls(process if whole else process + measured.thread_bytes, 1)

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
    processes = max(min(-(-wanted // threads), fit // threads, _HARD[mpm]["ServerLimit"]), 1)
    if not mpm.threaded:
        return (("ServerLimit", processes), ("MaxRequestWorkers", processes))
    # event's finishing processes keep their slot until their last connection has gone; without
    # spare slots new ones cannot start (AH03490: scoreboard is full).
    slots = processes + max(2, processes // 4) if mpm is MPM.EVENT else processes
    values = [
        ("ServerLimit", min(slots, _HARD[mpm]["ServerLimit"])),
        ("ThreadsPerChild", threads),
        ("MaxRequestWorkers", processes * threads),
    ]
    if threads > _DEFAULTS[mpm]["ThreadLimit"]:
        values.insert(1, ("ThreadLimit", threads))
    return tuple(values)


def _warnings(
    mpm: MPM, measured: Measured, limits: Limits, available: int, size: _Size
) -> list[Caution]:
    found = []
    peak = size.memory(limits.requests)
    if peak > available:
        found.append(
            Caution(
                "does_not_fit",
                Sentence(
                    "With all {requests} workers busy, {mpm} needs {needed}; {available} are to be "
                    "had. That serves {fit} requests at once before the machine begins to swap.",
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
                    "MaxRequestWorkers stays {set_now}: {mpm} would serve {requests} requests at "
                    "once in {processes} processes, no more than prefork does now. Raise it to "
                    "gain from the change.",
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
                    "{busiest} requests were seen at once; {mpm} with these values serves "
                    "{requests}. Further visitors wait.",
                    busiest=measured.busiest,
                    mpm=mpm.value,
                    requests=limits.requests,
                ),
            )
        )
    return found + [Caution("limits_corrected", text) for text in limits.corrections]


def _mib(count: int) -> str:
    return f"{count / MIB:,.0f} MiB"
