"""Lines for systemd's journal, read by a socket in its place. ``python -m tests.machine`` asks a
real journalctl."""

from __future__ import annotations

import array
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from easyapache import journal
from easyapache.journal import Journal, JournalHandler


class Reader:
    """What journald does with a datagram."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.bind(str(path))
        self.channel.settimeout(5)

    def line(self) -> dict[str, list[str]]:
        size = array.array("i").itemsize
        datagram, rights, _, _ = self.channel.recvmsg(1 << 20, socket.CMSG_SPACE(size))
        for _, _, handle in rights:
            with os.fdopen(struct.unpack("i", handle)[0], "rb") as file:
                file.seek(0)
                datagram = file.read()
        return fields(datagram)


def fields(datagram: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    while datagram:
        head, _, rest = datagram.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length + 1 :]
        found.setdefault(name.decode(), []).append(value.decode())
        datagram = rest
    return found


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path / "socket")
    yield reader
    reader.channel.close()


def test_a_line_has_its_fields_and_one_of_them_may_come_twice(reader: Reader) -> None:
    sent = Journal("ea4-mpm-web", str(reader.path)).send(
        "a=b ü", 4, [("EA4_CHANGE", "42"), ("EA4_CHANGE", "0123ab"), ("EA4_REQUEST", "-")]
    )
    assert sent
    assert reader.line() == {
        "MESSAGE": ["a=b ü"],
        "PRIORITY": ["4"],
        "SYSLOG_IDENTIFIER": ["ea4-mpm-web"],
        "EA4_CHANGE": ["42", "0123ab"],
    }


def test_text_of_several_lines_cannot_add_a_field(reader: Reader) -> None:
    Journal("x", str(reader.path)).send("one\nEA4_CHANGE=7\n", 6, [("EA4_REQUEST", "a\nB=c")])
    seen = reader.line()
    assert seen["MESSAGE"] == ["one\nEA4_CHANGE=7\n"]
    assert seen["EA4_REQUEST"] == ["a\nB=c"]
    assert "EA4_CHANGE" not in seen
    assert "B" not in seen


def test_a_line_longer_than_a_datagram_arrives_whole(reader: Reader) -> None:
    text = "x" * 5_000_000
    assert Journal("x", str(reader.path)).send(text)
    assert reader.line()["MESSAGE"] == [text]


def test_a_journal_that_was_started_anew_is_found(reader: Reader) -> None:
    line = Journal("x", str(reader.path))
    assert line.send("one")
    reader.channel.close()
    reader.path.unlink()
    again = Reader(reader.path)
    assert line.send("two")
    assert again.line()["MESSAGE"] == ["two"]
    again.channel.close()


def test_a_journal_that_does_not_read_costs_little_and_is_not_asked_for_a_while(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_PATIENCE", 0.2)
    line = Journal("x", str(reader.path))
    begin = time.monotonic()
    sent = [line.send("x" * 1000) for _ in range(2000)]
    assert not sent[-1]
    assert time.monotonic() - begin < 3


def test_a_journal_that_is_away_is_no_error(tmp_path: Path) -> None:
    assert not Journal("x", str(tmp_path / "nothing")).send("one")


def test_a_record_carries_its_logger_its_request_and_its_change(reader: Reader) -> None:
    record = logging.LogRecord("ea4.access", logging.ERROR, "f", 1, "%s gone", ("it",), None)
    record.request_id, record.change_id = "abc12345", "42"
    about = journal.current_changes.set(("42", "0123ab"))
    try:
        JournalHandler(Journal("x", str(reader.path))).emit(record)
    finally:
        journal.current_changes.reset(about)
    seen = reader.line()
    assert seen["MESSAGE"] == ["it gone"]
    assert seen["PRIORITY"] == ["3"]
    assert seen["LOGGER"] == ["ea4.access"]
    assert seen["EA4_REQUEST"] == ["abc12345"]
    assert seen["EA4_CHANGE"] == ["42", "0123ab"]


def test_what_the_journal_does_not_take_is_written_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = logging.LogRecord("a", logging.INFO, "f", 1, "kept", (), None)
    JournalHandler(Journal("x", str(tmp_path / "nothing"))).emit(record)
    assert capsys.readouterr().err == "kept\n"


def test_standard_error_is_the_journal_where_the_stream_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{seen.st_dev}:{seen.st_ino}")
    assert journal.is_stderr()
    monkeypatch.setenv("JOURNAL_STREAM", f"{seen.st_dev}:{seen.st_ino + 1}")
    assert not journal.is_stderr(), "inherited, and redirected since"
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not journal.is_stderr()
    assert not journal.started_by_systemd()


def test_a_line_is_not_written_twice(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("tests.taken_over")
    logger.handlers = [logging.StreamHandler(), logging.NullHandler()]
    monkeypatch.setattr(journal, "is_stderr", lambda: False)
    assert not journal.take_over([logger.name], logging.Formatter)
    assert len(logger.handlers) == 2
    monkeypatch.setattr(journal, "is_stderr", lambda: True)
    assert journal.take_over([logger.name], logging.Formatter)
    assert [type(one) for one in logger.handlers] == [logging.NullHandler, JournalHandler]


def test_a_message_names_its_change_by_number_and_by_id() -> None:
    assert journal.changes_of({"change": "0123ab", "note": {"number": 42}}) == ("42", "0123ab")
    assert journal.changes_of({"change": "0123ab"}) == ("0123ab",)
    assert journal.changes_of({"note": "no", "change": None}) == ()


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_panels_own_logging_goes_to_the_journal_in_either_format(
    reader: Reader, tmp_path: Path, form: str
) -> None:
    script = (
        "import os\n"
        "seen = os.fstat(2)\n"
        "os.environ['JOURNAL_STREAM'] = f'{seen.st_dev}:{seen.st_ino}'\n"
        "from easyapache import journal\n"
        f"journal.Journal.__init__.__defaults__ = ('', {str(reader.path)!r})\n"
        "import django, logging\n"
        "django.setup()\n"
        "from mpm.web.middleware import current_request_id\n"
        "current_request_id.set('abc12345')\n"
        "logging.getLogger('ea4.test').warning('one line')\n"
    )
    given = {
        "DJANGO_SETTINGS_MODULE": "easyapache.settings",
        "DEBUG": "true",
        "EA4_DATA": str(tmp_path),
        "LOG_FORMAT": form,
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    seen = reader.line()
    assert seen["EA4_REQUEST"] == ["abc12345"]
    assert seen["PRIORITY"] == ["4"]
    [message] = seen["MESSAGE"]
    if form == "json":
        line = json.loads(message)
        assert (line["message"], line["request"]) == ("one line", "abc12345")
    else:
        assert message == "ea4.test: one line"
