"""A copy of the ServerRoot that a trial start may alter: nothing in it leads back to a file of
the configuration itself."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection
from pathlib import Path

from easyapache.agent.httpd.apache_files import BIGGEST


class Copier:
    """Copies ``source`` to ``target``, without ``omitted``, the names of entries at its top.

    Links within the ServerRoot lead to the copy's own files. What a link outside leads to is
    copied if it is a file, or a folder that the configuration is ``read`` from; other folders, and
    what isn't a plain file of a sensible size, are reached through a link.
    """

    def __init__(
        self, source: Path, target: Path, omitted: Collection[str], read: frozenset[Path]
    ) -> None:
        self.source, self.target, self.omitted = source, target, omitted
        self._root = source.resolve()
        self._kept_out = tuple((source / name).resolve() for name in omitted)
        self._read = {Path(os.path.abspath(path)) for path in read}  # noqa: PTH100 -- links stay
        self._read |= {path.resolve() for path in read}

    def copy(self) -> None:
        """Raises OSError, as for a full disk."""
        self._folder(self.source, self.target, ())

    def _folder(self, source: Path, target: Path, above: tuple[Path, ...]) -> None:
        target.mkdir()
        shutil.copystat(source, target)
        above = (*above, source.resolve())
        with os.scandir(source) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            if source == self.source and name in self.omitted:
                continue
            path, place = source / name, target / name
            if path.is_symlink():
                self._link(path, place, above)
            elif path.is_dir():
                self._folder(path, place, above)
            else:
                self._file(path, place)

    def _link(self, path: Path, place: Path, above: tuple[Path, ...]) -> None:
        try:
            end = path.resolve(strict=True)
        except (OSError, RuntimeError):  # leads nowhere, or in a circle: so does the copy
            place.symlink_to(path.readlink())
            return
        omitted = any(end.is_relative_to(kept) for kept in self._kept_out)
        if end.is_relative_to(self._root) and not omitted:
            place.symlink_to(self.target / end.relative_to(self._root))
        elif end.is_dir():
            ours = any(read.is_relative_to(item) for read in self._read for item in (path, end))
            if ours and end not in above and not omitted:
                self._folder(path, place, above)
            else:
                place.symlink_to(end)
        else:
            self._file(end, place)

    def _file(self, path: Path, place: Path) -> None:
        facts = path.stat()
        if stat.S_ISREG(facts.st_mode) and facts.st_size <= BIGGEST:
            shutil.copy2(path, place)
        else:
            place.symlink_to(path.resolve())
