"""How late the log is: from when the server wrote a line until the panel had it."""

from __future__ import annotations

import re
from datetime import timedelta

from django.test import Client
from django.utils import timezone

from mpm.changes import log_window
from mpm.models import Change
from tests.web.conftest import HISTORY, logged, report_steps

HTMX = {"HX-Request": "true"}
SLACK = timedelta(seconds=5)
"""How much later a line may be here than it was meant to be, on a machine that is busy."""


def line(ago: timedelta, words: str) -> bytes:
    """A line that the server wrote so long ago."""
    at = (timezone.now() - ago).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{at} packages  {words}\n".encode()


def seconds_in(text: str) -> float:
    """``842 ms`` or ``4.2 s`` as seconds."""
    number, unit = text.split()
    return float(number) / (1000 if unit == "ms" else 1)


def test_the_page_and_its_follower_say_how_long_the_newest_piece_took(
    admin: Client, running_change: Change
) -> None:
    first, second = timedelta(milliseconds=300), timedelta(seconds=20)
    logged(running_change, line(first, "one") + line(timedelta(0), "two"))
    page = f"{HISTORY}{running_change.pk}/"
    shown = re.search(r"<span data-lag>([^<]+)</span>", admin.get(page).content.decode())
    assert shown
    assert 0.3 <= seconds_in(shown[1]) < 0.3 + SLACK.total_seconds()
    edge = running_change.log_size
    logged(running_change, b"no time at first\n" + line(second, "x"))
    told_lag = admin.get(f"{page}log/?after={edge}", headers=HTMX)["X-Log-Lag"]
    assert 20 <= seconds_in(told_lag) < 20 + SLACK.total_seconds()
    report_steps(running_change, outcome="succeeded")
    assert f"<span data-lag>{told_lag}</span>" in admin.get(f"{page}?part=log").content.decode()


def test_a_window_that_does_not_end_with_the_newest_piece_says_nothing_of_it(
    admin: Client, running_change: Change
) -> None:
    for _ in range(3):
        logged(running_change, line(SLACK, "x") * 900)
    window = log_window.after(running_change, 0)
    assert not window.at_end
    assert window.lag is None
    page = admin.get(f"{HISTORY}{running_change.pk}/?after=0").content.decode()
    assert "<span data-lag></span>" in page
    answer = admin.get(f"{HISTORY}{running_change.pk}/log/?after=0", headers=HTMX)
    assert "X-Log-Lag" not in answer


def test_clocks_that_differ_and_lines_without_a_time_do_no_harm(running_change: Change) -> None:
    logged(running_change, b"2026-03-03 a day and no zone\n")
    assert log_window.tail(running_change).lag is None
    logged(running_change, line(-timedelta(hours=1), "from the future"))
    assert log_window.tail(running_change).lag == timedelta(0)
