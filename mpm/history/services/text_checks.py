"""Checks what people type before it becomes history."""

from __future__ import annotations

import unicodedata
from typing import Any

from easyapache.ea4.sentences import Sentence
from mpm.access.services.actor import BadRequest

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
                "The {name} has {count} characters. At most {longest} are allowed.",
                name=name,
                count=len(text),
                longest=longest,
            ),
            code=f"{name}_too_long",
            field=name,
        )
    allowed = {"\n", "\r", "\t"} if lines else set()
    if any(
        (unicodedata.category(sign) in ("Cc", "Cs") and sign not in allowed)
        or unicodedata.bidirectional(sign) in _DIRECTIONS
        for sign in text
    ):
        raise BadRequest(
            Sentence("The {name} contains control characters.", name=name),
            code=f"{name}_control_characters",
            field=name,
        )
    return text


def visible(text: str) -> str:
    """``text`` with invisible characters, except line ends and tabs, as codes: an escape is
    ``\\x1b``, and a NUL the replacement character."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def _escaped(sign: str) -> str:
    if sign == "\x00":
        return "\N{REPLACEMENT CHARACTER}"
    hidden = unicodedata.category(sign) in ("Cc", "Cs") and sign not in "\n\t"
    if hidden or unicodedata.bidirectional(sign) in _DIRECTIONS:
        return f"\\x{ord(sign):02x}" if ord(sign) < 256 else f"\\u{ord(sign):04x}"
    return sign


def storable(value: Any) -> Any:
    """JSON from a server that every database can store (PostgreSQL has no NUL in texts), and every
    terminal and page can show: control characters and direction marks are made visible."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
