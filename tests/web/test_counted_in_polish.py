"""Counted sentences in a language with three plural forms, read by gettext from a Polish catalog.

The catalog is in ``tests/web/polish``: ``msgfmt -o django.mo django.po`` compiles it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import override_settings
from django.utils.translation import override

from easyapache.agent.change.progress import interruption_sentence, moves_of, succeeded_sentence
from easyapache.ea4.profile import Package, Transaction
from easyapache.ea4.protocol import ChangeRequest, Goal, InterruptionReport
from easyapache.ea4.sentences import Sentence, counted, with_sentences, with_words
from mpm.web.translation import in_words

POLISH = Path(__file__).parent / "polish"


@pytest.fixture(autouse=True)
def polish() -> Iterator[None]:
    with override_settings(LOCALE_PATHS=[POLISH]), override("pl"):
        yield


def packages(count: int) -> tuple[Package, ...]:
    return tuple(Package(f"ea-x{number}", "1", "1", "noarch") for number in range(count))


def moves(installed: int, removed: int) -> str:
    return in_words(moves_of(Transaction(packages(installed), packages(removed))))


def test_packages_are_counted_in_three_forms() -> None:
    assert moves(1, 2) == "zainstalowano 1 pakiet, usunięto 2 pakiety"
    assert moves(3, 5) == "zainstalowano 3 pakiety, usunięto 5 pakietów"
    assert moves(12, 22) == "zainstalowano 12 pakietów, usunięto 22 pakiety"
    assert moves(0, 21) == "zainstalowano 0 pakietów, usunięto 21 pakietów"


@pytest.mark.parametrize(("count", "noun"), [(1, "witrynę"), (4, "witryny"), (11, "witryn")])
def test_sites_are_counted_in_three_forms(count: int, noun: str) -> None:
    sentence = counted(
        "{count} site checked. No problems found.",
        "{count} sites checked. No problems found.",
        count=count,
    )
    assert in_words(sentence) == f"Sprawdzono {count} {noun}. Nie znaleziono problemów."


@pytest.mark.parametrize(("count", "noun"), [(1, "próba"), (24, "próby"), (25, "prób")])
def test_probes_are_counted_in_three_forms(count: int, noun: str) -> None:
    measured = InterruptionReport(probes=count, refused=1, reset=0, longest_wait_ms=7.4)
    assert in_words(interruption_sentence(measured)) == (
        f"{count} {noun}: odrzucone 1, zerwane 0. Najdłuższe oczekiwanie: 7 ms."
    )


@pytest.mark.parametrize(("count", "noun"), [(1, "proces"), (2, "procesy"), (112, "procesów")])
def test_the_form_survives_the_way_over_json(count: int, noun: str) -> None:
    sentence = counted("{count} process", "{count} processes", count=count)
    stored = json.loads(json.dumps(with_words({"seen": sentence}, "seen")))
    assert in_words(with_sentences(stored)["seen"]) == f"{count} {noun}"


def test_a_counted_sentence_within_another_keeps_its_form() -> None:
    request = ChangeRequest(
        change="0" * 32,
        server="web01",
        mpm="event",
        itk=False,
        goal=Goal((), ()),
        transaction=Transaction(packages(2), packages(1)),
    )
    assert in_words(succeeded_sentence(request, None)) == (
        "Serwer używa teraz event: zainstalowano 2 pakiety, usunięto 1 pakiet."
    )


def test_a_count_that_is_not_in_the_catalog_is_said_in_english() -> None:
    assert in_words(counted("{count} cat", "{count} cats", count=2)) == "2 cats"
    assert in_words(Sentence("{count} cat", count=2)) == "2 cat"
