"""Reads the log of a change in windows, however long it is, without ever reading all of it.

The log is bytes in pieces (LogChunk). A window is a run of whole lines; its ends are offsets in
bytes, so that the next and the previous window continue exactly where it stops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from mpm.models import Change, LogChunk

WINDOW = 96 * 1024
MOST_LINES = 1000
"""A window ends at whichever comes first: half of what a page may hold, so that a page that
follows can always add one."""
LINES_ABOVE = 125
"""So many lines stand above one that was looked for."""
LONGEST_LINE = 16 * 1024
ERROR_WORDS = (
    b"error",
    b"failed",
    b"fatal",
    b"traceback",
    b"conflict",
    b"cannot ",
    b"no such file",
    b"segfault",
)


@dataclass(frozen=True, slots=True)
class Line:
    """``offset``: where it begins in the log. ``at`` is None for a line without a time."""

    offset: int
    at: datetime | None
    step: str
    text: str

    @property
    def bad(self) -> bool:
        return looks_bad(self.text.encode())


@dataclass(frozen=True, slots=True)
class Window:
    """``first`` and ``next`` are the offsets of its ends, ``size`` the length of the log."""

    lines: tuple[Line, ...]
    first: int
    next: int
    size: int

    @property
    def at_start(self) -> bool:
        return self.first == 0

    @property
    def at_end(self) -> bool:
        return self.next >= self.size


@dataclass(frozen=True, slots=True)
class _Piece:
    """Whole lines as they stand in the log, from offset ``first`` on."""

    text: bytes
    first: int
    size: int

    def lines_of(self, start: int, end: int) -> Window:
        """The window of the lines between two places in the text."""
        first = self.first + start
        lines = tuple(_parsed(self.text[start:end], first))
        return Window(lines, first, self.first + end, self.size)


def looks_bad(line: bytes) -> bool:
    """Whether a line is one a person who looks for the error would stop at."""
    lowered = line.lower()
    return any(word in lowered for word in ERROR_WORDS)


def tail(change: Change) -> Window:
    return before(change, change.log_size)


def after(change: Change, offset: int) -> Window:
    """Whole lines from ``offset`` on. The unfinished last line waits, until the change ended."""
    window = _cut(change, max(0, offset), max(0, offset) + WINDOW, whole_start=True)
    return window.lines_of(0, _end_of(window.text, MOST_LINES))


def before(change: Change, offset: int) -> Window:
    """The lines that end at ``offset``."""
    end = max(0, min(offset, change.log_size))
    start = max(0, end - WINDOW)
    window = _cut(change, start, end, whole_start=start == 0, whole_end=end < change.log_size)
    return window.lines_of(_start_of(window.text, MOST_LINES), len(window.text))


def around(change: Change, offset: int) -> Window:
    """A window in which the line at ``offset`` stands near the top."""
    start = max(0, offset - WINDOW // 8)
    window = _cut(change, start, start + WINDOW, whole_start=start == 0)
    above = _start_of(window.text[: max(0, offset - window.first)], LINES_ABOVE)
    return window.lines_of(above, above + _end_of(window.text[above:], MOST_LINES))


def find(change: Change, text: str, behind: int | None = None) -> int | None:
    """The offset of the first line that holds ``text``, in any case; with ``behind``, the
    offset of a line, only lines that follow it are looked at."""
    wanted = text.casefold()
    for offset, line in lines(change, behind or 0):
        if offset != behind and wanted in line.decode("utf-8", "replace").casefold():
            return offset
    return None


def first_error(change: Change) -> int | None:
    """The offset of the first line that looks like an error."""
    return next((offset for offset, line in lines(change) if looks_bad(line)), None)


def lines(change: Change, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Every line with its offset, from the one that begins at ``start`` on."""
    rest, offset = b"", start
    for chunk_offset, data in _chunks(change, start):
        rest += data[max(0, start - chunk_offset) :]
        *whole, rest = rest.split(b"\n")
        for row in whole:
            yield offset, row
            offset += len(row) + 1
    if rest:
        yield offset, rest


def raw(change: Change) -> Iterator[bytes]:
    """The whole log byte for byte, one piece in memory at a time."""
    for _, data in _chunks(change, 0):
        yield data


def _chunks(change: Change, start: int, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    rows = LogChunk.objects.filter(change=change).order_by("offset")
    if start:
        first = rows.filter(offset__lte=start).order_by("-offset").values("offset")[:1]
        rows = rows.filter(offset__gte=first)
    if end is not None:
        rows = rows.filter(offset__lt=end)
    for offset, data in rows.values_list("offset", "data").iterator(chunk_size=16):
        yield offset, bytes(data)


def _end_of(text: bytes, lines: int) -> int:
    """Where the first ``lines`` lines end."""
    at = 0
    for _ in range(lines):
        at = text.find(b"\n", at) + 1
        if at == 0:
            return len(text)
    return at


def _start_of(text: bytes, lines: int) -> int:
    """Where the last ``lines`` lines begin."""
    at = len(text) - 1 if text.endswith(b"\n") else len(text)
    for _ in range(lines):
        at = text.rfind(b"\n", 0, at)
        if at < 0:
            return 0
    return at + 1


def _cut(
    change: Change, start: int, end: int, *, whole_start: bool, whole_end: bool = False
) -> _Piece:
    """The whole lines between two offsets; ``whole_…``: at that end nothing is cut off."""
    held, held_from = bytearray(), None
    for offset, data in _chunks(change, start, end):
        held_from = offset if held_from is None else held_from
        held += data
    if held_from is None:
        return _Piece(b"", min(start, change.log_size), change.log_size)
    piece = bytes(held[max(0, start - held_from) : end - held_from])
    first = max(start, held_from)
    if not whole_start:
        skip = piece.find(b"\n") + 1
        if skip < len(piece):  # else it is all one line, longer than a window
            piece, first = piece[skip:], first + skip
    at_end = change.finished and first + len(piece) >= change.log_size
    if not piece.endswith(b"\n") and not whole_end and not at_end:
        cut = piece.rfind(b"\n") + 1
        if cut == 0 and len(piece) >= LONGEST_LINE:
            cut = len(piece)
        piece = piece[:cut]
    return _Piece(piece, first, change.log_size)


def _parsed(piece: bytes, first: int) -> Iterator[Line]:
    offset = first
    for row in piece.split(b"\n"):
        if row or offset + len(row) < first + len(piece):
            yield parse_line(row, offset)
        offset += len(row) + 1


def parse_line(row: bytes, offset: int) -> Line:
    """Split ``2026-03-03T21:04:11.802Z step  text``; a line of another shape is all text."""
    text = row[:LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")
    stamp, _, rest = text.partition(" ")
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return Line(offset, None, "", text)
    step, _, words = rest.partition(" ")
    return Line(offset, at, step, words.removeprefix(" "))
