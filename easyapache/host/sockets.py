"""Who listens where, from /proc; and reaching into a running server's listening sockets.

The second half is what makes a restart without a refused connection possible on an httpd
that was never prepared for it: Linux lets root (CAP_SYS_PTRACE) duplicate another process's
descriptor with pidfd_getfd (5.6), and SO_REUSEPORT may be set on a socket that already
listens. After that a second server can bind the same port beside the first.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from easyapache.host.processes import PROC, all_pids, parent_of

_LISTEN = "0A"
_ANY = ("0.0.0.0", "::")
_SYS_PIDFD_GETFD = 438  # one number on every architecture: it came after they were unified
MIGRATE_REQ = Path("/proc/sys/net/ipv4/tcp_migrate_req")
"""With 1 the kernel (5.14 and newer) hands the connections still waiting in a closing
listener's queue to another listener of its SO_REUSEPORT group instead of resetting them."""


@dataclass(frozen=True, slots=True)
class Listening:
    """One listening TCP socket: address (empty for all), port and the kernel's inode."""

    address: str
    port: int
    inode: int


def _address(text: str, v6: bool) -> tuple[str, int]:
    raw, _, port = text.partition(":")
    packed = bytes.fromhex(raw)
    words = [packed[i : i + 4][::-1] for i in range(0, len(packed), 4)]
    family = socket.AF_INET6 if v6 else socket.AF_INET
    host = socket.inet_ntop(family, b"".join(words))
    return ("" if host in _ANY else host.removeprefix("::ffff:"), int(port, 16))


def listening(pid: int | str = "self") -> list[Listening]:
    """All listening TCP sockets in the network namespace of a process."""
    found = []
    for name in ("tcp", "tcp6"):
        try:
            lines = (PROC / str(pid) / "net" / name).read_text().splitlines()[1:]
        except (FileNotFoundError, ProcessLookupError):
            continue  # no such process any more, or a kernel without IPv6
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN:
                address, port = _address(fields[1], name == "tcp6")
                found.append(Listening(address, port, int(fields[9])))
    return found


def socket_inodes(pid: int) -> dict[int, int]:
    """{inode: descriptor} of the sockets a process has open; empty when it is gone or
    belongs to somebody else."""
    found: dict[int, int] = {}
    folder = PROC / str(pid) / "fd"
    try:
        names = list(folder.iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return found
    for name in names:
        try:
            target = str(name.readlink())
        except (FileNotFoundError, ProcessLookupError):
            continue
        if target.startswith("socket:["):
            found[int(target[8:-1])] = int(name.name)
    return found


def listening_of(pid: int) -> dict[int, Listening]:
    """{descriptor: socket} of the listening sockets one process holds."""
    mine = socket_inodes(pid)
    return {mine[item.inode]: item for item in listening(pid) if item.inode in mine}


def holders(inodes: Iterable[int]) -> list[int]:
    """Processes that hold any of these sockets."""
    wanted = set(inodes)
    return [pid for pid in all_pids() if wanted & socket_inodes(pid).keys()] if wanted else []


def listening_parents(ports: Iterable[int]) -> list[int]:
    """The topmost processes that hold a listening socket on one of these ports. Children that
    inherited it from a parent that holds it too are left out."""
    wanted = set(ports)
    pids = holders(item.inode for item in listening() if item.port in wanted)
    return [pid for pid in pids if parent_of(pid) not in pids]


class CannotReach(Exception):
    """This kernel, or this process's rights, do not allow reaching into another one."""


@contextmanager
def borrowed(pid: int, descriptors: Iterable[int]) -> Iterator[list[socket.socket]]:
    """Duplicates of another process's sockets, closed again at the end. They must be closed
    before that process is told to stop listening, or they would keep its queue alive.
    Raises CannotReach."""
    sockets: list[socket.socket] = []
    handle = -1
    try:
        handle = _pidfd_open(pid)
        for descriptor in descriptors:
            duplicate = _pidfd_getfd(handle, descriptor)
            sockets.append(socket.socket(fileno=duplicate))
        yield sockets
    finally:
        for item in sockets:
            item.close()
        if handle >= 0:
            os.close(handle)


def share_ports(pid: int) -> int:
    """Allow a second server beside the one whose parent is ``pid``; how many sockets that
    were. Raises CannotReach."""
    descriptors = sorted(listening_of(pid))
    if not descriptors:
        raise CannotReach(f"process {pid} listens nowhere")
    with borrowed(pid, descriptors) as sockets:
        for item in sockets:
            item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return len(descriptors)


def can_reach(pid: int) -> str | None:
    """None when the sockets of ``pid`` can be reached; otherwise why not."""
    try:
        with borrowed(pid, sorted(listening_of(pid))[:1]):
            return None
    except CannotReach as error:
        return str(error)


def migrate_requests() -> int | None:
    """The kernel's setting; None where it does not have one."""
    try:
        return int(MIGRATE_REQ.read_text())
    except (FileNotFoundError, ValueError):
        return None


def set_migrate_requests(value: int) -> bool:
    """Whether it could be set: a container may see the setting and not be allowed to write."""
    try:
        MIGRATE_REQ.write_text(f"{value}\n")
    except OSError:
        return False
    return True


def _pidfd_open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except AttributeError:
        raise CannotReach("this Python was built for a kernel without pidfd_open") from None
    except OSError as error:
        raise CannotReach(f"pidfd_open of process {pid}: {error.strerror}") from error


def _pidfd_getfd(handle: int, descriptor: int) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    result = int(library.syscall(_SYS_PIDFD_GETFD, handle, descriptor, 0))
    if result >= 0:
        return result
    number = ctypes.get_errno()
    if number == errno.EPERM:
        raise CannotReach("pidfd_getfd is not permitted (CAP_SYS_PTRACE is missing)")
    if number == errno.ENOSYS:
        raise CannotReach(f"kernel {platform.release()} has no pidfd_getfd (it came with 5.6)")
    raise CannotReach(f"pidfd_getfd: {os.strerror(number)}")
