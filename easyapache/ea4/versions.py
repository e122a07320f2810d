"""Comparing versions the way rpm does.

The rules are rpm's own (``rpmvercmp``): a version is read as runs of digits and runs of letters,
everything else only separates; digits beat letters; a longer version is newer; ``~`` sorts
before everything, even the end, and ``^`` after the end but before anything else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_PIECE = re.compile(r"[0-9]+|[a-zA-Z]+|~|\^")


class EVR(NamedTuple):
    """Epoch, version and release. ``release`` is empty where a relation names none."""

    epoch: int
    version: str
    release: str = ""

    def __str__(self) -> str:
        text = f"{self.version}-{self.release}" if self.release else self.version
        return f"{self.epoch}:{text}" if self.epoch else text


@lru_cache(maxsize=4096)
def parse_evr(text: str) -> EVR:
    """Read ``[epoch:]version[-release]``. An epoch that is not a number belongs to the version."""
    epoch, colon, rest = text.partition(":")
    if colon and epoch.isdecimal():
        number, plain = int(epoch), rest
    else:
        number, plain = 0, text
    version, dash, release = plain.rpartition("-")
    return EVR(number, version, release) if dash else EVR(number, plain)


@lru_cache(maxsize=8192)
def compare_versions(left: str, right: str) -> int:
    """-1, 0 or 1 as rpm orders two versions (or two releases)."""
    if left == right:
        return 0
    ours, theirs = _PIECE.findall(left), _PIECE.findall(right)
    for index in range(max(len(ours), len(theirs))):
        a = ours[index] if index < len(ours) else ""
        b = theirs[index] if index < len(theirs) else ""
        if a == b:
            continue
        if "~" in (a, b):
            return -1 if a == "~" else 1
        if "^" in (a, b):
            # A caret is newer than the end of the version, older than anything that follows.
            if a == "^":
                return 1 if not b else -1
            return -1 if not a else 1
        if not a or not b:
            return 1 if a else -1
        if a.isdigit() != b.isdigit():
            return 1 if a.isdigit() else -1
        if a.isdigit():
            x, y = int(a), int(b)
            if x != y:
                return 1 if x > y else -1
        else:
            return 1 if a > b else -1
    return 0


def compare_evr(left: EVR, right: EVR) -> int:
    """-1, 0 or 1. Where one side names no release, releases do not count, as in rpm's relations."""
    if left.epoch != right.epoch:
        return 1 if left.epoch > right.epoch else -1
    result = compare_versions(left.version, right.version)
    if result or not left.release or not right.release:
        return result
    return compare_versions(left.release, right.release)
