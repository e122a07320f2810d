"""Conditional requests: entity tags as RFC 9110 has them. Pure."""

from __future__ import annotations

import re

_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]*)"\s*(?:,|\Z)')


class BadCondition(ValueError):
    """The header is not a list of entity tags."""


def etag(digest: str) -> str:
    """The strong tag of a state, fit for If-Match. Such an answer is never compressed."""
    return f'"{digest}"'


def weak_etag(version: str) -> str:
    """A tag that is fit for If-None-Match only, of an answer that may be compressed."""
    return f'W/"{version}"'


def parse_tags(header: str) -> list[tuple[bool, str]] | None:
    """(weak, tag) of every entity tag; None for ``*``. Raises BadCondition."""
    if header.strip() == "*":
        return None
    found, position = [], 0
    while position < len(header):
        match = _TAG.match(header, position)
        if match is None:
            raise BadCondition('Write If-Match: "digest", with the quotation marks.')
        found.append((bool(match[1]), match[2]))
        position = match.end()
    if not found:
        raise BadCondition("The header is empty.")
    return found


def matches(header: str, digest: str) -> bool:
    """If-Match: strong comparison, a weak tag never matches. Raises BadCondition."""
    tags = parse_tags(header)
    return tags is None or any(not weak and tag == digest for weak, tag in tags)


def none_matches(header: str, digest: str) -> bool:
    """If-None-Match: weak comparison; a header that cannot be read is as if it were not there."""
    try:
        tags = parse_tags(header)
    except BadCondition:
        return True
    return tags is not None and not any(tag == digest for _, tag in tags)
