"""English sentences that keep their template and values, so that a page can show them in another
language.

A rule or a service writes ``Sentence("{mpm} uses threads.", mpm="event")``. That *is* the English
text (a ``str``): logs, the API and the command line use it as it is. A page in another language
translates the template and fills the values in (see ``translation.in_words``).

Templates are written out where they are used, so that xgettext finds them (see the project's
``makemessages``). Values are filled in as ``str.format`` does; a sentence without values is its
own template. A value may be a sentence itself and is then translated as well.

A sentence that counts has a second template and a value ``count``, as ngettext wants it:
``counted("{count} package", "{count} packages", count=2)``. English has two forms; the catalog of a
language has as many as that language needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WORDS = "words"
"""The key in JSON for the templates and values of the sentences beside it."""


_TEMPLATE = re.compile(r"(?:[^{}]|\{\{|\}\}|\{\w+(?:!r)?\})*")
"""Templates accepted from other machines: names of values, no formats and no attributes."""


class Sentence(str):
    """English text with its ``template`` and ``values``. Equal to the same text as ``str``.

    ``plural`` is the template for every ``count`` but 1; empty in a sentence that counts nothing.
    """

    __slots__ = ("plural", "template", "values")

    template: str
    plural: str
    values: dict[str, str | int]

    def __new__(cls, template: str, plural: str = "", /, **values: str | int) -> Sentence:
        """Raises KeyError when the template has a place for which there is no value, TypeError
        when there is a plural and ``count`` is not a whole number."""
        count = values.get("count")
        if plural and (not isinstance(count, int) or isinstance(count, bool)):
            raise TypeError("a sentence with a plural needs count, a whole number")
        form = plural if plural and count != 1 else template
        self = super().__new__(cls, form.format_map(values) if values else form)
        self.template, self.plural, self.values = template, plural, values
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[str, str], dict[str, str | int]]:
        return (self.template, self.plural), self.values

    @property
    def number(self) -> int:
        """What decides the plural form."""
        return int(self.values["count"])


def marked(template: str) -> str:
    """``template`` unchanged: marked for xgettext here, made a sentence elsewhere."""
    return template


def counted(one: str, many: str, /, *, count: int, **values: str | int) -> Sentence:
    """A sentence about ``count`` things: ``one`` is the template for 1, ``many`` for the rest."""
    return Sentence(one, many, count=count, **values)


def joined(separator: str, sentences: Iterable[str]) -> Sentence:
    """Sentences in sequence, each translated separately."""
    parts = {f"part{number}": sentence for number, sentence in enumerate(sentences)}
    return Sentence(separator.join(f"{{{name}}}" for name in parts), **parts)


def ended(text: str) -> str:
    """``text`` with a full stop, where it does not end like a sentence."""
    return text if text.endswith((".", "!", "?")) else Sentence("{text}.", text=text)


def all_of(names: Sequence[str]) -> str:
    """``a and b and c``."""
    if len(names) < 2:
        return "".join(names)
    return Sentence("{names} and {last}", names=all_of(names[:-1]), last=names[-1])


def any_of(names: Sequence[str]) -> str:
    """``a or b or c``."""
    if len(names) < 2:
        return "".join(names)
    return Sentence("{names} or {last}", names=any_of(names[:-1]), last=names[-1])


def words_of(text: str) -> list[Any] | None:
    """The template and values of ``text``, as JSON; None for a text that is its own template."""
    return _made_of(text) if isinstance(text, Sentence) and text.values else None


def with_words(data: dict[str, Any], *sentences: str) -> dict[str, Any]:
    """``data`` with the templates and values of its sentences, by field, under ``words``.

    ``sentences`` names the fields. A sentence without values is left out: it is its own template.
    """
    words = {name: made_of for name in sentences if (made_of := words_of(data[name])) is not None}
    return {**data, WORDS: words} if words else data


def with_sentences(data: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``with_words``: ``data`` with its sentences, without ``words``.

    JSON may be from another machine: a template that does not produce the text beside it is
    ignored.
    """
    found = {name: value for name, value in data.items() if name != WORDS}
    words = data.get(WORDS)
    for name, made_of in words.items() if isinstance(words, Mapping) else ():
        sentence = sentence_from(made_of)
        if sentence is not None and sentence == found.get(name):
            found[name] = sentence
    return found


def sentence_from(made_of: Any) -> Sentence | None:
    """The inverse of ``words_of``; None for invalid data."""
    try:
        return _sentence(made_of)
    except (TypeError, ValueError, LookupError, AttributeError):
        return None


def plain(data: Any) -> Any:
    """JSON without any ``words``: for programs, which get English and stable codes."""
    if isinstance(data, dict):
        return {name: plain(value) for name, value in data.items() if name != WORDS}
    return [plain(item) for item in data] if isinstance(data, list | tuple) else data


def _made_of(sentence: Sentence) -> list[Any]:
    """``[template, values]``, and the plural as a third where there is one: earlier versions have
    two, and show the English text if they cannot read it."""
    values = {
        name: _made_of(value) if isinstance(value, Sentence) else value
        for name, value in sentence.values.items()
    }
    return [sentence.template, values, *([sentence.plural] if sentence.plural else [])]


def _sentence(made_of: Any) -> Sentence:
    template, values, *rest = made_of
    [plural] = rest or [""]
    if not _TEMPLATE.fullmatch(template) or not _TEMPLATE.fullmatch(plural):
        raise ValueError("a template with more than the names of its values")
    return Sentence(
        template,
        plural,
        **{
            name: _sentence(value) if isinstance(value, list) else value
            for name, value in values.items()
        },
    )
