"""One change on disk: its request, its journal, its log, and which engine holds it.

``easyapache.agent.change.spool`` describes the files.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from easyapache.agent.change.durable import (
    LOOKS_TAKE,
    append,
    at_work,
    despite_a_full_disk,
    held,
    sync_file,
    write_atomically,
    write_plainly,
)
from easyapache.agent.server import SiteAnswer
from easyapache.ea4.profile import Profile
from easyapache.ea4.protocol import ChangeRequest, Report
from easyapache.ea4.schema import BadMessage, Count, Schema, loads

LOG_CHUNK = 64 * 1024
LONGEST_REPORT = 1_000_000
"""Bytes. A message of more than two megabytes is dropped by the panel, and reports are sent as
base64: a longer one would never arrive, and would block all after it."""
PROFILE = "profile"


def now() -> datetime:
    """The clock of the host side: aware, UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as ``2026-03-03T21:04:11.802Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cut_to_fit(data: Mapping[str, Any], most: int) -> dict[str, Any]:
    """``data`` in at most ``most`` bytes of JSON: long texts and lists are shortened, longest
    first, and say how much is missing. Field names are kept. A ``profile`` is left out whole,
    because half a profile would be wrong; the next scan delivers it."""
    if len(json.dumps(data)) > most and data.get(PROFILE) is not None:
        data = {**data, PROFILE: None}
    cut: dict[str, Any] = dict(data)
    longest = most
    while len(json.dumps(cut)) > most and longest > 16:
        longest //= 2
        cut = {name: _shortened(value, longest) for name, value in data.items()}
    return cut


def _shortened(value: Any, longest: int) -> Any:
    """``longest``: characters of a text, and of a list its items of 16 characters."""
    if isinstance(value, str):
        missing = len(value) - longest
        return f"{value[:longest]}… ({missing} more characters)" if missing > 40 else value
    if isinstance(value, Mapping):
        return {name: _shortened(item, longest) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(item, longest) for item in value[: max(1, longest // 16)]]
    return value


@dataclass(frozen=True, slots=True)
class Before(Schema):
    """What the server showed before anything was touched, in ``before.json``. ``from_kit``: the
    packages are those kept in a kit; ``outdated``: packages that had other files on the disk."""

    profile: Profile
    sites: tuple[SiteAnswer, ...]
    from_kit: bool = False
    outdated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivered(Schema):
    """What has been handed to the broker: the last report, bytes of the log."""

    report: Count
    byte: Count


class ChangeFolder:
    """The folder of one change. Reading needs no lock; writing the journal and the log does."""

    program = "easyapache.agent.change.engine"

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

    def before(self) -> Before | None:
        """None while nothing was looked at. Raises BadMessage when it cannot be read."""
        data = self.read_json("before.json")
        return None if data is None else Before.from_json(data)

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of this folder, None when there is no such file."""
        try:
            return json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise BadMessage(f"{self.path / name}: {error}") from error

    def write_json(self, name: str, value: Any) -> None:
        data = json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
        self._despite_a_full_disk(lambda: write_atomically(self.path / name, data))

    # -- who works on it ------------------------------------------------------------------

    @contextmanager
    def engine_lock(self, patience: float = LOOKS_TAKE) -> Iterator[None]:
        """Be the one engine of this change. Raises Busy when there is one already."""
        with held(self.path / "lock", patience):
            self._repair_journal()
            yield

    @property
    def engine_at_work(self) -> bool:
        return at_work(self.path / "lock")

    @property
    def key(self) -> str:
        return self.change

    @property
    def over(self) -> bool:
        return self.outcome is not None

    @property
    def progress(self) -> int:
        return len(self.reports())

    def note_start(self, step: str) -> int:
        """Record that an engine starts here, with ``step`` as the last one in the journal.
        Returns how many in a row, this one included, have started at that step."""
        line = json.dumps({"at": stamp(now()), "pid": os.getpid(), "step": step}) + "\n"
        path = self.path / "starts"
        self._despite_a_full_disk(lambda: append(path, line.encode(), durable=True))
        row = 0
        for text in reversed(path.read_text(errors="replace").splitlines()):
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
        # Only a torn write followed by later lines gets here; `_repair_journal` repairs it under
        # the lock. Until then, the lines before it count.
        reports, self._reports, self._read_to = list(self._reports), [], 0
        return reports

    def report(self, kind: str, data: Mapping[str, Any]) -> Report:
        """Append one line and see it on disk before returning. Only under ``engine_lock``.

        Nothing can follow an outcome: a second attempt raises RuntimeError.
        """
        with self._writing:
            reports = self.reports()
            if reports and reports[-1].kind == "outcome":
                raise RuntimeError(f"change {self.change} has ended and takes no more reports")
            entry = Report(len(reports) + 1, stamp(now()), kind, data)
            line = _line_of(entry)
            if len(line) > LONGEST_REPORT:
                entry = Report(entry.seq, entry.at, kind, cut_to_fit(data, LONGEST_REPORT - 1000))
                line = _line_of(entry)
            self._despite_a_full_disk(lambda: append(self.journal_path, line, durable=True))
            return entry

    @property
    def outcome(self) -> Report | None:
        reports = self.reports()
        return reports[-1] if reports and reports[-1].kind == "outcome" else None

    def _repair_journal(self) -> None:
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
        despite_a_full_disk(self.path / "reserve", write)

    # -- the log --------------------------------------------------------------------------

    def log(self, step: str, text: str) -> None:
        """Write what may be several lines for the reader. On a full disk they are lost: the
        journal is what counts, and it has its reserve."""
        moment = stamp(now())
        lines = "".join(f"{moment} {step}  {line}\n" for line in text.splitlines() or [""])
        with self._writing:
            try:
                append(self.log_path, lines.encode(errors="replace"), durable=False)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise

    @property
    def log_size(self) -> int:
        try:
            return self.log_path.stat().st_size
        except FileNotFoundError:
            return 0

    def keep_log(self) -> None:
        """Sync the log to disk: after a power cut, what was already delivered must not change."""
        if self.log_path.exists():
            sync_file(self.log_path)

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

    # -- delivery to the panel -------------------------------------------------------------

    def delivered(self) -> tuple[int, int]:
        """(last report, bytes of the log) handed to the broker. (0, 0) where that is unknown:
        sending twice does no harm."""
        try:
            delivered = loads(Delivered, (self.path / "delivered").read_bytes())
        except (FileNotFoundError, BadMessage):
            return 0, 0
        return delivered.report, delivered.byte

    def set_delivered(self, report: int, byte: int) -> None:
        """Skipped on a full disk: the reserve belongs to the journal, and reports not marked as
        delivered are only sent again."""
        data = json.dumps(Delivered(report, byte).as_json()).encode()
        try:
            write_plainly(self.path / "delivered", data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise


def _line_of(report: Report) -> bytes:
    return json.dumps(report.as_json(), separators=(",", ":")).encode() + b"\n"


def _report_of(line: bytes) -> Report | None:
    try:
        return loads(Report, line)
    except BadMessage:
        return None
