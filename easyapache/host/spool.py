"""The agent's memory: one folder per change, enough to finish or undo it with nothing else.

In ``<spool>/<change>/``:

* ``request.json``: the ChangeRequest, there from the first instant (the folder is made
  aside and renamed into place);
* ``journal.jsonl``: one Report per line, on disk before the engine goes on;
* ``log``: what a person follows, every line with its time and step in front;
* ``before.json``: what the server showed before anything was touched;
* ``output/``: what dnf and the others wrote, byte for byte;
* ``kit/``: the rollback kit;
* ``cancel``: there when somebody asked to stop;
* ``lock``: held by the one engine that works on this change; ``starts``: one line per engine;
* ``reserve``: room kept for the last lines of the journal on a full disk;
* ``delivered``: how far the panel has been told.

Everything belongs to the agent's user and is readable by nobody else.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from easyapache.host.protocol import CHANGE_ID, BadMessage, ChangeRequest, Report

RESERVE_BYTES = 64 * 1024
"""Room for some hundred journal lines: far more than any change still has to write when the
disk is full, far less than anybody misses."""

LOG_CHUNK = 64 * 1024
LOOKS_TAKE = 0.5
"""Seconds an engine tries for its lock: whoever looks whether one is at work holds it for an
instant, and that must not send an engine home."""


class Busy(Exception):
    """Somebody else holds the lock."""


def now() -> datetime:
    """The clock of the host side: aware, UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as ``2026-03-03T21:04:11.802Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold an flock on ``path``. Raises Busy when it is taken and ``wait`` is false.

    The kernel lets go of it when the holder dies, however it dies. Python opens files
    close-on-exec, so a detached child never keeps it.
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
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ChangeFolder:
    """The folder of one change. Reading needs no lock; writing the journal and the log does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.change = path.name
        self._writing = threading.Lock()
        self._reading = threading.RLock()
        self._reports: list[Report] = []
        self._read_to = 0

    def __repr__(self) -> str:
        return f"ChangeFolder({str(self.path)!r})"

    @property
    def kit(self) -> Path:
        return self.path / "kit"

    @property
    def output(self) -> Path:
        return self.path / "output"

    @property
    def log_path(self) -> Path:
        return self.path / "log"

    @property
    def journal_path(self) -> Path:
        return self.path / "journal.jsonl"

    def request(self) -> ChangeRequest:
        """Raises BadMessage when the request cannot be read."""
        return ChangeRequest.from_json(self.read_json("request.json"))

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of this folder, None when there is no such file."""
        try:
            return json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise BadMessage(f"{self.path / name}: {error}") from error

    def write_json(self, name: str, value: Any) -> None:
        data = json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
        self._despite_a_full_disk(lambda: write_atomically(self.path / name, data))

    # -- who works on it ------------------------------------------------------------------

    @contextmanager
    def engine_lock(self, patience: float = LOOKS_TAKE) -> Iterator[None]:
        """Be the one engine of this change. Raises Busy when there is one already."""
        end = time.monotonic() + patience
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(locked(self.path / "lock", wait=False))
                    break
                except Busy:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.02)
            self._mend()
            yield

    @property
    def engine_at_work(self) -> bool:
        try:
            with locked(self.path / "lock", wait=False):
                return False
        except Busy:
            return True

    def note_start(self, step: str) -> int:
        """Record that an engine starts here, with ``step`` as the last one in the journal.
        Returns how many in a row, this one included, have started at that step."""
        line = json.dumps({"at": stamp(now()), "pid": os.getpid(), "step": step}) + "\n"
        path = self.path / "starts"
        self._despite_a_full_disk(lambda: _append(path, line.encode(), durable=True))
        row = 0
        for text in reversed(path.read_text().splitlines()):
            if f'"step": "{step}"' not in text:
                break
            row += 1
        return row

    # -- the journal ----------------------------------------------------------------------

    def reports(self) -> list[Report]:
        """Every whole line of the journal, in order. A torn last line is not there yet.

        Safe to call from several threads: the one that answers a cancel reads while the one
        that works writes, and two readers that took the same line twice would lose their place.
        """
        with self._reading:
            return self._read()

    def _read(self) -> list[Report]:
        try:
            with self.journal_path.open("rb") as handle:
                if os.fstat(handle.fileno()).st_size < self._read_to:
                    self._reports, self._read_to = [], 0
                handle.seek(self._read_to)
                data = handle.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        for line in whole.splitlines():
            report = _report_of(line)
            if report is None or report.seq != len(self._reports) + 1:
                break
            self._reports.append(report)
        else:
            self._read_to += len(whole)
            return list(self._reports)
        # Only a torn write that later lines followed comes here; `_mend` repairs it under
        # the lock. Until then what is before it is what counts.
        reports, self._reports, self._read_to = list(self._reports), [], 0
        return reports

    def report(self, kind: str, data: Mapping[str, Any]) -> Report:
        """Append one line and see it on disk before returning. Only under ``engine_lock``.

        Nothing can follow an outcome: a second attempt raises RuntimeError.
        """
        with self._writing:
            reports = self.reports()
            if reports and reports[-1].kind == "outcome":
                raise RuntimeError(f"change {self.change} is over; nothing more can be reported")
            entry = Report(len(reports) + 1, stamp(now()), kind, data)
            line = json.dumps(entry.as_json(), separators=(",", ":")).encode() + b"\n"
            self._despite_a_full_disk(lambda: _append(self.journal_path, line, durable=True))
            return entry

    @property
    def outcome(self) -> Report | None:
        reports = self.reports()
        return reports[-1] if reports and reports[-1].kind == "outcome" else None

    def _mend(self) -> None:
        """Cut what a crash left behind the last whole line of journal and log."""
        if self.journal_path.exists():
            good, count = 0, 0
            data = self.journal_path.read_bytes()
            for line in data.splitlines(keepends=True):
                report = _report_of(line) if line.endswith(b"\n") else None
                if report is None or report.seq != count + 1:
                    break
                good, count = good + len(line), count + 1
            if good < len(data):
                os.truncate(self.journal_path, good)
        with self._reading:
            self._reports, self._read_to = [], 0
        if self.log_path.exists() and self.log_path.stat().st_size:
            with self.log_path.open("rb+") as handle:
                handle.seek(-1, os.SEEK_END)
                if handle.read(1) != b"\n":
                    # The log is delivered by offset: cutting could take back bytes somebody
                    # has read, a line end never does.
                    handle.write(b"\n")

    def _despite_a_full_disk(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            (self.path / "reserve").unlink(missing_ok=True)
            write()

    # -- the log --------------------------------------------------------------------------

    def log(self, step: str, text: str) -> None:
        """Write what may be several lines for the reader. On a full disk they are lost: the
        journal is what counts, and it has its reserve."""
        moment = stamp(now())
        lines = "".join(f"{moment} {step}  {line}\n" for line in text.splitlines() or [""])
        with self._writing:
            try:
                _append(self.log_path, lines.encode(errors="replace"), durable=False)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise

    @property
    def log_size(self) -> int:
        try:
            return self.log_path.stat().st_size
        except FileNotFoundError:
            return 0

    def log_from(self, offset: int, limit: int = LOG_CHUNK) -> bytes:
        """At most ``limit`` bytes of the log from ``offset`` on."""
        try:
            with self.log_path.open("rb") as handle:
                handle.seek(offset)
                return handle.read(limit)
        except FileNotFoundError:
            return b""

    # -- stop, please ---------------------------------------------------------------------

    @property
    def cancel_requested(self) -> bool:
        return (self.path / "cancel").exists()

    def request_cancel(self) -> None:
        (self.path / "cancel").touch(mode=0o600)

    # -- what the panel knows -------------------------------------------------------------

    def delivered(self) -> tuple[int, int]:
        """(last report, bytes of the log) handed to the broker. (0, 0) where that is unknown:
        sending twice does no harm."""
        try:
            data = json.loads((self.path / "delivered").read_bytes())
            return int(data["report"]), int(data["byte"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0, 0

    def set_delivered(self, report: int, byte: int) -> None:
        """On a full disk this is left out: the reserve belongs to the journal, and what is not
        known as delivered is only sent once more."""
        data = json.dumps({"report": report, "byte": byte}).encode()
        try:
            _write_plainly(self.path / "delivered", data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise


class Spool:
    """All changes this server has been asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the folder, closed to everybody else, and sweep up half-made ones."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for path in self.root.glob(".new-*"):
            shutil.rmtree(path, ignore_errors=True)

    def folder(self, change: str) -> ChangeFolder | None:
        """The folder of a change, None when this spool has never heard of it."""
        if not CHANGE_ID.match(change):
            return None
        path = self.root / change
        return ChangeFolder(path) if path.is_dir() else None

    def folders(self) -> list[ChangeFolder]:
        """Every change here, the oldest first."""
        try:
            found = [
                path for path in self.root.iterdir() if CHANGE_ID.match(path.name) and path.is_dir()
            ]
        except FileNotFoundError:
            return []
        return [ChangeFolder(path) for path in sorted(found, key=_age_of)]

    def unfinished(self) -> list[ChangeFolder]:
        return [folder for folder in self.folders() if folder.outcome is None]

    def create(self, request: ChangeRequest) -> tuple[ChangeFolder, bool]:
        """The folder for ``request``, and whether this call made it.

        The same request five times makes one folder: whoever renames first has made it.
        """
        return self.create_raw(request.change, request.as_json())

    def create_raw(self, change: str, message: Any) -> tuple[ChangeFolder, bool]:
        if not CHANGE_ID.match(change):
            raise BadMessage("a change id has 32 hexadecimal digits")
        existing = self.folder(change)
        if existing:
            return existing, False
        self.prepare_once()
        scratch = self.root / f".new-{uuid.uuid4().hex}"
        scratch.mkdir(mode=0o700)
        try:
            for name in ("output", "kit"):
                (scratch / name).mkdir(mode=0o700)
            reserve = scratch / "reserve"
            reserve.touch(mode=0o600)
            with reserve.open("wb") as handle:
                handle.write(os.urandom(RESERVE_BYTES))
            write_atomically(scratch / "request.json", json.dumps(message, indent=1).encode())
            scratch.rename(self.root / change)
        except OSError as error:
            shutil.rmtree(scratch, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return ChangeFolder(self.root / change), False
            raise
        _sync_folder(self.root)
        return ChangeFolder(self.root / change), True

    def prepare_once(self) -> None:
        if not self.root.is_dir():
            self.prepare()

    @contextmanager
    def server_lock(self, *, wait: bool) -> Iterator[None]:
        """Be the only one who changes this server. Raises Busy when somebody else is."""
        self.prepare_once()
        with locked(self.root / ".server-lock", wait=wait):
            yield

    @property
    def settled(self) -> str:
        """The broken-off transaction that was last looked at and set right, in words."""
        try:
            return (self.root / ".settled").read_text()
        except FileNotFoundError:
            return ""

    def settle(self, unfinished: str) -> None:
        """Remember that the packages are sound although this transaction broke off."""
        write_atomically(self.root / ".settled", unfinished.encode())

    def prune(self, moment: datetime, *, keep_days: int = 30, keep_kits: int = 10) -> int:
        """Give back the room of changes long over. Returns how many were slimmed.

        Kits of the latest ``keep_kits`` changes stay whatever their age. Request and journal
        stay for ever in any case (some kilobytes): they are why a message that turns up once
        more cannot run a change a second time.
        """
        slimmed = 0
        over = [folder for folder in self.folders() if folder.outcome is not None]
        for folder in over[: max(0, len(over) - keep_kits)]:
            outcome = folder.outcome
            if outcome is None or _moment(outcome.at) > moment - timedelta(days=keep_days):
                continue
            if folder.delivered()[0] < outcome.seq or not folder.output.exists():
                continue
            for name in ("kit", "output"):
                shutil.rmtree(folder.path / name, ignore_errors=True)
            for name in ("log", "reserve", "before.json"):
                (folder.path / name).unlink(missing_ok=True)
            slimmed += 1
        return slimmed


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _age_of(path: Path) -> tuple[float, str]:
    try:
        return (path / "request.json").stat().st_mtime, path.name
    except FileNotFoundError:
        return 0.0, path.name


def _report_of(line: bytes) -> Report | None:
    try:
        return Report.from_json(json.loads(line))
    except (ValueError, BadMessage):
        return None


def _append(path: Path, data: bytes, *, durable: bool) -> None:
    """Append all of ``data`` or nothing: a short write on a full disk is taken back."""
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


def _write_plainly(path: Path, data: bytes) -> None:
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_bytes(data)
    scratch.replace(path)
