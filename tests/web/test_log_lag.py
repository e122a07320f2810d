"""How late the log is: from when the server wrote a line until the panel had it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.test import Client

from mpm import log_window
from mpm.models import Change, LogChunk
from tests.web.conftest import HISTORY, logged, told

HTMX = {"HX-Request": "true"}
WROTE = datetime(2026, 3, 3, 21, 4, 11, 800_000, UTC)


def arrived(change: Change, text: bytes, after: timedelta) -> None:
    """A piece of log that reached the panel so long after WROTE."""
    logged(change, text)
    newest = LogChunk.objects.filter(change=change).latest("offset")
    LogChunk.objects.filter(pk=newest.pk).update(received_at=WROTE + after)


def line(seconds: float, words: str) -> bytes:
    at = (WROTE + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return f"{at} packages  {words}\n".encode()


def test_the_page_and_its_follower_say_how_long_the_newest_piece_took(
    admin: Client, running_change: Change
) -> None:
    arrived(running_change, line(0, "one") + line(0.3, "two"), timedelta(milliseconds=420))
    page = f"{HISTORY}{running_change.pk}/"
    assert "<span data-lag>420 ms</span>" in admin.get(page).content.decode()
    edge = running_change.log_size
    arrived(running_change, b"no time at first\n" + line(5, "x"), timedelta(seconds=6.25))
    answer = admin.get(f"{page}log/?after={edge}", headers=HTMX)
    assert answer["X-Log-Lag"] == "1.2 s"
    told(running_change, outcome="succeeded")
    assert "<span data-lag>1.2 s</span>" in admin.get(page).content.decode()


def test_a_window_that_does_not_end_with_the_newest_piece_says_nothing_of_it(
    admin: Client, running_change: Change
) -> None:
    for number in range(3):
        arrived(running_change, line(number, "x") * 900, timedelta(seconds=number + 1))
    window = log_window.after(running_change, 0)
    assert not window.at_end
    assert window.lag is None
    page = admin.get(f"{HISTORY}{running_change.pk}/?after=0").content.decode()
    assert "<span data-lag></span>" in page
    answer = admin.get(f"{HISTORY}{running_change.pk}/log/?after=0", headers=HTMX)
    assert "X-Log-Lag" not in answer


def test_clocks_that_differ_and_lines_without_a_time_do_no_harm(running_change: Change) -> None:
    arrived(running_change, b"2026-03-03 a day and no zone\n", timedelta(0))
    assert log_window.tail(running_change).lag is None
    arrived(running_change, line(60, "from the future"), timedelta(0))
    assert log_window.tail(running_change).lag == timedelta(0)
