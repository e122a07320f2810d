"""Reads a server's package metadata: its rpm database, dnf's metadata, EasyApache 4's own files.

dnf's metadata takes most of a second, so it is read only after dnf has refreshed its repositories;
it never triggers a refresh.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from easyapache.agent.packages.dnf import PackageManager
from easyapache.agent.packages.rpm import RpmDatabase
from easyapache.agent.server import HostError
from easyapache.ea4.package_metadata import (
    METAINFO,
    PREFIXES,
    RECOMMENDATIONS,
    Description,
    Descriptions,
    Particulars,
)

_LARGEST_FILE = 64 * 1024
_MOST_FILES = 500
_TRY_AGAIN = 600.0
"""Seconds until dnf is run again after a failure."""


class Library:
    """Answers of one server, remembered as far as they cost something."""

    def __init__(self, root: Path, rpm: RpmDatabase, packages: PackageManager) -> None:
        self._root, self._rpm, self._packages = root, rpm, packages
        self._offered: Descriptions = {}
        self._cache: Path | None = None
        self._stamp: tuple[tuple[str, int], ...] = ()
        self._not_before = 0.0
        self._reading = threading.Lock()

    def particulars(self, names: Collection[str]) -> Particulars:
        """``names``: the packages whose offers are of interest. Raises HostError when the rpm
        database cannot be read; other unreadable parts are left out."""
        installed = self._rpm.descriptions()
        return Particulars(
            installed=installed,
            offered=self.offers(names),
            metainfo=_object_in(self._root / METAINFO) or {},
            recommendations=self._recommendations(installed),
            prefixes=self._prefixes(),
        )

    def offers(self, names: Collection[str]) -> Descriptions:
        if not self._reading.acquire(blocking=False):
            return self._offered  # the previous ones; don't wait for a dnf that hangs
        try:
            if self._is_current() or time.monotonic() < self._not_before:
                return self._offered
            self._offered, self._cache = self._packages.offers(names)
            self._stamp = _stamp(self._cache)
        except HostError:
            self._not_before = time.monotonic() + _TRY_AGAIN
        finally:
            self._reading.release()
        return self._offered

    def _is_current(self) -> bool:
        """Whether dnf has not refreshed its repositories since the last read."""
        return self._cache is not None and _stamp(self._cache) == self._stamp

    def _recommendations(self, installed: Mapping[str, Description]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for name in sorted(installed):
            folder = self._root / RECOMMENDATIONS / name
            documents = [_object_in(path) for path in _entries(folder) if path.suffix == ".json"]
            if any(documents):
                found[name] = [item for item in documents if item]
        return found

    def _prefixes(self) -> tuple[str, ...]:
        return tuple(path.name for path in _entries(self._root / PREFIXES))


def _entries(folder: Path) -> Iterator[Path]:
    """The entries of a folder by name, without hidden ones; none if it does not exist."""
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    yield from found[:_MOST_FILES]


def _object_in(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None: a broken file must not hide the others."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
        data = json.loads(raw) if len(raw) <= _LARGEST_FILE else None
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _stamp(cache: Path) -> tuple[tuple[str, int], ...]:
    """A value that changes whenever dnf has refreshed a repository."""
    try:
        return tuple(sorted((path.name, path.stat().st_mtime_ns) for path in cache.glob("*.solv")))
    except FileNotFoundError:  # dnf is replacing one at this moment
        return ()
