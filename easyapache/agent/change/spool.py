"""The agent's storage: one folder per change, enough by itself to finish or undo it.

In ``<spool>/<change>/``:

* ``request.json``: the ChangeRequest (the folder is prepared elsewhere and renamed into place);
* ``journal.jsonl``: one Report per line, on disk before the engine continues;
* ``log``: the log for people, each line with its time and step;
* ``before.json``: the state of the server before any change;
* ``output/``: output of dnf and other programs, byte for byte;
* ``kit/``: the rollback kit;
* ``window-N/``: the visitor impact of the N-th replacement of httpd;
* ``cancel``: exists when a cancel was requested;
* ``lock``: held by the engine of this change; ``starts``: one line per engine;
* ``reserve``: space for the last lines of the journal on a full disk;
* ``delivered``: how much of journal and log was handed to the broker.

Of changes that altered nothing, only the latest keep their folder. Of the others the number is kept
in ``<spool>/.refused``, so that a repeated message still cannot run the change.

Each repair has a folder in ``<spool>/repairs/`` (see ``repair_folder``).

Everything belongs to the agent's user; only that user can read it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from easyapache.agent.change.durable import RESERVE_BYTES, locked, sync_folder, write_atomically
from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.progress import progress_of
from easyapache.agent.repair.folder import RepairFolder
from easyapache.ea4.protocol import CHANGE_ID, ChangeRequest, Outcome
from easyapache.ea4.schema import BadMessage

MOST_WAITING = 8
"""Changes without an outcome. A panel requests one at a time, and repeats unknown ones."""
KEEP_REFUSED, KEEP_NUMBERS = 200, 20_000
"""Of changes that altered nothing: how many folders, and how many numbers (33 bytes), are kept."""


class Spool:
    """All changes requested for this server."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._taking = threading.Lock()

    def prepare(self) -> None:
        """Create the folder, private to this user, and remove incomplete ones.

        Raises PermissionError for a folder of another user: its contents, including the
        configuration, are run with the agent's rights.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = self.root.stat().st_uid
        if owner != os.geteuid():
            raise PermissionError(
                errno.EPERM,
                f"the spool belongs to user {owner}, not to the agent's user",
                str(self.root),
            )
        self.root.chmod(0o700)
        for path in self.root.glob(".new-*"):
            shutil.rmtree(path, ignore_errors=True)

    def folder(self, change: str) -> ChangeFolder | None:
        """The folder of a change; None if this spool does not have it."""
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
        """The folder for ``request``, and whether this call created it.

        Repeated requests share one folder: the first rename creates it.
        """
        return self.create_raw(request.change, request.as_json())

    def create_raw(self, change: str, message: Any) -> tuple[ChangeFolder, bool]:
        if not CHANGE_ID.match(change):
            raise BadMessage("a change id has 32 hexadecimal digits")
        existing = self.folder(change)
        if existing:
            return existing, False
        if change in self._refused():
            raise BadMessage("this change ended long ago and changed nothing")
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
        sync_folder(self.root)
        folder = ChangeFolder(self.root / change)
        if self._forestalled(change).exists():
            folder.request_cancel()
        return folder, True

    def take(self, change: str, message: Any) -> tuple[ChangeFolder, bool]:
        """Like ``create_raw``, with a limit. Raises BadMessage when too many changes wait."""
        with self._taking:
            if self.folder(change) is None and len(self.unfinished()) >= MOST_WAITING:
                raise BadMessage(f"{MOST_WAITING} changes are already waiting for this server")
            return self.create_raw(change, message)

    def forestall(self, change: str) -> ChangeFolder | None:
        """Record a cancel that arrived before its change: if the change arrives later, it ends as
        canceled. Returns its folder if it arrived in the meantime."""
        self.prepare_once()
        path = self._forestalled(change)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
        return self.folder(change)

    def _forestalled(self, change: str) -> Path:
        old = self.root / ".cancelled" / change
        return old if old.exists() else self.root / ".canceled" / change

    # -- repairs ----------------------------------------------------------------------------

    def repair(self, request: str) -> RepairFolder:
        """The folder of a repair, existing or not (see ``known``). Raises BadMessage if the number
        is invalid."""
        if not CHANGE_ID.match(request):
            raise BadMessage("a repair id has 32 hexadecimal digits")
        return RepairFolder(self.root / "repairs" / request)

    def repairs(self) -> list[RepairFolder]:
        """Every repair here, ordered by number, which is the order of the requests."""
        paths = sorted((self.root / "repairs").glob("*"))
        return [folder for folder in map(RepairFolder, paths) if folder.known]

    def prepare_once(self) -> None:
        if not self.root.is_dir():
            self.prepare()

    @contextmanager
    def server_lock(self, *, wait: bool) -> Iterator[None]:
        """Be the only process that changes this server. Raises Busy when another one does."""
        self.prepare_once()
        with locked(self.root / ".server-lock", wait=wait):
            yield

    @property
    def settled(self) -> str:
        """The broken-off transaction that was last looked at and set right, in words."""
        try:
            return (self.root / ".settled").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def settle(self, unfinished: str) -> None:
        """Remember that the packages are sound although this transaction broke off."""
        write_atomically(self.root / ".settled", unfinished.encode())

    def prune(self, moment: datetime, *, keep_days: int = 30, keep_kits: int = 10) -> int:
        """Free the space of old changes. Returns how many were reduced.

        Kits of the latest ``keep_kits`` changes are kept whatever their age. Request and journal
        (some kilobytes) are kept forever, so that a repeated message cannot run a change a second
        time.
        """
        slimmed = 0
        for path in (*self.root.glob(".canceled/*"), *self.root.glob(".cancelled/*")):
            if path.stat().st_mtime < (moment - timedelta(days=1)).timestamp():
                path.unlink(missing_ok=True)
        old = (moment - timedelta(days=keep_days)).timestamp()
        for repair in self.repairs():
            if repair.reported and (repair.path / "asked.json").stat().st_mtime < old:
                shutil.rmtree(repair.path, ignore_errors=True)
        slimmed += self._prune_untouched()
        over = [folder for folder in self.folders() if folder.outcome is not None]
        for folder in over[: max(0, len(over) - keep_kits)]:
            outcome = folder.outcome
            if outcome is None or _moment(outcome.at) > moment - timedelta(days=keep_days):
                continue
            if folder.delivered()[0] < outcome.seq or not folder.output.exists():
                continue
            _slim(folder, "kit", "output", "log", "reserve", "before.json")
            slimmed += 1
        return slimmed

    def _prune_untouched(self) -> int:
        """Changes that were refused or canceled before anything was altered have nothing to undo:
        they are reduced at once, and of old ones only the number is kept, so that the spool stays
        bounded. Returns how many were reduced."""
        reported = [one for one in self.folders() if _untouched_and_reported(one)]
        slimmed = 0
        for folder in reported:
            if folder.output.exists():
                _slim(folder, "kit", "output", "reserve", "rehearsal", "engines")
                slimmed += 1
        oldest = reported[: max(0, len(reported) - KEEP_REFUSED)]
        if oldest:
            numbers = [*self._refused(), *(folder.change for folder in oldest)]
            text = "".join(f"{change}\n" for change in numbers[-KEEP_NUMBERS:])
            write_atomically(self.root / ".refused", text.encode())
        for folder in oldest:
            shutil.rmtree(folder.path, ignore_errors=True)
        return slimmed

    def _refused(self) -> list[str]:
        """Numbers of changes that altered nothing and whose folder was removed."""
        try:
            return (self.root / ".refused").read_text(errors="replace").split()
        except FileNotFoundError:
            return []


_MAY_BE_UNTOUCHED = (Outcome.NOT_STARTED, Outcome.CANCELED, Outcome.FAILED, "cancelled")
"""Journals of earlier versions have *failed* for changes that altered nothing, and *cancelled*."""


def _untouched_and_reported(folder: ChangeFolder) -> bool:
    outcome = folder.outcome
    if outcome is None or outcome.data.get("outcome") not in _MAY_BE_UNTOUCHED:
        return False
    return not progress_of(folder.reports()).touched and folder.delivered()[0] >= outcome.seq


def _slim(folder: ChangeFolder, *names: str) -> None:
    for name in names:
        path = folder.path / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _age_of(path: Path) -> tuple[float, str]:
    try:
        return (path / "request.json").stat().st_mtime, path.name
    except FileNotFoundError:
        return 0.0, path.name
