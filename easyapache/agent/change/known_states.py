"""Which packages this server had at earlier inspections: the states a rollback may restore."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection
from pathlib import Path

from easyapache.agent.change.durable import write_atomically
from easyapache.agent.change.spool import Spool
from easyapache.ea4.profile import Profile
from easyapache.ea4.schema import BadMessage, loads

log = logging.getLogger(__name__)

MOST = 60
"""So many different sets of packages are remembered; the oldest is forgotten first."""
_lock = threading.Lock()


class Remembered:
    """In ``<spool>/.seen.json``: the sets of names, the latest last."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.path: Path = spool.root / ".seen.json"

    def note(self, profile: Profile) -> None:
        """Record what is installed now. A full disk does not fail the inspection."""
        names = sorted(profile.names)
        with _lock:
            known = self._read()
            if known and known[-1] == names:
                return
            known = [*(item for item in known if item != names), names][-MOST:]
            try:
                write_atomically(self.path, json.dumps(known).encode())
            except OSError as error:
                log.warning("cannot save the list of installed packages: %s", error)

    def states_before(self, undone: str, now: Profile) -> list[Collection[str]]:
        """Every set of packages that a rollback of the change ``undone`` may restore: the one
        before it, the result of undoing it and all later ones, and those seen at external changes,
        whose numbers only the panel knows."""
        states: list[Collection[str]] = [set(names) for names in self._read()]
        folders = self.spool.folders()
        numbers = [folder.change for folder in folders]
        if undone not in numbers:
            return states
        installed: set[str] = set()
        removed: set[str] = set()
        for folder in folders[numbers.index(undone) :]:
            try:
                moves = folder.request().transaction
                before = folder.before()
            except BadMessage:
                continue
            if folder.outcome is None:
                continue
            if folder.change == undone and before is not None:
                states.append(before.profile.names)
            installed |= {package.name for package in moves.install}
            removed |= {package.name for package in moves.remove}
        states.append((now.names - installed) | removed)
        return states

    def _read(self) -> list[list[str]]:
        try:
            return loads(list[list[str]], self.path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            log.warning("cannot read an earlier list of packages: %s", error)
            return []
