"""What httpd makes of the directives that limit it.

As httpd 2.4's own start-up checks (server/mpm/*/*.c), in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from easyapache.ea4.mpm import MPM
from easyapache.ea4.schema import Schema
from easyapache.ea4.sentences import Sentence

CPANEL_MAX_REQUEST_WORKERS = 150
"""The defaults of WHM's Global Configuration, for every MPM."""

DEFAULTS: Mapping[MPM, Mapping[str, int]] = {
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
HARD = {
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
class Limits(Schema):
    """What httpd makes of the directives. ``requests`` = served at once at most;
    ``connections`` = open at once at most. ``corrections``: what httpd would write into its
    error log when it starts, each with its number."""

    requests: int
    processes: int
    threads_per_child: int
    server_limit: int
    connections: int
    corrections: tuple[str, ...] = ()


def limits_of(mpm: MPM, directives: Mapping[str, int]) -> Limits:
    """The effective limits of httpd for the configured values. As in httpd, no value is below 1."""
    values = {**DEFAULTS[mpm], **{k: v for k, v in directives.items() if k in DEFAULTS[mpm]}}
    if "MaxRequestWorkers" not in directives and "MaxClients" in directives:
        values["MaxRequestWorkers"] = directives["MaxClients"]  # its name before 2.4
    hard, codes, corrections = HARD[mpm], _CODES[mpm], []
    server_limit = min(max(values["ServerLimit"], 1), hard["ServerLimit"])
    workers = max(values["MaxRequestWorkers"], 1)
    if not mpm.threaded:
        if workers > server_limit:
            corrections.append(
                Sentence(
                    "{code}: MaxRequestWorkers {workers} exceeds ServerLimit {server_limit} and "
                    "is lowered to it.",
                    code=codes["lowered"],
                    workers=workers,
                    server_limit=server_limit,
                )
            )
            workers = server_limit
        return Limits(workers, workers, 1, server_limit, workers, tuple(corrections))
    thread_limit = min(max(values["ThreadLimit"], 1), hard["ThreadLimit"])
    threads = max(values["ThreadsPerChild"], 1)
    if threads > thread_limit:
        corrections.append(
            Sentence(
                "ThreadsPerChild {threads} exceeds ThreadLimit and is lowered to it.",
                threads=threads,
            )
        )
        threads = thread_limit
    if workers < threads:
        corrections.append(
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
        corrections.append(
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
        corrections.append(
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
    return Limits(
        requests, processes, threads, server_limit, requests * (factor + 1), tuple(corrections)
    )
