"""However short the lines of a log are, a page never holds more of them than it may; however long
one is, the log can be read past it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpm.changes import log_window
from mpm.models import Change
from tests.web.conftest import HISTORY, logged, report_steps

MOST = 1000
HTMX = {"HX-Request": "true"}
STAMPED = b"2026-03-03T21:04:11.802Z packages  \n"
LOGS = {
    "empty lines": b"\n" * 20_000,
    "stamped empty lines": STAMPED * 9_000,
    "lines of one letter": b"".join(b"%c\n" % (97 + n % 26) for n in range(50_000)),
    "one line longer than two windows": b"a\n" + b"x" * 300_000 + b"\nb\n",
    "a long last line without an end": b"a\n" * 3_000 + b"y" * 200_000,
    "no end of lines at all": b"z" * 250_000,
}


def windows_forward(change: Change) -> list[log_window.Window]:
    found, offset = [], 0
    while offset < change.log_size:
        found.append(log_window.after(change, offset))
        assert found[-1].first == offset
        assert found[-1].next > offset
        offset = found[-1].next
    return found


def windows_backward(change: Change) -> list[log_window.Window]:
    found, edge = [], change.log_size
    while edge > 0:
        found.append(log_window.before(change, edge))
        assert found[-1].next == edge
        assert found[-1].first < edge
        edge = found[-1].first
    return found[::-1]


@pytest.mark.parametrize("kind", LOGS)
def test_windows_of_any_log_join_to_the_whole_of_it_and_none_is_too_long(
    kind: str, running_change: Change
) -> None:
    text = LOGS[kind]
    logged(running_change, text)
    report_steps(running_change, outcome="succeeded")
    for windows in (windows_forward(running_change), windows_backward(running_change)):
        assert all(0 < len(window.lines) <= MOST for window in windows)
        assert [window.first for window in windows] == [
            0,
            *(window.next for window in windows[:-1]),
        ]
        if b"x" * 1000 in text or b"z" in text or b"y" * 1000 in text:
            continue  # lines longer than a window are shown in parts
        offsets = [line.offset for window in windows for line in window.lines]
        begins = [0, *(found.end() for found in re.finditer(b"\n", text))][: len(offsets)]
        assert offsets == begins
        assert len(offsets) == text.count(b"\n")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([0, 0, 0, 1, 40]), max_size=2500), st.integers(1, 5000))
def test_any_cut_of_any_lines_is_whole_lines(lengths: list[int], cut: int) -> None:
    text = b"".join(b"a" * length + b"\n" for length in lengths)
    rows = text.splitlines(keepends=True)
    kept = min(cut, len(rows))
    assert log_window._end_of(text, cut) == len(b"".join(rows[:kept]))
    assert log_window._start_of(text, cut) == (len(text) - len(b"".join(rows[len(rows) - kept :])))


def lines_on(client: Client, address: str) -> int:
    return client.get(address).content.count(b"data-at=")


@pytest.mark.parametrize("kind", LOGS)
def test_no_page_and_no_piece_holds_more_lines_than_it_may(
    kind: str, admin: Client, running_change: Change
) -> None:
    logged(running_change, LOGS[kind])
    middle = running_change.log_size // 2
    page = f"{HISTORY}{running_change.pk}/"
    for query in ("", "?after=0", f"?before={middle}", f"?after={middle}", "?find=a", "?find=y"):
        assert lines_on(admin, page + query) <= MOST, query
        assert lines_on(admin, f"{page}log/{query}") <= MOST, query


def test_what_is_looked_for_is_shown_among_thousands_of_empty_lines(
    admin: Client, running_change: Change
) -> None:
    logged(running_change, b"\n" * 30_000 + b"Error: it is here\n" + b"\n" * 30_000)
    for query in ("?find=it+is+here", "?error=first"):
        page = admin.get(f"{HISTORY}{running_change.pk}/{query}").content.decode()
        lines = re.findall(r'<div class="([^"]*)"\s+data-at', page)
        assert len(lines) == MOST
        assert lines.index("line bad sought") == log_window.LINES_ABOVE


def test_a_page_without_a_script_reads_on_from_window_to_window(
    admin: Client, running_change: Change
) -> None:
    logged(running_change, b"\n" * 5_500)
    report_steps(running_change, outcome="succeeded")
    address, seen = f"{HISTORY}{running_change.pk}/?after=0", 0
    for _ in itertools.repeat(None, 6):
        page = admin.get(address).content.decode()
        seen += page.count("data-at=")
        later = re.search(r'href="(\?after=\d+)#log" data-later', page)
        if later is None:
            break
        address = f"{HISTORY}{running_change.pk}/{later[1]}"
    assert seen == 5_500


def test_a_follower_of_short_lines_is_told_that_there_is_more(
    admin: Client, running_change: Change
) -> None:
    logged(running_change, b"\n" * 2_500)
    report_steps(running_change, outcome="succeeded")
    edge, ended, pieces = 0, "0", []
    while ended == "0":
        answer = admin.get(f"{HISTORY}{running_change.pk}/log/?after={edge}", headers=HTMX)
        pieces.append(answer.content.count(b"data-at="))
        edge, ended = int(answer["X-Log-Next"]), answer["X-Log-Ended"]
    assert pieces == [1000, 1000, 500]


def noisy(size: int) -> bytes:
    """Lines of all lengths, some of them longer than a window, with three that are looked for."""
    lengths = itertools.cycle((0, 3, 60, 200, 0, 9_000, 1, 45))
    rows, total = [], 0
    while total < size:
        rows.append(b"a" * next(lengths))
        total += len(rows[-1]) + 1
    for place in (5, len(rows) // 2, len(rows) - 5):
        rows.insert(place, b"here it is")
    rows.insert(len(rows) // 3, b"b" * 130_000 + b"needle" + b"b" * 130_000)
    return b"\n".join(rows) + b"\n"


def test_every_place_is_found_in_one_query_with_the_lines_around_it(
    running_change: Change, django_assert_num_queries: Callable[[int], Any]
) -> None:
    text = noisy(700_000)
    logged(running_change, text)
    places = [found.start() for found in re.finditer(b"here it is", text)]
    behind = None
    for place in places:
        with django_assert_num_queries(1):
            found = log_window.search(running_change, "HERE it is", behind)
        assert found.offset == place
        offsets = [line.offset for line in found.window.lines]
        assert place in offsets
        assert found.window == around(text, place, running_change)
        behind = found.offset
    with django_assert_num_queries(2):
        assert log_window.search(running_change, "here it is", behind).offset == places[0]
    with django_assert_num_queries(2):
        nothing = log_window.search(running_change, "nowhere", behind)
    assert nothing.offset is None
    assert nothing.window == log_window.tail(running_change)
    with django_assert_num_queries(1):
        assert log_window.search(running_change, "nowhere").window == nothing.window
    with django_assert_num_queries(1):
        assert log_window.first_error(running_change).window == nothing.window


def around(text: bytes, place: int, change: Change) -> log_window.Window:
    """The window around a line, as the whole log in memory gives it."""
    begins = [0, *(found.end() for found in re.finditer(b"\n", text))]
    start = max(0, place - log_window.ABOVE)
    first = start if start == 0 else next(at for at in begins if at > start)
    above = [at for at in begins if first <= at < place][-log_window.LINES_ABOVE :]
    first = above[0] if above else place
    last = max(at for at in begins if at <= start + log_window.WINDOW)
    return log_window.Window(
        tuple(
            log_window.parse_line(text[at : text.index(b"\n", at)], at)
            for at in begins
            if first <= at < last
        )[:MOST],
        first,
        last,
        change.log_size,
    )


def test_a_line_longer_than_a_window_is_found_too(running_change: Change) -> None:
    text = noisy(700_000)
    logged(running_change, text)
    found = log_window.search(running_change, "needle")
    assert found.offset == text.rindex(b"\n", 0, text.index(b"needle")) + 1
    assert found.offset in [line.offset for line in found.window.lines]
