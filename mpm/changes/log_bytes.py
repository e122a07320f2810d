"""Reads the log of a change as the bytes it is, from an offset on."""

from __future__ import annotations

import codecs

from mpm.models import Change, LogChunk


def read(change: Change, start: int, limit: int) -> bytes:
    """At most ``limit`` bytes from offset ``start``; empty when there are none yet."""
    rows = LogChunk.objects.filter(change=change)
    first = rows.filter(offset__lte=start).order_by("-offset").values_list("offset").first()
    wanted = rows.filter(offset__gte=first[0] if first else start, offset__lt=start + limit)
    content = bytearray()
    for offset, data in wanted.order_by("offset").values_list("offset", "data"):
        if offset > start + len(content):
            break  # a piece is still missing; what follows it is not next
        content += bytes(data)[start + len(content) - offset :]
        if len(content) >= limit:
            break
    return bytes(content[:limit])


class LogText:
    """Pieces of a log as text. They are cut anywhere, also within a character."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def more(self, data: bytes) -> str:
        """The text that is whole by now."""
        return self._decoder.decode(data)
