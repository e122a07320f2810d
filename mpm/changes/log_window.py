"""Reads the log of a change in windows, however long it is, without ever reading all of it.

The log is bytes in pieces (LogChunk). A window is a run of whole lines; its ends are offsets in
bytes, so that the next and the previous window continue exactly where it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile

from mpm.models import Change, LogChunk

WINDOW = 96 * 1024
MOST_LINES = 1000
"""The limits of a window: half of a page's, so that a page that follows can always add one."""
ABOVE, LINES_ABOVE = WINDOW // 8, 125
"""Bytes, and lines, shown above a search result."""
LONGEST_LINE = 16 * 1024
ERROR_PATTERNS = (
    b"error",
    b"failed",
    b"fatal",
    b"traceback",
    b"conflict",
    b"cannot ",
    b"no such file",
    b"segfault",
)

Held = tuple[int, bytes]
"""A part of a log: the offset at which it begins, and its bytes."""
_Chunk = tuple[int, bytes, datetime]


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
    """``first`` and ``next`` are the offsets of its ends, ``size`` the length of the log.
    ``lag``: how long the newest piece took to get here, where the window ends with it."""

    lines: tuple[Line, ...]
    first: int
    next: int
    size: int
    lag: timedelta | None = field(default=None, compare=False)

    @property
    def lag_ms(self) -> float | None:
        return self.lag.total_seconds() * 1000 if self.lag is not None else None

    @property
    def at_start(self) -> bool:
        return self.first == 0

    @property
    def at_end(self) -> bool:
        return self.next >= self.size


@dataclass(frozen=True, slots=True)
class _Piece:
    """Whole lines of the log, from offset ``first`` on."""

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
    return any(word in lowered for word in ERROR_PATTERNS)


def tail(change: Change) -> Window:
    return before(change, change.log_size)


def after(change: Change, offset: int) -> Window:
    """Whole lines from ``offset`` on. The unfinished last line waits, until the change ended."""
    start = max(0, offset)
    read = _Read(change, start, start + WINDOW)
    piece = _cut(change, read.all(), start, start + WINDOW, whole_start=True)
    return _with_lag(piece.lines_of(0, _end_of(piece.text, MOST_LINES)), read)


def before(change: Change, offset: int) -> Window:
    """The lines that end at ``offset``."""
    end = max(0, min(offset, change.log_size))
    read = _Read(change, max(0, end - WINDOW), end)
    return _with_lag(_ending(change, read.all(), end), read)


@dataclass(frozen=True, slots=True)
class Sought:
    """A search result and the window with it near the top; ``offset`` is None if there is no such
    line, and the window is then the end of the log."""

    offset: int | None
    window: Window


def search(change: Change, text: str, behind: int | None = None) -> Sought:
    """The first line that holds ``text``, in any case. With ``behind``, the offset of a line,
    the first one that follows it, or where none does, the first of all. One query; two for the
    way around."""
    wanted = text.casefold()

    def holds(line: bytes) -> bool:
        return wanted in line.decode("utf-8", "replace").casefold()

    if behind is None:
        read = _Read(change, 0)
        return _window(change, read, _first(_lines(read, 0), holds))
    behind = min(behind, change.log_size)
    read = _Read(change, max(0, behind - WINDOW))
    following = ((at, line) for at, line in _lines(read, behind) if at != behind)
    found = _first(following, holds)
    if found is None:
        again = _Read(change, 0, behind + WINDOW)
        up_to_it = takewhile(lambda line: line[0] <= behind, _lines(again, 0))
        if (first := _first(up_to_it, holds)) is not None:
            found, read = first, again
    return _window(change, read, found)


def first_error(change: Change) -> Sought:
    """The first line that looks like an error. One query."""
    read = _Read(change, 0)
    return _window(change, read, _first(_lines(read, 0), looks_bad))


def _first(lines: Iterable[tuple[int, bytes]], fits: Callable[[bytes], bool]) -> int | None:
    return next((offset for offset, line in lines if fits(line)), None)


def _window(change: Change, read: _Read, found: int | None) -> Sought:
    if found is None:
        return Sought(None, _ending(change, read.all(), change.log_size))
    return Sought(found, _around(change, read, found))


def _around(change: Change, read: _Read, offset: int) -> Window:
    start = max(0, offset - ABOVE)
    end = start + WINDOW
    read.on_to(end)
    held = read.held if read.first <= start else _Read(change, start, end).all()
    piece = _cut(change, held, start, end, whole_start=start == 0)
    if offset >= piece.first + len(piece.text):
        return after(change, offset)  # it is longer than a window
    above = _start_of(piece.text[: max(0, offset - piece.first)], LINES_ABOVE)
    return piece.lines_of(above, above + _end_of(piece.text[above:], MOST_LINES))


def _ending(change: Change, held: Held, end: int) -> Window:
    start = max(0, end - WINDOW)
    piece = _cut(change, held, start, end, whole_start=start == 0, whole_end=end < change.log_size)
    return piece.lines_of(_start_of(piece.text, MOST_LINES), len(piece.text))


def _with_lag(window: Window, read: _Read) -> Window:
    return replace(window, lag=read.lag) if window.at_end else window


def raw(change: Change) -> Iterator[bytes]:
    """The whole log byte for byte, one piece in memory at a time."""
    for _, data, _ in _chunks(change, 0):
        yield data


class _Read:
    """Reads the pieces of a log in sequence, and keeps a window before the newest piece, and that
    piece."""

    def __init__(self, change: Change, start: int, end: int | None = None) -> None:
        self._chunks = _chunks(change, start, end)
        self.text = bytearray()
        self.first = start
        self._newest: tuple[bytes, datetime] | None = None

    def __iter__(self) -> Iterator[Held]:
        for offset, data, received_at in self._chunks:
            self._newest = data, received_at
            if not self.text:
                self.first = offset
            dropped = max(0, len(self.text) - WINDOW)
            del self.text[:dropped]
            self.first += dropped
            self.text += data
            yield offset, data

    @property
    def held(self) -> Held:
        return self.first, bytes(self.text)

    def on_to(self, end: int) -> None:
        """Read on, dropping nothing, to the offset ``end`` or the end of the log."""
        while self.first + len(self.text) < end:
            piece = next(self._chunks, None)
            if piece is None:
                return
            self.text += piece[1]

    @property
    def lag(self) -> timedelta | None:
        """From when the server wrote the first line of the newest piece until the piece was
        here, by the clocks of both; None where that line has no time."""
        if self._newest is None:
            return None
        data, received_at = self._newest
        times = (parse_line(row, 0).at for row in data.split(b"\n"))
        wrote = next((at for at in times if at is not None and at.tzinfo is not None), None)
        return max(received_at - wrote, timedelta(0)) if wrote else None

    def all(self) -> Held:
        """The part kept after reading everything."""
        for _ in self:
            pass
        return self.held


def _chunks(change: Change, start: int, end: int | None = None) -> Iterator[_Chunk]:
    rows = LogChunk.objects.filter(change=change).order_by("offset")
    if start:
        first = rows.filter(offset__lte=start).order_by("-offset").values("offset")[:1]
        rows = rows.filter(offset__gte=first)
    if end is not None:
        rows = rows.filter(offset__lt=end)
    chunks = rows.values_list("offset", "data", "received_at")
    for offset, data, received_at in chunks.iterator(chunk_size=16):
        yield offset, bytes(data), received_at


def _lines(pieces: Iterable[Held], start: int) -> Iterator[tuple[int, bytes]]:
    """Every line with its offset, from the one that begins at ``start`` on."""
    rest, offset = b"", start
    for piece_offset, data in pieces:
        rest += data[max(0, start - piece_offset) :]
        *whole, rest = rest.split(b"\n")
        for row in whole:
            yield offset, row
            offset += len(row) + 1
    if rest:
        yield offset, rest


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
    change: Change,
    held: Held,
    start: int,
    end: int,
    *,
    whole_start: bool,
    whole_end: bool = False,
) -> _Piece:
    """The whole lines between two offsets; ``whole_…``: at that end nothing is cut off."""
    held_from, text = held
    first = min(max(start, held_from), change.log_size)
    piece = text[max(0, start - held_from) : end - held_from]
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
