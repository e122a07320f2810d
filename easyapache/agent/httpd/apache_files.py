"""The text of httpd's configuration files, taken with care: what an Include names may be a pipe,
a device, a folder with the whole machine in it, or the file itself."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
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
                # Names of files in another encoding are still those of files.
                text = raw.decode(errors="surrogateescape")
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

    def included(self, root: Path, written: str) -> list[Path]:
        """The files an Include means, in httpd's order: a file, all those in a folder and below
        it, or what a pattern matches. Raises OSError and GaveUp."""
        # The slash at the end of a pattern asks for folders, and is not part of a Path.
        parts = [*(root / written).parts, *([""] if written.endswith("/") else [])]
        key = "/".join(parts)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = list(self._matching(Path(), parts))
        return found

    def _matching(self, folder: Path, parts: list[str]) -> Iterator[Path]:
        """As httpd's ap_process_fnmatch_configs: a link to a folder counts only as the last part,
        and what follows a pattern need not be there."""
        first = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        folder = folder.joinpath(*parts[:first])
        if first == len(parts):
            yield from self._below(folder)
            return
        # Both signs negate a set for httpd, one of them for Python.
        pattern, rest = parts[first].replace("[^", "[!"), parts[first + 1 :]
        hidden = pattern.startswith(".")
        for name, is_folder in self._entries_of(folder):
            suits = name.startswith(".") <= hidden and fnmatch.fnmatchcase(name, pattern)
            if suits and (is_folder or not rest):
                yield from self._matching(folder / name, rest)

    def _entries_of(self, folder: Path) -> list[tuple[str, bool]]:
        """(name, whether it is itself a folder), by name; nothing if the folder isn't there."""
        self.stamps[folder] = _stamp(folder)
        found = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._one_more()
                    found.append((entry.name, entry.is_dir(follow_symlinks=False)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(found)

    def _below(self, path: Path) -> Iterator[Path]:
        if not path.is_dir():
            yield path
            return
        for name, _ in self._entries_of(path):
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


_SPACE = " \t\n\v\f\r"
"""What is a space to C."""
_WORD = re.compile(
    r"""(?:"((?:[^"\\]|\\.?)*)"?|'((?:[^'\\]|\\.?)*)'?|([^ \t\n\v\f\r]+))[ \t\n\v\f\r]*""",
    re.DOTALL,
)
_SIMPLE_SECTION = re.compile(r"<(\w+)(?:[ \t]+([^\"'\\>]*))?>\Z", re.ASCII)
_BACKSLASH = re.compile(r"\\(\\)")
_ESCAPED = {"'": re.compile(r"\\(['\\])"), '"': re.compile(r'\\(["\\])')}
"""What a backslash takes its meaning from, by the quote around it."""
_RARE = re.compile(r"[\"'\\\x1c-\x1f]|[^\x00-\x7f]")
"""What str.split does not see as httpd does."""


def parsed(number: int, text: str) -> Line:
    """A line as httpd takes it apart (ap_build_config_sub in server/config.c)."""
    if text[:1] != "<":
        name, *arguments = tokens(text) or [""]
        return Line(number, "", name.lower(), tuple(arguments), text)
    if simple := _SIMPLE_SECTION.match(text):
        return Line(number, "<", simple[1].lower(), ((simple[2] or "").strip(_SPACE),), text)
    word = _WORD.match(text)
    assert word is not None  # it begins with "<"
    name = word[3].removesuffix(">").lower()
    if name[1:2] == "/":
        return Line(number, "/", name[2:], ("",), text)
    # What follows the last ">" is ignored.
    argument = text[word.end() :].rpartition(">")[0]
    return Line(number, "<", name[1:], (argument.strip(_SPACE),), text)


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with continuations joined, without comments and blank ones; numbers count from 1."""
    pending, first = "", 0
    # By line feeds alone, as httpd: to Python form feeds and some more end a line too.
    lines = text.replace("\r\n", "\n").split("\n")
    last = len(lines)
    for number, raw in enumerate(lines, 1):
        if "\0" in raw:  # where a text ends for C
            raw = raw.partition("\0")[0]
        elif raw[-1:] == "\\" and number < last:
            first = first if pending else number
            pending += raw[:-1]
            continue
        if pending:
            line, at, pending = (pending + raw).strip(_SPACE), first, ""
        else:
            line, at = raw.strip(_SPACE), number
        if line and line[0] != "#":
            yield at, line


def tokens(line: str) -> list[str]:
    """The words of a line as httpd separates them (ap_getword_conf): a quote opens one at the
    beginning of a word only, and reaches to the end of the line if it isn't closed."""
    if not _RARE.search(line):
        return line.split()
    found, at = [], len(line) - len(line.lstrip(_SPACE))
    while at < len(line):
        word = _WORD.match(line, at)
        assert word is not None  # something other than a space is there
        text = word[word.lastindex or 3]
        found.append(_ESCAPED.get(line[at], _BACKSLASH).sub(r"\1", text))
        at = word.end()
    return found
