"""Writes log lines to systemd's journal with fields, so that ``journalctl EA4_CHANGE=42`` finds
every line about one change.

The native protocol: one datagram of fields for each line, as https://systemd.io/JOURNAL_NATIVE_PROTOCOL
describes it. ``systemd-python`` needs libsystemd and a compiler. ``logging-journald`` sends every
attribute of a record, also the request that Django attaches to it, has one value for a field, and
waits for a journal that does not read.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path

SOCKET = "/run/systemd/journal/socket"
STREAM_VARIABLE = "JOURNAL_STREAM"
"""Device and inode of the journal's stream, in the environment of a service: systemd.exec(5)."""

CHANGE, REQUEST, SERVER, STEP = "EA4_CHANGE", "EA4_REQUEST", "EA4_SERVER", "EA4_STEP"
_NONE = ("", "-")
_PATIENCE = 1.0
"""Seconds a journal that does not read is waited for."""
_REST = 10.0
"""Seconds after a failure in which the journal is not tried again."""
_MEMFD = "ea4-mpm-journal"

current_changes: ContextVar[tuple[str, ...]] = ContextVar("changes", default=())
"""The number and the ID of the change that the work of this thread is about, as far as known."""


def started_by_systemd() -> bool:
    """Whether this process belongs to a service whose output is the journal's."""
    return bool(os.environ.get(STREAM_VARIABLE))


def is_stderr() -> bool:
    """Whether standard error goes to the journal: a line that is sent to it needs not be written
    there too."""
    device, _, inode = os.environ.get(STREAM_VARIABLE, "").partition(":")
    try:
        seen = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(seen.st_dev), str(seen.st_ino))


def unit() -> str:
    """The service this process runs in, without its ending; else the name of its program."""
    try:
        group = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        group = ""
    for line in group.splitlines():
        name = line.rpartition("/")[2]
        if name.endswith(".service"):
            return name.removesuffix(".service")
    return Path(sys.argv[0]).name or "ea4-mpm"


def encoded(fields: Iterable[tuple[str, str]]) -> bytes:
    """The datagram: ``NAME=value`` and, for a value of several lines, its length before it."""
    parts = []
    for name, value in fields:
        raw = value.encode("utf-8", "replace")
        if b"\n" in raw:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n")
        else:
            parts.append(name.encode() + b"=" + raw + b"\n")
    return b"".join(parts)


class Journal:
    """Sends lines, from any thread. A journal that is away or does not read costs a second at most,
    and never an exception."""

    def __init__(self, identifier: str = "", path: str = SOCKET) -> None:
        self.identifier, self.path = identifier or unit(), path
        self._not_before = 0.0

    def send(
        self,
        message: str,
        priority: int = 6,
        fields: Iterable[tuple[str, str]] = (),
    ) -> bool:
        """Send one line. ``priority`` as in syslog(3): 3 error, 4 warning, 6 information. A name
        may come several times; fields with no value are left out. Returns whether it was taken."""
        if time.monotonic() < self._not_before:
            return False
        own = [
            ("MESSAGE", message),
            ("PRIORITY", str(priority)),
            ("SYSLOG_IDENTIFIER", self.identifier),
        ]
        known = [(name, value) for name, value in fields if value not in _NONE]
        try:
            self._deliver(encoded([*own, *dict.fromkeys(known)]))
        except OSError:
            self._not_before = time.monotonic() + _REST
            return False
        return True

    def _deliver(self, datagram: bytes) -> None:
        # By its path each time: a journal that was started anew has another socket there.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_PATIENCE)
            try:
                channel.sendto(datagram, self.path)
            except OSError as error:
                if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                    raise
                _send_as_file(channel, datagram, self.path)


def _send_as_file(channel: socket.socket, datagram: bytes, path: str) -> None:
    """What is longer than a datagram is sent as a sealed file in memory."""
    handle = os.memfd_create(_MEMFD, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(datagram)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        fcntl.fcntl(handle, fcntl.F_ADD_SEALS, seals)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", handle))]
        channel.sendmsg([b""], rights, 0, path)
    finally:
        os.close(handle)


_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)


def priority_of(level: int) -> int:
    """The priority in syslog(3) of a level of ``logging``."""
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)


class JournalHandler(logging.Handler):
    """Sends each record with its logger and the IDs of the change and the request that it is about.
    One that the journal does not take is written to standard error."""

    def __init__(self, journal: Journal | None = None) -> None:
        super().__init__()
        self.journal = journal or Journal()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record)
            if not self.journal.send(message, priority_of(record.levelno), _fields(record)):
                sys.stderr.write(f"{message}\n")
        except Exception:  # noqa: BLE001 -- as logging's own handlers: a log line breaks nothing
            self.handleError(record)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, str]]:
    yield "LOGGER", record.name
    yield REQUEST, str(getattr(record, "request_id", ""))
    for change in (str(getattr(record, "change_id", "")), *current_changes.get()):
        yield CHANGE, change
    yield SERVER, str(getattr(record, "server", ""))


def take_over(names: Sequence[str], formatter: Callable[[], logging.Formatter]) -> bool:
    """Where standard error is the journal, these loggers write to it with fields instead of to
    standard error or output. Returns whether they do."""
    if not is_stderr():
        return False
    for name in names:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if isinstance(handler, logging.StreamHandler):
                logger.removeHandler(handler)
        handler = JournalHandler()
        handler.setFormatter(formatter())
        logger.addHandler(handler)
    return True


def changes_of(message: Mapping[str, object]) -> tuple[str, ...]:
    """The number and the ID in a message about a change, as far as it has them."""
    note = message.get("note")
    number = note.get("number") if isinstance(note, Mapping) else None
    found = (number, message.get("change"))
    return tuple(str(one)[:40] for one in found if isinstance(one, str | int) and one != "")
