"""The log of a change: in windows, byte for byte, however long it is."""

from __future__ import annotations

import time

from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from mpm.changes import log_window
from mpm.changes.log_window import parse_line
from mpm.models import Change
from tests.web.conftest import HISTORY, logged, report_steps

STAMP = "2026-03-03T21:04:11.802Z packages  "


def long_log(lines: int) -> bytes:
    return b"".join(f"{STAMP}Installing number {n}\n".encode() for n in range(lines))


def test_the_windows_of_a_log_join_to_the_whole_of_it(running_change: Change) -> None:
    text = long_log(9000) + b"the last line has no end"
    logged(running_change, text)
    report_steps(running_change, outcome="succeeded")
    seen, offset = [], 0
    while offset < running_change.log_size:
        window = log_window.after(running_change, offset)
        assert window.first == offset
        seen += [line.text for line in window.lines]
        offset = window.next
    assert len(seen) == 9001
    assert seen[0] == "Installing number 0"
    assert seen[-1] == "the last line has no end"
    backwards: list[str] = []
    edge = running_change.log_size
    while edge > 0:
        window = log_window.before(running_change, edge)
        backwards = [line.text for line in window.lines] + backwards
        edge = window.first
    assert backwards == seen


def test_an_unfinished_line_waits_for_its_end(running_change: Change) -> None:
    logged(running_change, STAMP.encode() + b"Instal")
    assert log_window.tail(running_change).lines == ()
    logged(running_change, b"ling\n")
    assert [line.text for line in log_window.after(running_change, 0).lines] == ["Installing"]


def test_search_finds_line_after_line_and_the_first_error(running_change: Change) -> None:
    text = long_log(5000) + f"{STAMP}Error: Transaction FAILED\n".encode() + long_log(5000)
    logged(running_change, text)
    first = log_window.search(running_change, "number 4999").offset
    assert first is not None
    second = log_window.search(running_change, "NUMBER 4999", first).offset
    assert second is not None
    assert second > first
    assert log_window.search(running_change, "number 4999", second).offset == first
    assert log_window.search(running_change, "number 5000").offset is None
    error = log_window.first_error(running_change)
    assert error.offset == text.index(STAMP.encode() + b"Error")
    assert error.offset in [line.offset for line in error.window.lines]


def test_pages_show_the_end_the_error_or_what_was_searched(
    admin: Client, running_change: Change
) -> None:
    logged(running_change, long_log(8000) + f"{STAMP}fatal: <b>no space</b>\n".encode())
    address = f"{HISTORY}{running_change.pk}/"
    assert "&lt;b&gt;no space" in admin.get(address).content.decode()
    sought = admin.get(f"{address}?find=number+17").content.decode()
    assert 'class="line sought"' in sought
    assert "Installing number 17<" in sought
    assert 'class="line bad sought"' in admin.get(f"{address}?error=first").content.decode()
    assert "No log lines match" in admin.get(f"{address}?find=nowhere").content.decode()
    assert sought.count('class="line') <= 2000


def test_the_raw_log_is_the_log_byte_for_byte(admin: Client, running_change: Change) -> None:
    text = bytes(range(256)) * 700
    logged(running_change, text)
    answer = admin.get(f"{HISTORY}{running_change.pk}/log.txt")
    assert answer.getvalue() == text
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_fifty_megabytes_do_not_choke_the_page(admin: Client, running_change: Change) -> None:
    logged(running_change, long_log(50 * 1024 * 1024 // len(long_log(1)) - 1))
    began = time.monotonic()
    page = admin.get(f"{HISTORY}{running_change.pk}/").content
    assert time.monotonic() - began < 2
    assert len(page) < 600_000
    assert page.count(b'class="line') <= 2000


def test_the_follower_gets_only_what_is_new(admin: Client, running_change: Change) -> None:
    logged(running_change, long_log(3))
    address = f"{HISTORY}{running_change.pk}/log/"
    first = admin.get(f"{address}?after=0", headers={"HX-Request": "true"})
    assert first.content.count(b'class="line"') == 3
    edge = first["X-Log-Next"]
    assert int(edge) == running_change.log_size
    again = admin.get(f"{address}?after={edge}", headers={"HX-Request": "true"})
    assert again.content.strip() == b""
    assert again["X-Log-Ended"] == "0"
    report_steps(running_change, outcome="succeeded")
    end = admin.get(f"{address}?after={edge}", headers={"HX-Request": "true"})
    assert end["X-Log-Ended"] == "1"


@given(st.binary(max_size=300))
def test_any_line_can_be_read(row: bytes) -> None:
    line = parse_line(row.replace(b"\n", b""), 7)
    assert line.offset == 7
    assert isinstance(line.text, str)
