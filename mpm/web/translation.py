"""Sentences of the pure modules in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext, ngettext

from easyapache.ea4.sentences import Sentence
from mpm.web.former_sentences import in_todays_words


def in_words(text: str) -> str:
    """``text`` in the language of the page, with its values; English if there is no translation.

    A text without values is looked up unchanged, and a text stored by an earlier version is first
    converted to this version's wording.
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
