"""What earlier versions stored is shown in today's words, and in the reader's language."""

from __future__ import annotations

import json
from string import Formatter

import pytest
from django.utils.translation import override

from easyapache.ea4.sentences import Sentence, with_sentences, with_words
from mpm.web.former_sentences import _PAIRS, in_todays_words
from mpm.web.translation import in_words


def filled(template: str) -> Sentence:
    names = {name for _, name, _, _ in Formatter().parse(template) if name}
    return Sentence(template, **dict.fromkeys(names, 2))


@pytest.mark.parametrize("pair", _PAIRS, ids=lambda pair: pair[0][:40])
def test_every_former_sentence_is_said_in_todays_words(pair: tuple[str, str]) -> None:
    then, now = pair
    stored = json.loads(json.dumps(with_words({"text": filled(then)}, "text")))
    text = with_sentences(stored)["text"]
    assert in_words(text) == filled(now)
    with override("de"):
        german = in_words(text)
    assert german not in (filled(then), filled(now)), "there is a German sentence"
    assert "{" not in german


@pytest.mark.parametrize(
    ("then", "now", "german"),
    [
        (
            Sentence(
                "The server now runs {mpm}: {came} packages came, {left} left.",
                mpm="event",
                came=3,
                left=1,
            ),
            "The server now runs event: 3 packages installed, 1 package removed.",
            "Auf dem Server läuft jetzt event: 3 Pakete installiert, 1 Paket entfernt.",
        ),
        (
            Sentence("{count} observations are as they should be.", count=22),
            "22 of 22 checks passed.",
            "22 von 22 Prüfungen bestanden.",
        ),
        (
            "1 address asked; nothing stands in the way.",
            "1 site checked. No problems found.",
            "1 Website geprüft. Keine Probleme gefunden.",
        ),
        (
            Sentence("Nothing was touched. {why}", why=Sentence("There is nothing to do.")),
            "Nothing was changed. No changes needed.",
            "Nichts wurde geändert. Keine Änderungen nötig.",
        ),
    ],
)
def test_counts_and_sentences_within_sentences_too(then: str, now: str, german: str) -> None:
    assert in_words(then) == now
    with override("de"):
        assert in_words(then) == german


def test_a_former_sentence_with_other_values_stays_as_it_is() -> None:
    strange = Sentence("{count} observations are as they should be.", count="many")
    assert in_todays_words(strange) is strange
    assert in_words("Anything else.") == "Anything else."


def test_no_former_sentence_is_one_of_today() -> None:
    assert not {then for then, _ in _PAIRS} & {now for _, now in _PAIRS}
