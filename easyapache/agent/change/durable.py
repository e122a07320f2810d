"""Files that survive a crash: locks that the kernel releases, and all-or-nothing writes."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


class Busy(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold an flock on ``path``. Raises Busy when it is taken and ``wait`` is false.

    The kernel releases it when the holder dies, however it dies. Python opens files close-on-exec,
    so a detached child never keeps it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Busy(str(path)) from error
        yield
    finally:
        os.close(descriptor)


LOOKS_TAKE = 0.5
"""Seconds a worker tries for its lock. A check whether a worker is running holds the lock for an
instant, and must not make a worker give up."""


@contextmanager
def held(path: Path, patience: float = LOOKS_TAKE) -> Iterator[None]:
    """Hold a lock that others look at. Raises Busy when it is taken for longer than a look."""
    end = time.monotonic() + patience
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(path, wait=False))
                break
            except Busy:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        yield


def at_work(path: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        with locked(path, wait=False):
            return False
    except Busy:
        return True


RESERVE_BYTES = 64 * 1024
"""Space for some hundred journal lines: far more than a change still has to write on a full
disk."""


def despite_a_full_disk(reserve: Path, write: Callable[[], None]) -> None:
    """Write, giving up the file that keeps room for it where there is no other room."""
    try:
        write()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        reserve.unlink(missing_ok=True)
        write()


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: after a crash it holds the old content or the new one."""
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with scratch.open("wb") as handle:
            os.fchmod(handle.fileno(), 0o600)
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def append(path: Path, data: bytes, *, durable: bool) -> None:
    """Append all of ``data`` or nothing: a short write on a full disk is truncated again."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if durable:
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def write_plainly(path: Path, data: bytes) -> None:
    """Replace a small file without waiting for the disk: only for what may be lost in a power cut,
    and is read as missing when it is torn (how far reports were sent, and probes in progress)."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_bytes(data)
    scratch.replace(path)


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Sync to disk a file that another process has written."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """See every file below a folder on the disk, and the folders themselves."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            sync_file(path)
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(path)


def mark(path: Path) -> None:
    """Create an empty file that survives a power cut."""
    path.touch(mode=0o600)
    sync_file(path)
    sync_folder(path.parent)


def sync_disks(paths: Iterable[Path]) -> None:
    """Sync the file systems of these paths to disk: package managers don't. Paths that do not exist
    are skipped."""
    seen: set[int] = set()
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            device = os.fstat(descriptor).st_dev
            if device not in seen:
                seen.add(device)
                _syncfs(descriptor)
        finally:
            os.close(descriptor)


def _syncfs(descriptor: int) -> None:
    """syncfs(2), which Python does not have. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
