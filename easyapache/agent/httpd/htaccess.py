"""Directives of modules in the ``.htaccess`` files of sites, which no configuration test reads.

Where such a module is removed, every request for the folder gets status 500. The search is bounded:
folders, entries of a folder, bytes of a file, and seconds.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyapache.ea4.mpm import FCGID, PHP_DSO, SUPHP

DEPTH = 2
"""Levels of folders below a document root."""
MOST_FOLDERS = 3000
MOST_ENTRIES = 200
"""Entries of one folder among which its folders are looked for."""
MOST_BYTES = 64 * 1024
MOST_FOUND = 50
SECONDS = 0.5
_SECTION = re.compile(r"<(/?)If(?:Module|Define|Version|Directive|File)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """``directives``: [{path, line, directive, package}]. ``complete``: no bound was reached."""

    directives: tuple[Mapping[str, Any], ...]
    complete: bool


def patterns_for(names: Iterable[str]) -> dict[str, re.Pattern[str]]:
    """What of the installed packages can be used in an ``.htaccess``, by package."""
    installed = set(names)
    found = {}
    for name in sorted(installed):
        if PHP_DSO.match(name):
            found[name] = re.compile(r"php_(?:value|flag)\b", re.IGNORECASE)
    if SUPHP in installed:
        found[SUPHP] = re.compile(r"suPHP_\w+", re.IGNORECASE)
    if FCGID in installed:
        found[FCGID] = re.compile(r"Fcgid\w+", re.IGNORECASE)
    return found


def directives_in(
    roots: Iterable[str],
    patterns: Mapping[str, re.Pattern[str]],
    seconds: float = SECONDS,
) -> Found:
    """Lines outside of <IfModule> and its like that need one of these packages. Every document
    root itself is looked at before the folders below any of them."""
    end = time.monotonic() + seconds
    folders = deque((Path(root), 0) for root in dict.fromkeys(roots) if root)
    found: list[Mapping[str, Any]] = []
    read = 0
    while folders and patterns:
        if read >= MOST_FOLDERS or len(found) >= MOST_FOUND or time.monotonic() > end:
            return Found(tuple(found), complete=False)
        folder, depth = folders.popleft()
        read += 1
        for number, text in _unguarded(_text(folder / ".htaccess")):
            for package, pattern in patterns.items():
                if pattern.match(text):
                    place = {"path": str(folder / ".htaccess"), "line": number}
                    found.append({**place, "directive": text[:200], "package": package})
        if depth < DEPTH:
            folders.extend((below, depth + 1) for below in _folders(folder))
    return Found(tuple(found[:MOST_FOUND]), complete=len(found) <= MOST_FOUND)


def _unguarded(text: str) -> Iterator[tuple[int, str]]:
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        plain = "".join(char for char in line.strip() if char.isprintable())
        if section := _SECTION.match(plain):
            depth = max(0, depth + (-1 if section[1] else 1))
        elif depth == 0 and plain and not plain.startswith(("#", "<")):
            yield number, plain


def _folders(folder: Path) -> list[Path]:
    found = []
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count >= MOST_ENTRIES:
                    break
                if entry.is_dir(follow_symlinks=False):
                    found.append(Path(entry.path))
    except OSError:
        return []
    return sorted(found)


def _text(path: Path) -> str:
    """The beginning of an account's own file: it may be a pipe, a device, a link or gigabytes."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.read(descriptor, MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
