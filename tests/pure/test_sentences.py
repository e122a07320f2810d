"""English that remembers what it was made of, as text, over the wire and back."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyapache.ea4.sentences import (
    Sentence,
    all_of,
    any_of,
    joined,
    plain,
    with_sentences,
    with_words,
)

WORDS = st.text(max_size=8)
NAMES = st.sampled_from(["mpm", "name", "count"])


@st.composite
def sentences(draw: st.DrawFn, depth: int = 2) -> Sentence:
    value = st.one_of(WORDS, st.integers(), *([sentences(depth - 1)] if depth else []))
    values = draw(st.dictionaries(NAMES, value, max_size=3))
    around = draw(st.text(alphabet="abc .", max_size=6))
    return Sentence(around + " ".join(f"{{{name}}}" for name in values), **values)


def test_a_sentence_is_its_english() -> None:
    sentence = Sentence("{mpm} needs {count} packages.", mpm="event", count=3)
    assert sentence == "event needs 3 packages."
    assert json.dumps(sentence) == '"event needs 3 packages."'
    assert hash(sentence) == hash("event needs 3 packages.")
    assert Sentence("100 % of {nothing}") == "100 % of {nothing}"
    with pytest.raises(KeyError):
        Sentence("{mpm} needs {count}.", mpm="event")


def test_a_counted_sentence_has_two_forms_in_english() -> None:
    def packages(count: int) -> Sentence:
        return Sentence(
            "{count} package for {mpm}", "{count} packages for {mpm}", count=count, mpm="event"
        )

    assert [packages(count) for count in (0, 1, 2, 21)] == [
        "0 packages for event",
        "1 package for event",
        "2 packages for event",
        "21 packages for event",
    ]
    for wrong in ({}, {"count": "2"}, {"count": True}):
        with pytest.raises(TypeError):
            Sentence("{count} package", "{count} packages", **wrong)


@given(st.integers(min_value=0), WORDS)
def test_a_counted_sentence_survives_json_and_copies(count: int, name: str) -> None:
    sentence = Sentence("{count} file of {name}", "{count} files of {name}", count=count, name=name)
    outer = Sentence("{what}!", what=sentence)
    data = json.loads(json.dumps(with_words({"one": sentence, "two": outer}, "one", "two")))
    back = with_sentences(data)
    for now, then in ((back["one"], sentence), (back["two"].values["what"], sentence)):
        assert (now, now.template, now.plural) == (then, then.template, then.plural)
        assert now.number == count
    copy = pickle.loads(pickle.dumps(sentence))  # noqa: S301  # our own
    assert (copy, copy.plural) == (sentence, sentence.plural)


def test_a_sentence_that_an_earlier_version_has_stored_still_opens() -> None:
    stored = {"message": "1 package", "words": {"message": ["{count} package", {"count": 1}]}}
    back = with_sentences(stored)["message"]
    assert (back, back.template, back.plural) == ("1 package", "{count} package", "")
    assert with_words({"message": back}, "message") == stored


@given(sentences())
def test_what_a_sentence_was_made_of_survives_json_and_copies(said: Sentence) -> None:
    data = json.loads(json.dumps(with_words({"message": said, "n": 1}, "message")))
    assert plain(data) == {"message": said, "n": 1}
    back = with_sentences(data)["message"]
    assert back == said
    if said.values:
        assert (back.template, back.values) == (said.template, said.values)
    else:
        assert "words" not in data
    copy = pickle.loads(pickle.dumps(said))  # noqa: S301  # our own
    assert (copy, copy.template, copy.values) == (said, said.template, said.values)


@pytest.mark.parametrize(
    "words",
    [
        7,
        {"message": 7},
        {"message": ["{other}", {}]},
        {"message": ["{mpm}", {"mpm": "worker"}]},
        {"message": ["{mpm.__class__}", {"mpm": "event"}]},
        {"message": ["event", {"count": 1}, "{count.__class__}"]},
        {"message": ["event", {"count": "1"}, "{count} events"]},
        {"message": ["event", {"count": 2}, "event", "event"]},
        {"message": ["event", {"count": 1}, 7]},
        {"message": ["{mpm:>5}", {"mpm": "event"}]},
        {"message": ["{mpm", {"mpm": "event"}]},
        {"elsewhere": ["{mpm}", {"mpm": "event"}]},
    ],
)
def test_words_that_do_not_give_the_text_beside_them_are_not_believed(words: object) -> None:
    texts = with_sentences({"message": "event", "words": words})
    assert texts == {"message": "event"}
    assert type(texts["message"]) is str


def test_names_are_joined_as_a_person_would() -> None:
    assert all_of(("event",)) == "event"
    assert all_of(("event", "prefork", "worker")) == "event and prefork and worker"
    assert any_of(("event", "worker")) == "event or worker"
    assert joined("; ", [Sentence("{a}!", a=1), "two"]) == "1!; two"
    assert all_of(()) == joined(" ", []) == ""
