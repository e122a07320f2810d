"""Folders for servers and panels that live as long as a test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
ENOUGH = 1 << 30
"""Bytes that must be free there; a lab takes some ten million."""


def in_memory() -> Path | None:
    """A file system in memory, if this machine has one with room, from which programs may run.

    Tests make and remove servers of some two hundred files by the hundred, and a disk takes
    milliseconds for each folder.
    """
    try:
        there = os.statvfs(MEMORY)
    except OSError:
        return None
    usable = there.f_bavail * there.f_frsize >= ENOUGH and not there.f_flag & os.ST_NOEXEC
    return MEMORY if usable and os.access(MEMORY, os.W_OK) else None


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
