"""Which process listens where; and access to a running server's listening sockets.

The second half is what makes a restart without a refused connection possible on an httpd that was
not prepared for it: Linux lets root (CAP_SYS_PTRACE) duplicate another process's descriptor with
pidfd_getfd (5.6), and SO_REUSEPORT may be set on a socket that already listens. After that a second
server can bind the same port beside the first.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from easyapache.agent.httpd.addresses import canonical, everywhere
from easyapache.agent.httpd.processes import PROC, all_pids, parent_of
from easyapache.ea4.sentences import Sentence

_LISTEN = 10  # TCP_LISTEN
_SOCK_DIAG, _BY_FAMILY, _REQUEST_DUMP, _ERROR, _DONE = 4, 20, 0x301, 2, 3
_CAP_SYS_PTRACE = 19
_SYS_PIDFD_GETFD = 438  # the same number on every architecture


@dataclass(frozen=True, slots=True)
class Listening:
    """One listening TCP socket: address (empty for all), port and the kernel's inode."""

    address: str
    port: int
    inode: int


def listening() -> list[Listening]:
    """All listening TCP sockets. The kernel lists these alone (sock_diag): on a busy server
    /proc/net/tcp has lines for ten thousand closing connections."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for message in _diagnosed(family):
            port, raw, inode = struct.unpack_from(">4xH2x16s", message) + struct.unpack_from(
                "=I", message, 68
            )
            size = 4 if family == socket.AF_INET else 16
            host = socket.inet_ntop(family, raw[:size])
            found.append(Listening("" if everywhere(host) else canonical(host), port, inode))
    return found


def _diagnosed(family: int) -> Iterator[bytes]:
    """The inet_diag_msg of every listening TCP socket of one address family. Its layout:
    linux/inet_diag.h; the inode is its last word."""
    wanted = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, 1 << _LISTEN)
    header = struct.pack("=LHHLL", 16 + len(wanted), _BY_FAMILY, _REQUEST_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG) as kernel:
        kernel.send(header + wanted)
        while True:
            data, place = kernel.recv(1 << 17), 0
            while place < len(data):
                length, kind = struct.unpack_from("=LH", data, place)
                if kind in (_DONE, _ERROR):
                    return
                yield data[place + 16 : place + length]
                place += (length + 3) & ~3


def socket_inodes(pid: int) -> dict[int, int]:
    """{inode: descriptor} of the sockets a process has open; empty if it has ended or belongs to
    another user."""
    found: dict[int, int] = {}
    folder = f"{PROC}/{pid}/fd"
    # Called for every process of the machine: Path objects would take most of the time.
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return found
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")  # noqa: PTH115
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if target.startswith("socket:["):
            found[int(target[8:-1])] = int(name)
    return found


def listening_of(pid: int) -> dict[int, Listening]:
    """{descriptor: socket} of the listening sockets one process holds."""
    mine = socket_inodes(pid)
    return {mine[item.inode]: item for item in listening() if item.inode in mine}


def holders(inodes: Iterable[int]) -> list[int]:
    """Processes that hold any of these sockets."""
    wanted = set(inodes)
    return [pid for pid in all_pids() if wanted & socket_inodes(pid).keys()] if wanted else []


def listening_parents(listeners: Sequence[tuple[str, int]]) -> list[int]:
    """The topmost processes that listen at one of these (address, port), the address empty for all.
    Children that inherited the socket from a parent that holds it too are left out, and so are
    processes with the same port at another address."""
    pids = holders(
        item.inode
        for item in listening()
        if any(item.port == port and _covers(item.address, host) for host, port in listeners)
    )
    return [pid for pid in pids if parent_of(pid) not in pids]


def _covers(listened: str, wanted: str) -> bool:
    if everywhere(listened) or everywhere(wanted):
        return True
    try:
        ip_address(wanted)
    except ValueError:
        return True  # a name: any address it resolves to
    return canonical(listened) == canonical(wanted)


def is_address(text: str) -> bool:
    """Whether it is an address and not a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class CannotReach(Exception):
    """The kernel or this process's rights do not allow access to another process. ``why`` has the
    reason."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@contextmanager
def borrowed(pid: int, descriptors: Iterable[int]) -> Iterator[list[socket.socket]]:
    """Duplicates of another process's sockets, closed again at the end. They must be closed before
    that process stops listening, or they would keep its queue alive. Raises CannotReach."""
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
    """Allow a second server beside the one whose parent is ``pid``; returns the number of sockets.
    Raises CannotReach."""
    descriptors = sorted(listening_of(pid))
    if not descriptors:
        raise CannotReach(Sentence("process {pid} has no listening socket", pid=pid))
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
        return error.why


def _pidfd_open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except AttributeError:
        raise CannotReach(
            Sentence("this Python was built for a kernel without pidfd_open")
        ) from None
    except OSError as error:
        raise CannotReach(f"pidfd_open({pid}): {error.strerror}") from error


def _pidfd_getfd(handle: int, descriptor: int) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    result = int(library.syscall(_SYS_PIDFD_GETFD, handle, descriptor, 0))
    if result >= 0:
        return result
    number = ctypes.get_errno()
    if number == errno.EPERM:
        raise CannotReach(_why_not_permitted((PROC / "self/status").read_text()))
    if number == errno.ENOSYS:
        raise CannotReach(
            Sentence(
                "kernel {release} has no pidfd_getfd (added in 5.6)",
                release=platform.release(),
            )
        )
    raise CannotReach(f"pidfd_getfd: {os.strerror(number)}")


def _why_not_permitted(status: str) -> Sentence:
    """What forbids pidfd_getfd to a process, by its /proc/PID/status."""
    pairs = (line.partition(":") for line in status.splitlines())
    values = {name: value.strip() for name, _, value in pairs}
    if not int(values.get("CapEff") or "0", 16) >> _CAP_SYS_PTRACE & 1:
        return Sentence("pidfd_getfd is not permitted (CAP_SYS_PTRACE is missing)")
    if values.get("Seccomp", "0") != "0":
        return Sentence("pidfd_getfd is not permitted (a system call filter forbids it)")
    return Sentence("pidfd_getfd is not permitted (the kernel or a security module forbids it)")
