"""Free text search by the index."""

from __future__ import annotations

from django.db import connection

from mpm.history.models.search_index import indexed
from mpm.models import Words

FEW = 5000
"""The most candidates to check one by one, independent of other filters."""


def question(text: str) -> str:
    """The FTS5 query for the words of ``text``: all their triples of consecutive letters. "" if no
    word has three letters. (The matches are candidates: the triples may be apart.)"""
    words = text.lower().split()
    threes = {word[at : at + 3] for word in words for at in range(len(word) - 2)}
    return " AND ".join('"' + three.replace('"', '""') + '"' for three in sorted(threes))


def lead(text: str, *, alone: bool) -> bool:
    """Whether the list is best read along the index of words, from the newest on. ``alone``: no
    other filter with an index of its own narrows it. Words that are in many changes are found
    soon enough along those; those in few are not. At most one query."""
    query = question(text)
    if not query or connection.vendor != "sqlite" or not indexed(connection):
        return False
    return alone or Words.objects.filter(found__match=query)[: FEW + 1].count() <= FEW


def words_indexed() -> bool:
    """Whether free text is found along an index; it is found without one as well, but slowly."""
    return indexed(connection)
