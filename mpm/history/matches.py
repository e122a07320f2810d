"""Where in a change the words stand that somebody looked for."""

from __future__ import annotations

import re

from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString

AROUND = 32
"""Letters before and after a word that is shown with its surroundings."""


def marked(text: str, query: str) -> SafeString:
    """``text`` with each word of ``query`` marked, whatever its case."""
    words = sorted(set(query.split()), key=len, reverse=True)
    if not words:
        return conditional_escape(text)
    pieces = re.split(f"({'|'.join(map(re.escape, words))})", text, flags=re.IGNORECASE)
    # Every second piece is one of the words.
    pairs = ((pieces[at], pieces[at + 1]) for at in range(0, len(pieces) - 1, 2))
    return format_html("{}{}", format_html_join("", "{}<mark>{}</mark>", pairs), pieces[-1])


def found_elsewhere(searched: str, visible: str, query: str) -> str:
    """The surroundings, in ``searched``, of the first word of ``query`` that ``shown`` lacks; ""
    where it has them all."""
    text = " ".join(searched.split())
    for word in query.lower().split():
        at = -1 if word in visible.lower() else text.find(word)
        if at >= 0:
            start, end = max(0, at - AROUND), at + len(word) + AROUND
            before, after = "…" * (start > 0), "…" * (end < len(text))
            return f"{before}{text[start:end].strip()}{after}"
    return ""
