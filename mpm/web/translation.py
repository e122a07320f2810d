"""Sentences of the pure modules in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext, ngettext

from easyapache.ea4.sentences import Sentence
from mpm.web.former_sentences import in_todays_words


def in_words(text: str) -> str:
    """``text`` in the language of the page, with its values; English where there is none.

    A text without values is looked up as it is, and what an earlier version stored is said as this
    one would say it: so what was stored reads like what is new.
    """
    if not text:
        return text
    text = in_todays_words(text)
    if not isinstance(text, Sentence):
        return gettext(text)
    if not text.values:
        return gettext(text.template)
    values = {
        name: in_words(value) if isinstance(value, Sentence) else value
        for name, value in text.values.items()
    }
    if text.plural:
        return ngettext(text.template, text.plural, text.number).format_map(values)
    return gettext(text.template).format_map(values)
