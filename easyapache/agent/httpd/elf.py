"""What a compiled module names in its tables: the directives that it brings.

A module's table of directives (``command_rec``) has a pointer to each name. The pointer is in the
file, as a value of 8 bytes or the addend of a relocation, so nothing has to be loaded or run.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

BIGGEST = 8 << 20
"""Bytes of a file that is looked at. Modules have 10 kB to 1 MB, only PHP and Passenger more."""
_LOADED = 1
"""PT_LOAD of a program header."""
_MOST_SEGMENTS = 64
_NAME = re.compile(rb"(<?[A-Za-z][A-Za-z0-9_]{1,63})\0")

Stamp = tuple[int, int]
"""Time of the last change in nanoseconds, and size, of a file."""


def stamp_of(path: Path) -> Stamp | None:
    """None if there is no such file, or it can't be looked at."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


@lru_cache(maxsize=256)
def names_in(path: Path, stamp: Stamp) -> frozenset[str]:
    """What pointers in a 64-bit ELF file lead to and may be the name of a directive, in lower
    case; nothing if it can't be read, is larger than BIGGEST, or is no such file. ``stamp``: that
    of the file."""
    if stamp[1] > BIGGEST:
        return frozenset()
    try:
        with path.open("rb") as file:
            content = file.read(BIGGEST)
        if content[:6] not in (b"\x7fELF\2\1", b"\x7fELF\2\2"):
            return frozenset()
        little = content[5] == 1
        return frozenset(_names(content, "<" if little else ">", swap=little is not _LITTLE))
    except (OSError, struct.error, OverflowError):  # unreadable, cut off, or nonsense
        return frozenset()


_LITTLE = sys.byteorder == "little"


def _names(content: bytes, order: str, *, swap: bool) -> Iterator[str]:
    values = array("Q", content[: len(content) // 8 * 8])
    if swap:
        values.byteswap()
    segments = list(_segments(content, order))
    for value in set(values):
        for offset, address, length in segments:
            if address <= value < address + length and value:
                found = _NAME.match(content, value - address + offset)
                if found:
                    yield found[1].decode().lower()


def _segments(content: bytes, order: str) -> Iterator[tuple[int, int, int]]:
    """(place in the file, address in memory, length) of what is loaded."""
    (start,) = struct.unpack_from(f"{order}Q", content, 32)
    size, count = struct.unpack_from(f"{order}HH", content, 54)
    for number in range(min(count, _MOST_SEGMENTS)):
        kind, _, offset, address, _, length = struct.unpack_from(
            f"{order}IIQQQQ", content, start + number * size
        )
        if kind == _LOADED:
            yield offset, address, length
