"""Shows English sentences of rules, plans and servers in the language of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from easyapache.ea4.sentences import with_sentences as sentences_of
from mpm.web import translation

register = template.Library()


@register.filter
def in_words(text: Any) -> str:
    """A sentence in the reader's language."""
    return translation.in_words(text) if isinstance(text, str) else str(text or "")


@register.filter
def with_sentences(data: Mapping[str, Any]) -> dict[str, Any]:
    """Stored JSON with its sentences, ready for ``in_words``."""
    return sentences_of(data)
