from __future__ import annotations

import pytest

from easyapache.ea4.advice import Answers, recommend, within_memory
from easyapache.ea4.capacity import MIB, Measured, capacities
from easyapache.ea4.mpm import MPM, QOS, RUID2
from tests.pure.servers import event, prefork, with_itk, worker


@pytest.mark.parametrize(
    ("threads", "polling", "mpm"),
    [
        (True, True, MPM.EVENT),
        (True, False, MPM.WORKER),
        (False, False, MPM.PREFORK),
        (False, True, MPM.PREFORK),
    ],
)
def test_the_two_questions_decide(threads: bool, polling: bool, mpm: MPM) -> None:
    facts = {"threads": threads, "safe_thread_polling": polling}
    advice = recommend(prefork(facts=facts))
    assert advice.mpm is mpm
    assert advice.why
    assert advice.detected == {"threads": threads, "safe_polling": polling}
    assert recommend(prefork(), Answers(threads, polling)).mpm is mpm


def test_a_person_knows_better_than_detection() -> None:
    facts = {"threads": True, "safe_thread_polling": True}
    advice = recommend(prefork(facts=facts), Answers(safe_polling=False))
    assert advice.mpm is MPM.WORKER
    assert advice.detected["safe_polling"] is True


def test_where_nobody_can_tell_the_answer_is_event() -> None:
    advice = recommend(event())
    assert (advice.mpm, advice.detected["threads"]) == (MPM.EVENT, None)


def test_what_is_not_thread_safe_means_prefork_and_says_what_would_change_that() -> None:
    advice = recommend(prefork(RUID2, "ea-php74-php"))
    assert advice.mpm is MPM.PREFORK
    assert "php74-php" in advice.why[0]
    assert "event" in advice.why[1]
    assert recommend(with_itk()).mpm is MPM.PREFORK
    assert recommend(worker(QOS)).mpm is MPM.WORKER
    assert recommend(prefork(RUID2)).mpm is MPM.EVENT


def test_without_figures_memory_is_not_considered() -> None:
    profile = prefork("ea-php74-php")
    advice = recommend(profile)
    found = within_memory(advice, profile, MPM.PREFORK, ())
    assert (found.mpm, found.headline, found.why) == (
        MPM.PREFORK,
        "prefork is recommended.",
        advice.why,
    )


@pytest.mark.parametrize(
    ("packages", "runs", "headline"),
    [
        (("ea-php74-php",), MPM.PREFORK, "Stay on prefork until php74-php can be removed."),
        (("ea-php74-php",), MPM.EVENT, "No MPM is recommended: prefork doesn't fit in memory."),
        ((), MPM.PREFORK, "Stay on prefork, with fewer workers."),
    ],
)
def test_what_does_not_fit_in_memory_is_not_recommended(
    packages: tuple[str, ...], runs: MPM, headline: str
) -> None:
    profile = prefork(*packages, facts={"threads": False})
    measured = Measured(
        2048 * MIB, MPM.PREFORK, 30 * MIB, 0, 1024 * MIB, directives={"MaxRequestWorkers": 150}
    )
    found = within_memory(recommend(profile), profile, runs, capacities(measured))
    assert (found.mpm, found.headline) == (None, headline)
    assert "With MaxRequestWorkers at 30 or less it fits." in found.why[-1]
