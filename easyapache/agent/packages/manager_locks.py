"""Which process holds the locks of rpm and dnf, without taking one."""

from __future__ import annotations

import os
import re
import struct
from fcntl import F_GETLK, fcntl
from pathlib import Path

from easyapache.agent.httpd.processes import PROC, command_of, identify

MANAGERS = re.compile(
    r"\b(dnf|dnf-3|dnf5|yum|rpm|rpmdb|packagekitd|yum-cron|dnf-automatic|microdnf)\b"
)
_SOLVER = Path(__file__).with_name("dnf_resolve.py")


def rpm_locks(root: Path) -> list[Path]:
    paths = [root / "var/lib/rpm/.rpm.lock", root / "usr/lib/sysimage/rpm/.rpm.lock"]
    return [path for path in paths if path.exists()]


def dnf_locks(root: Path) -> list[Path]:
    found = [
        *(root / "var/lib/dnf").glob("*_lock.pid"),
        *(root / "var/cache/dnf").glob("*_lock.pid"),
    ]
    yum = root / "var/run/yum.pid"
    return sorted(found) + ([yum] if yum.exists() else [])


def manager_at_work(root: Path) -> int | None:
    """The package manager that holds one of the locks now. A lock file that names an unrelated
    process, which got the pid of a killed dnf, does not count."""
    holders_now = [lock_holder(path) for path in rpm_locks(root)]
    named = [pid for path in dnf_locks(root) if (pid := named_in(path)) and not only_resolves(pid)]
    alive = [pid for pid in named if identify(pid) and MANAGERS.search(command_of(pid))]
    return next((pid for pid in (*holders_now, *alive) if pid), None)


def lock_holder(path: Path) -> int | None:
    """The process that holds an fcntl lock on a file, without taking it."""
    try:
        with path.open("rb") as handle:
            # struct flock: type, whence, start, length, pid
            query = struct.pack("hhqqi4x", 1, 0, 0, 0, 0)
            answer = fcntl(handle, F_GETLK, query)
    except (FileNotFoundError, PermissionError):
        return None
    kind, _, _, _, pid = struct.unpack("hhqqi4x", answer)
    return None if kind == 2 else int(pid)


def only_resolves(pid: int) -> bool:
    """Whether the process is this agent's own solver run. While it reads the repositories' metadata
    it holds dnf's metadata lock, never rpm's: it changes nothing, and a preview must not block a
    change."""
    try:
        arguments = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return os.fsencode(_SOLVER) in arguments


def named_in(path: Path) -> int | None:
    """The process a lock file names; None when there is no file or no number in it."""
    try:
        return int(path.read_text().strip())
    except (FileNotFoundError, ValueError):
        return None
