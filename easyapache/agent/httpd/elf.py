"""What a compiled program or module names in its tables: the directives of httpd's modules.

A module's table of directives (``command_rec``) has a pointer to each name. The pointer is in the
file, as the addend of a relocation, so nothing has to be loaded or run to find it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path

_LOADED = 1
"""PT_LOAD of a program header."""
_MOST_SEGMENTS = 64

Stamp = tuple[int, int]
"""Time of the last change in nanoseconds, and size, of a file."""


def stamp_of(path: Path) -> Stamp | None:
    """None if there is no such file, or it can't be looked at."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


@lru_cache(maxsize=4096)
def points_to(path: Path, _stamp: Stamp, name: str) -> bool:
    """Whether a pointer in a 64-bit ELF file leads to the string ``name``, in any case of its
    letters. The stamp is part of the call so that another file of that name is looked at anew."""
    text = re.compile(re.escape(name.encode()) + rb"\0", re.IGNORECASE)
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            order = {b"\2\1": "<", b"\2\2": ">"}.get(content[4:6])
            if content[:4] != b"\x7fELF" or order is None:
                return False
            segments = list(_segments(content, order))
            for found in text.finditer(content):
                for offset, address, length in segments:
                    at = found.start() - offset
                    pointer = struct.pack(f"{order}Q", address + at) if 0 <= at < length else b""
                    if pointer and content.find(pointer) > 0:
                        return True
    except (OSError, ValueError, struct.error):  # unreadable, empty, or cut off
        return False
    return False


def _segments(content: mmap, order: str) -> Iterator[tuple[int, int, int]]:
    """(place in the file, address in memory, length) of what is loaded."""
    (start,) = struct.unpack_from(order + "Q", content, 32)
    size, count = struct.unpack_from(order + "HH", content, 54)
    for number in range(min(count, _MOST_SEGMENTS)):
        kind, _, offset, address, _, length = struct.unpack_from(
            order + "IIQQQQ", content, start + number * size
        )
        if kind == _LOADED:
            yield offset, address, length
