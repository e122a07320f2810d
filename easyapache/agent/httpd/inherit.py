"""Becomes a program in the surroundings of another process: ``python -I inherit.py SETTINGS``.

A second httpd is started outside of its service. systemd would have given it a control group, a
mount namespace (``PrivateTmp=``), limits, an environment and more: it copies them from the httpd
that systemd started. Standard library only.

SETTINGS is JSON: ``groups``, the cgroup.procs files to join; ``like``, the pid of the process to
copy (0: none) and ``started``, its start time in clock ticks; ``given``, what systemd would give it
if there is no process to copy; ``program``, the argv. A failed essential step ends it with status
1; the rest is reported on standard error and by the verification of the change.
"""

import ctypes
import json
import os
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

_NAMESPACES = ("uts", "ipc", "mnt")
_READ_BOUNDING_SET, _DROP_FROM_BOUNDING_SET, _NO_NEW_PRIVILEGES = 23, 24, 38  # prctl(2)


def join(groups: list[str]) -> None:
    """systemd finds a service's new main process through the pid file only in its own group."""
    for procs in groups:
        try:
            Path(procs).write_text(f"{os.getpid()}\n")
        except OSError as error:
            sys.exit(f"The control group of httpd cannot be joined: {procs}: {error.strerror}")


class Other:
    """All that is taken over, read at once while the other one lives. Raises FileNotFoundError or
    ProcessLookupError where it does not."""

    def __init__(self, pid: int, started: int) -> None:
        folder = Path(f"/proc/{pid}")
        lines = (folder / "status").read_text().splitlines()
        self.status = {name: value.strip() for name, _, value in (x.partition(":") for x in lines)}
        pairs = (item.partition(b"=") for item in (folder / "environ").read_bytes().split(b"\0"))
        self.environment = {name: value for name, equals, value in pairs if name and equals}
        self.limits = limits_of(pid)
        self.nice = os.getpriority(os.PRIO_PROCESS, pid)
        self.affinity = os.sched_getaffinity(pid)
        self.oom = (folder / "oom_score_adj").read_text()
        self.folder = (folder / "cwd").readlink()
        self.namespaces = {
            kind: os.open(folder / "ns" / kind, os.O_RDONLY | os.O_CLOEXEC)
            for kind in _NAMESPACES
            if (folder / "ns" / kind).readlink() != Path("/proc/self/ns", kind).readlink()
        }
        stat = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        if int(stat[19]) != started:
            raise ProcessLookupError


def limits_of(pid: int) -> dict[int, tuple[int, int]]:
    """Soft and hard limit of a process by its RLIMIT number. Read from /proc, not by prlimit(2),
    which needs CAP_SYS_RESOURCE for a process of another user: an httpd whose parent was killed has
    only children left, and containers often lack that capability. One line each, in that order."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    pairs = [line[25:].split()[:2] for line in lines]
    return {
        number: (_limit(soft), _limit(hard))
        for number, (soft, hard) in enumerate(pairs)
        if number in all_limits()
    }


def _limit(text: str) -> int:
    return resource.RLIM_INFINITY if text == "unlimited" else int(text)


def all_limits() -> set[int]:
    return {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}


def become_like(other: Other) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    score = Path("/proc/self/oom_score_adj")
    if score.read_text() != other.oom:
        attempt("OOM score adjustment", lambda: score.write_text(other.oom))
    if os.getpriority(os.PRIO_PROCESS, 0) != other.nice:
        attempt("niceness", lambda: os.setpriority(os.PRIO_PROCESS, 0, other.nice))
    if os.sched_getaffinity(0) != other.affinity:
        attempt("CPU affinity", lambda: os.sched_setaffinity(0, other.affinity))
    if "Umask" in other.status:
        os.umask(int(other.status["Umask"], 8))
    for kind, descriptor in other.namespaces.items():
        if library.setns(descriptor, 0):
            why = os.strerror(ctypes.get_errno())
            sys.exit(f"The {kind} namespace of httpd cannot be entered: {why}")
    attempt("working directory", lambda: os.chdir(other.folder))
    for number, pair in sorted(other.limits.items()):
        if resource.getrlimit(number) != pair:
            attempt(f"limit {number}", partial(resource.setrlimit, number, pair))
    # The bounding set last: it limits the program, and the steps before need more.
    bounding, number = int(other.status["CapBnd"], 16), 0
    while library.prctl(_READ_BOUNDING_SET, number, 0, 0, 0) >= 0:
        if not bounding >> number & 1:
            control(library, f"capability {number}", _DROP_FROM_BOUNDING_SET, number)
        number += 1
    if other.status.get("NoNewPrivs") == "1":
        control(library, "NoNewPrivileges", _NO_NEW_PRIVILEGES, 1)


def take(given: dict[str, Any]) -> None:
    """The limits, umask, niceness and OOM score adjustment of a unit."""
    score = Path("/proc/self/oom_score_adj")
    if "oom" in given:
        attempt("OOM score adjustment", lambda: score.write_text(str(given["oom"])))
    if "nice" in given:
        attempt("niceness", lambda: os.setpriority(os.PRIO_PROCESS, 0, given["nice"]))
    if "umask" in given:
        os.umask(int(given["umask"], 8))
    for number, (soft, hard) in given.get("limits", {}).items():
        attempt(f"limit {number}", partial(resource.setrlimit, int(number), (soft, hard)))


def attempt(what: str, act: Callable[[], object]) -> None:
    try:
        act()
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{what} cannot be taken over: {error}\n")


def control(library: ctypes.CDLL, what: str, option: int, argument: int) -> None:
    if library.prctl(option, argument, 0, 0, 0):
        sys.stderr.write(f"{what} cannot be taken over: {os.strerror(ctypes.get_errno())}\n")


def main(settings: dict[str, Any]) -> None:
    environment: dict[bytes, bytes] = dict(os.environb)
    join(settings["groups"])
    if settings["like"]:
        try:
            other = Other(settings["like"], settings["started"])
        except (FileNotFoundError, ProcessLookupError):
            sys.exit(f"httpd {settings['like']} has ended")
        environment = other.environment or environment
        become_like(other)
    else:
        take(settings.get("given", {}))
    program = settings["program"]
    try:
        os.execvpe(program[0], program, environment)  # noqa: S606 -- an argv, without a shell
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
