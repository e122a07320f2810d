"""Pages of the history, cut by number: as fast at any depth, and nothing is skipped or shown
twice while new changes arrive."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from easyapache.ea4.sentences import Sentence
from mpm.changes.aftermath import AFTERMATH
from mpm.history.filters import BadFilter, ChangeFilters
from mpm.history.outside import HEAVY
from mpm.models import Change

LIMIT = 50

_CURSOR = re.compile(r"([ba])(\d{1,18})\Z")


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. A cursor is opaque text for the next (older) or previous (newer) page;
    "" where there is none."""

    items: tuple[Change, ...]
    next_cursor: str = ""
    previous_cursor: str = ""


def changes(
    filters: ChangeFilters,
    cursor: str = "",
    limit: int = LIMIT,
    *,
    servers: Collection[str] | None = None,
    searched: bool = False,
) -> Page:
    """One page: a single query, and one more for text combined with other filters.

    ``limit`` is kept between 1 and 500. ``servers``: only changes of these (None: of all).
    ``searched``: includes the search text. Raises BadFilter for an invalid cursor.
    """
    limit = max(1, min(limit, 500))
    left_out = [name for name in HEAVY if not (searched and name == "search")]
    rows = Change.objects.defer(*left_out).annotate(**AFTERMATH)
    narrowed = servers is not None
    if servers is not None:
        rows = rows.filter(server_name__in=servers)
    if not cursor:
        found = list(filters.newest(rows, narrowed=narrowed)[: limit + 1])
        return _page(found[:limit], older=len(found) > limit, newer=False)
    match = _CURSOR.match(cursor)
    if match is None:
        raise BadFilter("cursor", Sentence("Invalid cursor."))
    edge = int(match[2])
    if match[1] == "b":
        found = list(filters.newest(rows, edge, narrowed=narrowed)[: limit + 1])
        return _page(found[:limit], older=len(found) > limit, newer=True)
    found = list(filters.oldest(rows, edge, narrowed=narrowed)[: limit + 1])
    return _page(list(reversed(found[:limit])), older=True, newer=len(found) > limit)


def _page(items: list[Change], *, older: bool, newer: bool) -> Page:
    return Page(
        items=tuple(items),
        next_cursor=f"b{items[-1].pk}" if items and older else "",
        previous_cursor=f"a{items[0].pk}" if items and newer else "",
    )
