"""How lists are cut into pages: one vocabulary for all of them.

``limit`` items from ``cursor`` on; ``next`` is the cursor of the following page, null at the end,
and the address of that page is in ``Link``. A cursor names a place and not a page, so that nothing
is skipped or shown twice while rows are added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, TypeVar

from django.http import HttpRequest, HttpResponse
from ninja import Query
from pydantic import AfterValidator, WithJsonSchema

from mpm.api.shapes import QueryNumber

T = TypeVar("T")

_NUMBER = r"^[0-9a-f]{0,15}$"
_CHANGES = r"^([ab][0-9]{1,18})?$"
_NAME = r"^[A-Za-z0-9._-]{0,63}$"


def _fits(pattern: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.match(pattern, value):
            raise ValueError("isn't a cursor of this list: send `next` of the last answer")
        return value

    return AfterValidator(check)


Cursor = Annotated[
    str,
    _fits(_NUMBER),
    WithJsonSchema({"type": "string", "pattern": _NUMBER}),
    Query("", description="`next` of the last answer."),
]
ChangesCursor = Annotated[
    str,
    _fits(_CHANGES),
    WithJsonSchema({"type": "string", "pattern": _CHANGES}),
    Query("", description="`next` or `previous` of the last answer."),
]
NameCursor = Annotated[
    str,
    _fits(_NAME),
    WithJsonSchema({"type": "string", "pattern": _NAME}),
    Query("", description="`next` of the last answer."),
]
Limit = Annotated[QueryNumber, Query(100, ge=1, le=500, description="The maximum number of items.")]


def cut(
    items: Iterable[T], cursor: str, limit: int, number: Callable[[T], int]
) -> tuple[list[T], str | None]:
    """A page of ``items``, which are in descending order of ``number``, and the next cursor."""
    edge = int(cursor, 16) if cursor else None
    rest = (item for item in items if edge is None or number(item) < edge)
    found = list(islice(rest, limit + 1))
    more = f"{number(found[limit - 1]):x}" if len(found) > limit else None
    return found[:limit], more


def link_next(request: HttpRequest, response: HttpResponse, cursor: str | None) -> str | None:
    """Put the address of the next page into ``Link``; returns ``cursor``."""
    if cursor:
        query = request.GET.copy()
        query["cursor"] = cursor
        response["Link"] = f'<{request.path}?{query.urlencode()}>; rel="next"'
    return cursor
