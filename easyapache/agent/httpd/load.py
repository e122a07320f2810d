"""What httpd costs in memory and how busy it is at this moment, read from /proc and mod_status.

Memory is proportional (PSS, /proc/<pid>/smaps_rollup): a page shared by ten children counts as
a tenth in each, so the sum over all of them is what httpd really takes. All sizes in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easyapache.agent.httpd.apache_config import ApacheConfig
from easyapache.agent.httpd.httpd import Httpd
from easyapache.agent.httpd.processes import PROC, children_of, command_of
from easyapache.ea4.directives import MPMS

DIRECTIVES = (
    "StartServers",
    "ServerLimit",
    "MaxRequestWorkers",
    "MaxClients",
    "ThreadsPerChild",
    "ThreadLimit",
    "AsyncRequestWorkerFactor",
    "MaxConnectionsPerChild",
)


def measure(httpd: Httpd, config: ApacheConfig) -> dict[str, Any]:
    """The load now, or an empty mapping when httpd does not run.

    ``memory_total``, ``other_bytes`` (used by all other processes), ``mpm``, ``process_bytes`` (one
    child without its worker threads' own share), ``thread_bytes`` (that share of one thread; 0 with
    prefork), ``processes``, ``threads``, ``busy`` and ``idle`` workers, ``connections`` open now (0
    if the MPM does not report them), and ``directives`` with the values in force by MPM: {"event":
    {"MaxRequestWorkers": 400}, …}.
    """
    parent = httpd.parent()
    if parent is None:
        return {}
    status = httpd.status()
    counted = {pid: thread_count(pid) for pid in children_of(parent.pid) if _serves(pid)}
    if max(counted.values(), default=0) > 1:
        # The daemon of mod_cgid is a fork of httpd too, with a single thread: no worker.
        counted = {pid: count for pid, count in counted.items() if count > 1}
    children, threads = list(counted), list(counted.values())
    sizes = [size for pid in children if (size := proportional_bytes(pid)) is not None]
    whole = (proportional_bytes(parent.pid) or 0) + sum(sizes)
    memory = memory_info()
    used = memory.get("MemTotal", 0) - memory.get("MemAvailable", 0)
    per_thread = max((thread_bytes(pid) for pid in children), default=0)
    workers = max(threads, default=1)
    average = sum(sizes) // len(sizes) if sizes else 0
    return {
        "memory_total": memory.get("MemTotal", 0),
        "other_bytes": max(0, used - whole),
        "mpm": status.mpm,
        "process_bytes": max(0, average - per_thread * workers) if workers > 1 else average,
        "thread_bytes": per_thread if workers > 1 else 0,
        "processes": len(children),
        "threads": sum(threads),
        "busy": status.count("BusyWorkers"),
        "idle": status.count("IdleWorkers"),
        "connections": status.count("ConnsTotal"),
        "directives": directives(config),
    }


def proportional_bytes(pid: int) -> int | None:
    """PSS of one process; None if it has ended or belongs to another user."""
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def thread_count(pid: int) -> int:
    """How many threads the process has; 0 when it ended."""
    try:
        return len(list((PROC / str(pid) / "task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def thread_bytes(pid: int) -> int:
    """Resident memory of one thread's stack, on average over the process; 0 with one thread.

    glibc maps each thread's stack as an anonymous region right above a guard page without rights,
    so those are the regions to count. A thread's share of the heap cannot be separated and counts
    for the process.
    """
    threads = thread_count(pid)
    if threads < 2:
        return 0
    try:
        text = (PROC / str(pid) / "smaps").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    total, guarded, stack = 0, False, False
    for line in text.splitlines():
        # A region starts with a line of its addresses; lines of its attributes start with a
        # capital.
        if not line[:1].isupper():
            _, rights, _, _, inode, *_ = line.split(None, 5)
            anonymous = inode == "0"
            stack = guarded and anonymous and rights == "rw-p"
            guarded = anonymous and rights == "---p"
        elif stack and line.startswith("Pss:"):
            total += int(line.split()[1]) * 1024
    return total // threads


def memory_info(path: Path = PROC / "meminfo") -> Mapping[str, int]:
    """/proc/meminfo in bytes."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in lines if len(fields) == 3}


def directives(config: ApacheConfig) -> dict[str, dict[str, int]]:
    """What would hold under each MPM: the server-wide values as httpd would read them with it.
    Later values win, as in httpd."""
    spelling = {name.lower(): name for name in DIRECTIVES}
    found: dict[str, dict[str, int]] = {}
    for mpm in MPMS:
        values = found[mpm] = {}
        for item in config.under(mpm).named(*DIRECTIVES):
            number = item.arguments[0] if item.arguments else ""
            if item.virtual_host is None and number.isdecimal() and len(number) < 10:
                values[spelling[item.name]] = int(number)
    return found


def _serves(pid: int) -> bool:
    """Without other programs that httpd starts, such as CGI programs and piped loggers."""
    command = command_of(pid)
    return "httpd" in command or "apache2" in command


def semaphores() -> dict[str, int]:
    """System V semaphores: {used, limit} of the sets of all users; nothing where the kernel has
    none. prefork has a set for each mutex (``Mutex sysvsem``), and one that was killed leaves its
    own behind."""
    try:
        sets = (PROC / "sysvipc/sem").read_text().splitlines()[1:]
        limits = (PROC / "sys/kernel/sem").read_text().split()
        return {"used": len(sets), "limit": int(limits[3])}
    except (OSError, ValueError, IndexError):
        return {}
