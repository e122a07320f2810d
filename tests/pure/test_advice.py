from __future__ import annotations

import pytest

from easyapache.ea4.advice import Answers, recommend
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
