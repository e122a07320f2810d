"""The text of httpd's configuration files, taken with care: what an Include names may be a pipe,
a device, a folder with the whole machine in it, or the file itself."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shlex
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easyapache.ea4.directives import COMMON, SUPPORTED_BY

BIGGEST = 32 << 20
"""Bytes of one file; a server with ten thousand domains has about as much in all."""
MOST_BYTES = 128 << 20
MOST_FILES = 20_000
MOST_ENTRIES = 200_000
"""Entries of folders that an Include may lead through."""
LONGEST = 30.0
"""Seconds for one reading, on a machine that has other things to do as well."""
_SECTION = re.compile(r"<\s*(/?)\s*([A-Za-z]\w*)\s*(.*?)\s*>?\s*\Z", re.DOTALL)

Stamp = tuple[int, int, int, int]
"""Device, inode, time of the last change in nanoseconds, and size of a file or folder."""


class GaveUp(Exception):
    """The configuration exceeds a limit, which the message names."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as httpd joins them. ``kind``: ``<`` for the opening of a section, ``/`` for its
    end, nothing for a directive. ``tokens`` are the arguments; of a section its text as one
    token."""

    number: int
    kind: str
    name: str
    tokens: tuple[str, ...]
    text: str


@dataclass
class Files:
    """Files and folders as they were when they were first looked at, until ``altered``."""

    known: dict[bytes, list[Line]] = field(default_factory=dict)
    """{digest of a text: its lines}, from an earlier reading: taking a text apart is most of the
    work, and most texts are as they were."""
    stamps: dict[Path, Stamp | None] = field(default_factory=dict)
    parsed: dict[bytes, list[Line]] = field(default_factory=dict)
    _lines: dict[Path, list[Line]] = field(default_factory=dict)
    _outlines: dict[Path, list[Line]] = field(default_factory=dict)
    _found: dict[str, list[Path]] = field(default_factory=dict)
    readings: dict[object, Any] = field(default_factory=dict)
    """Readings made so far, by MPM."""
    _bytes: int = 0
    _entries: int = 0
    _begun: float = field(default_factory=time.monotonic)

    def altered(self) -> bool:
        """Whether any of them is another one by now, or a folder has other entries."""
        return any(_stamp(path) != stamp for path, stamp in self.stamps.items())

    def lines(self, path: Path) -> list[Line]:
        """Raises GaveUp, and OSError, with its own message for anything but a plain file."""
        found = self._lines.get(path)
        if found is None:
            raw = self._raw(path)
            digest = hashlib.blake2b(raw).digest()
            found = self.known.get(digest) or self.parsed.get(digest)
            if found is None:
                text = raw.decode(errors="replace")
                found = [parsed(*line) for line in logical_lines(text)]
            self._lines[path] = self.parsed[digest] = found
        return found

    def outline(self, path: Path) -> list[Line]:
        """The same without the virtual hosts that contain nothing relevant to an MPM: usually all.
        Raises as ``lines``."""
        found = self._outlines.get(path)
        if found is None:
            found = self._outlines[path] = _outline(self.lines(path))
        return found

    def _raw(self, path: Path) -> bytes:
        self.in_time()
        if len(self._lines) >= MOST_FILES:
            raise GaveUp(f"more than {MOST_FILES} files")
        self.stamps[path] = _stamp(path)
        # A pipe must not make us wait, and opening some devices does something.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(handle, "rb") as file:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                raise OSError(0, "is not a regular file")
            raw = file.read(BIGGEST + 1)
        if len(raw) > BIGGEST:
            raise OSError(0, f"is larger than {BIGGEST >> 20} MB")
        self._bytes += len(raw)
        if self._bytes > MOST_BYTES:
            raise GaveUp(f"more than {MOST_BYTES >> 20} MB")
        return raw

    def watch(self, path: Path) -> None:
        """Count a path among those whose change matters, be it only whether it is there."""
        self.stamps[path] = _stamp(path)

    def in_time(self) -> None:
        """Raises GaveUp when reading takes too long."""
        if time.monotonic() - self._begun > LONGEST:
            raise GaveUp(f"reading takes longer than {LONGEST:.0f} s")

    def again(self) -> None:
        """Restart the time limit, to read the cached files again."""
        self._begun = time.monotonic()

    def included(self, full: Path) -> list[Path]:
        """The files an Include of this path means, in httpd's order: a file, all those in a
        folder and below it, or what a pattern matches. Raises OSError and GaveUp."""
        found = self._found.get(str(full))
        if found is None:
            found = self._found[str(full)] = self._included(full)
        return found

    def _included(self, written: Path) -> list[Path]:
        # Both signs negate a set for httpd, one of them for Python.
        full = Path(str(written).replace("[^", "[!"))
        if not glob.has_magic(str(full)):
            return list(self._below(full))
        for folder in self._folders_of(full):
            self.stamps[folder] = _stamp(folder)
        # Path.glob cannot start at an absolute pattern, which httpd's may be.
        found = []
        for name in glob.iglob(str(full)):  # noqa: PTH207
            self._one_more()
            found.append(Path(name))
        return [item for match in sorted(found) for item in self._below(match)]

    def _folders_of(self, pattern: Path) -> Iterable[Path]:
        """The folders whose entries decide what a pattern matches."""
        parts = pattern.parts
        first = next(n for n, part in enumerate(parts) if glob.has_magic(part))
        yield Path(*parts[:first])
        for number in range(first + 1, len(parts)):
            for name in glob.iglob(str(Path(*parts[:number]))):  # noqa: PTH207
                self._one_more()
                if Path(name).is_dir():
                    yield Path(name)

    def _below(self, path: Path) -> Iterator[Path]:
        if not path.is_dir():
            yield path
            return
        self.stamps[path] = _stamp(path)
        with os.scandir(path) as entries:
            names = []
            for entry in entries:
                self._one_more()
                names.append(entry.name)
        for name in sorted(names):
            yield from self._below(path / name)

    def _one_more(self) -> None:
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            raise GaveUp(f"more than {MOST_ENTRIES} entries of folders")
        if not self._entries % 1000:
            self.in_time()


_MATTERS = frozenset(
    {*SUPPORTED_BY, *COMMON, "listen", "loadmodule", "define", "undefine", "use", "macro"}
    | {"include", "includeoptional", "virtualhost"}
)


def _outline(lines: list[Line]) -> list[Line]:
    kept: list[Line] = []
    host: list[Line] = []
    matters = False
    for line in lines:
        if host:
            host.append(line)
            if line.kind == "/" and line.name == "virtualhost":
                kept += host if matters else ()
                host = []
            else:
                matters = matters or line.name in _MATTERS
        elif line.kind == "<" and line.name == "virtualhost":
            host, matters = [line], False
        else:
            kept.append(line)
    return [*kept, *host]


def _stamp(path: Path) -> Stamp | None:
    try:
        facts = os.stat(path)  # noqa: PTH116 -- called for thousands of files
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size


def parsed(number: int, text: str) -> Line:
    if text[:1] == "<" and (section := _SECTION.match(text)):
        kind = "/" if section[1] else "<"
        return Line(number, kind, section[2].lower(), (section[3].strip(),), text)
    found = tokens(text)
    return Line(number, "", found[0].lower(), tuple(found[1:]), text)


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with continuations joined, without comments and blank ones; numbers count from 1."""
    pending, first = "", 0
    # By line feeds alone, as httpd: to Python form feeds and some more end a line too.
    for number, raw in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if raw[-1:] == "\\":
            first = first if pending else number
            pending += raw[:-1]
            continue
        if pending:
            line, at, pending = (pending + raw).strip(), first, ""
        else:
            line, at = raw.strip(), number
        if line and line[0] != "#":
            yield at, line


def tokens(line: str) -> list[str]:
    # A shell's lexer takes its time, and nearly all lines can do without.
    if line.isascii() and not ('"' in line or "'" in line or "\\" in line):
        return line.split()
    try:
        return shlex.split(line, posix=True) or [line]
    except ValueError:  # an apostrophe that opens nothing, as in a log format
        return line.split() or [line]
