"""What visitors noticed of a change: added up, told, and learned from; never made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from easyapache.ea4.mpm import Choice
from mpm.changes.services.record import record_reports
from mpm.changes.services.request import request_change
from mpm.history.prediction import predicted
from mpm.history.story import story
from mpm.models import Change
from mpm.servers.models import Server
from tests.panel.reports import ADMIN, after, outcome, report, step

WHOLE = {"probes": 200, "refused": 0, "reset": 0, "longest_wait_ms": 12.0, "partial": False}
BAD = {**WHOLE, "refused": 7, "reset": 2, "longest_wait_ms": 800.0}
GAPS = {**WHOLE, "partial": True}
UNKNOWN = {**WHOLE, "probes": 0, "refused": None, "reset": None, "longest_wait_ms": None}
SILENT = {**UNKNOWN, "refused": 0, "reset": 0, "longest_wait_ms": 0.0}
"""As agents used to say that they had not measured."""

Ended = Callable[..., Change]


@pytest.fixture
def ended(known_server: Callable[..., Server]) -> Ended:
    """A change in which these interruptions were told before its outcome."""

    def make(*interruptions: dict[str, Any], how: str = "restored", said: str = "") -> Change:
        change = request_change(known_server(), Choice.parse("event"), actor=ADMIN)
        reports = [step(1, "preflight")]
        reports += [report(n, "interruption", **one) for n, one in enumerate(interruptions, 2)]
        profile = after(change) if how == "succeeded" else None
        words = {"sentence": said} if said else {}
        reports.append(outcome(len(reports) + 1, how, profile, **words))
        record_reports("web01", change.uuid, reports)
        change.refresh_from_db()
        return change

    return make


@pytest.mark.parametrize(
    ("told", "refused", "wait"),
    [
        ([WHOLE], 0, 12.0),
        ([UNKNOWN], None, None),
        ([SILENT], None, None),
        ([BAD, WHOLE], 9, 800.0),
        ([WHOLE, BAD], 9, 800.0),
        ([WHOLE, UNKNOWN], None, 12.0),
        ([UNKNOWN, WHOLE], None, 12.0),
        ([BAD, UNKNOWN], 9, 800.0),
        ([UNKNOWN, BAD], 9, 800.0),
    ],
)
def test_the_restarts_of_a_change_add_up_and_what_is_unknown_does_not_count_as_none(
    ended: Ended, told: list[dict[str, Any]], refused: int | None, wait: float | None
) -> None:
    change = ended(*told)
    assert (change.refused, change.longest_wait_ms) == (refused, wait)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([WHOLE], "No connections were refused. Longest wait: 12 ms."),
        ([BAD, WHOLE], "9 probe connections were refused or reset. Longest wait: 800 ms."),
        ([UNKNOWN], "Visitor impact wasn’t measured."),
        ([GAPS], "No connections were refused while measured (with gaps)"),
        ([GAPS, WHOLE], "No connections were refused while measured (with gaps)"),
    ],
)
def test_the_story_claims_what_was_measured_and_nothing_else(
    ended: Ended, told: list[dict[str, Any]], words: str
) -> None:
    sentences = story(ended(*told))
    assert any(words in sentence for sentence in sentences)
    assert words.startswith("No connections were refused.") or not any(
        "No connections were refused." in sentence for sentence in sentences
    )


def test_a_cause_that_speaks_of_refusing_does_not_hide_what_visitors_noticed(ended: Ended) -> None:
    change = ended(BAD, said="It was undone. Reason: site x: saw connection refused.")
    assert any("9 probe connections" in sentence for sentence in story(change))


def test_nothing_is_predicted_from_what_was_not_measured(ended: Ended) -> None:
    change = ended(UNKNOWN, how="succeeded")
    assert change.server is not None
    assert predicted(change.server).changes == 0


@pytest.mark.parametrize(
    ("told", "tag"),
    [
        (WHOLE, "No connections refused"),
        (UNKNOWN, "not measured"),
        (GAPS, "measured with gaps"),
        (BAD, "7 refused, 2 reset"),
    ],
)
def test_the_page_says_how_sure_it_is(
    ended: Ended, admin_client: Client, told: dict[str, Any], tag: str
) -> None:
    change = ended(told, how="succeeded")
    address = f"{reverse('change', args=[change.pk])}?part=impact"
    page = admin_client.get(address).content.decode()
    assert tag in page
    assert ("No connections refused" in page) is (told is WHOLE)
