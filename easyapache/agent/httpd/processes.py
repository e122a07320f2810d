"""Facts about processes, from /proc: who is it, since when, is it still the same one."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from easyapache.ea4.schema import Schema
from easyapache.ea4.sentences import Sentence

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Identity(Schema):
    """One process, distinct from a later one with the same pid.

    ``started`` is the start time in clock ticks since ``boot`` (the kernel's boot id).
    """

    pid: int
    started: int
    boot: str

    @property
    def alive(self) -> bool:
        """False if it has ended (a zombie has), or if the pid belongs to another process now."""
        return identify(self.pid) == self


def boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on; None if the process has ended.

    The command in parentheses may itself hold blanks and parentheses, so the fields are
    counted from the last closing one.
    """
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def identify(pid: int) -> Identity | None:
    """The process that has this pid now; None when there is none or only its zombie."""
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return Identity(pid, int(fields[19]), boot_id())


def parent_of(pid: int) -> int:
    """The parent's pid; 0 if the process has ended."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def age_of(pid: int) -> float:
    """Seconds since the process started; 0 if it has ended."""
    fields = _stat(pid)
    if fields is None:
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / _TICKS)


def arguments_of(pid: int) -> list[str]:
    """The argv of a process; empty if it has ended."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return raw.rstrip(b"\0").decode(errors="replace").split("\0")


def command_of(pid: int) -> str:
    """The command line, at most 200 characters; empty if the process has ended."""
    return " ".join(arguments_of(pid))[:200]


def described(pid: int) -> Sentence:
    """``process 4711 (dnf -y upgrade), running for 12 s`` for messages."""
    seconds = int(age_of(pid))
    if seconds < 120:
        since = f"{seconds} s"
    elif seconds < 7200:
        since = f"{seconds // 60} min"
    else:
        since = f"{seconds // 3600} h"
    return Sentence(
        "process {pid} ({command}), running for {since}",
        pid=pid,
        command=command_of(pid) or Sentence("already gone"),
        since=since,
    )


def all_pids() -> list[int]:
    return [int(path.name) for path in PROC.iterdir() if path.name.isdigit()]


def children_of(parent: int) -> list[int]:
    """Pids of the living children of one process."""
    try:
        # One small file where the kernel has it (CONFIG_PROC_CHILDREN, as EL's do).
        text = (PROC / str(parent) / "task" / str(parent) / "children").read_text()
        candidates = [int(pid) for pid in text.split()]
    except (FileNotFoundError, ProcessLookupError):
        candidates = all_pids()
    found = []
    for pid in candidates:
        fields = _stat(pid)
        if fields and int(fields[1]) == parent and fields[0] not in "ZX":
            found.append(pid)
    return found


def maps_of(pid: int) -> str:
    """Files the process has mapped: the modules it runs with, deleted or not. Empty if the process
    has ended or belongs to another user."""
    try:
        return (PROC / str(pid) / "maps").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def systemd_is_init() -> bool:
    """The same question sd_booted(3) answers."""
    return Path("/run/systemd/system").is_dir()
