"""Folders for servers and panels that live as long as a test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
ENOUGH = 4 << 30
"""Bytes of memory that must be free, and that a container must allow: a lab takes some ten
million, and a handful of them live at a time."""
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Where a container's limit stands, under /sys/fs/cgroup."""


def in_memory() -> Path | None:
    """A file system in memory, if this machine has one with room, from which programs may run.

    Tests make and remove servers of some two hundred files by the hundred, and a disk takes
    milliseconds for each folder.
    """
    try:
        there = os.statvfs(MEMORY)
    except OSError:
        return None
    if there.f_flag & os.ST_NOEXEC or not os.access(MEMORY, os.W_OK):
        return None
    # The file system's own figure is how large it may become, and not what is there for it.
    room = min(there.f_bavail * there.f_frsize, memory_left())
    return MEMORY if room >= ENOUGH else None


def memory_left() -> int:
    """Bytes that are available here, or that a container may have in all if that is less."""
    words = Path("/proc/meminfo").read_text().split()
    left = 1024 * int(words[words.index("MemAvailable:") + 1])
    for name in LIMITS:
        try:
            allowed = (Path("/sys/fs/cgroup") / name).read_text().strip()
        except OSError:
            continue
        left = min(left, int(allowed)) if allowed.isdigit() else left
    return left


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short path that every account may enter, gone afterwards. (pytest's own is
    closed to everybody else, and the path of a Unix socket is short.)"""
    folder = Path(tempfile.mkdtemp(prefix="ea4", dir=in_memory()))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
