"""Checks what people type before it becomes history."""

from __future__ import annotations

import unicodedata
from typing import Any

from easyapache.sentences import Sentence
from mpm.services.actor import BadRequest

_DIRECTIONS = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])
"""What Unicode has to change the direction of the words that follow."""


def one_text(name: str, value: str, longest: int, *, lines: bool = False) -> str:
    """``value`` without blanks around it. Raises BadRequest when it is longer than the column
    it is meant for, or holds control characters that could forge a line of a log or turn
    the words around it about."""
    text = value.strip()
    if len(text) > longest:
        raise BadRequest(
            Sentence(
                "The {name} has {count} characters; at most {longest} are kept.",
                name=name,
                count=len(text),
                longest=longest,
            ),
            code=f"{name}_too_long",
        )
    allowed = {"\n", "\r", "\t"} if lines else set()
    if any(
        (unicodedata.category(sign) in ("Cc", "Cs") and sign not in allowed)
        or unicodedata.bidirectional(sign) in _DIRECTIONS
        for sign in text
    ):
        raise BadRequest(
            Sentence("The {name} holds control characters.", name=name),
            code=f"{name}_control_characters",
        )
    return text


def storable(value: Any) -> Any:
    """JSON from a server as every database can keep it: PostgreSQL knows no NUL in a text."""
    if isinstance(value, str):
        return value.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
