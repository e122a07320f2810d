"""What the command line says when database or settings are not there: a sentence, status 4."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from easyapache.unavailable import PREPARE

TOP = Path(__file__).resolve().parents[2]
NOWHERE = "postgres://panel:hunter2@127.0.0.1:1/panel"
"""Nobody listens at port 1."""


def environment(var: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "SECRET_KEY": "s", "VAR_DIR": str(var), **more}


def manage(*argv: str, var: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *argv],
        env=environment(var, **more),
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def one_sentence(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 4, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ("mpm", "status"),
        ("mpm", "plan", "event"),
        ("mpm", "history"),
        ("mpm", "doctor"),
        ("mpm", "token", "list"),
        ("pulse", "control"),
    ],
)
def test_a_database_that_was_never_prepared_is_said_in_a_sentence(
    argv: tuple[str, ...], tmp_path: Path
) -> None:
    one_sentence(manage(*argv, var=tmp_path), PREPARE)


def test_a_program_gets_one_json_value_of_it(tmp_path: Path) -> None:
    done = manage("mpm", "status", "--json", var=tmp_path)
    assert done.returncode == 4
    assert json.loads(done.stdout)["code"] == "no_database"


def test_a_database_that_cannot_be_reached_is_said_in_a_sentence(tmp_path: Path) -> None:
    done = manage("mpm", "history", var=tmp_path, DATABASE_URL=NOWHERE)
    one_sentence(done, "PostgreSQL cannot be reached")


def test_prepare_waits_for_its_database_and_says_so(tmp_path: Path) -> None:
    done = manage("prepare", "--no-static", "--wait", "1", var=tmp_path, DATABASE_URL=NOWHERE)
    one_sentence(done, "PostgreSQL cannot be reached")
    assert done.stderr.count("Waiting for the database, 1 seconds at most") == 1


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 500]
)
def test_a_damaged_database_is_said_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "panel.sqlite3").write_bytes(content)
    for argv in (("mpm", "history"), ("prepare", "--no-static")):
        one_sentence(manage(*argv, var=tmp_path), "restore it from a backup")


def test_a_setting_that_is_missing_is_said_in_a_sentence(tmp_path: Path) -> None:
    done = manage("mpm", "history", var=tmp_path, SECRET_KEY="", EA4_DATA=str(tmp_path))
    one_sentence(done, "SECRET_KEY is not set")
    done = manage("prepare", var=tmp_path, HTTPS="maybe")
    one_sentence(done, "HTTPS='maybe'")


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    one_sentence(manage("mpm", "history", var=tmp_path / "file" / "var"), "Set VAR_DIR")


def test_whoever_stops_reading_prepare_gets_no_traceback(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "manage.py", "prepare", "--no-static", "--first-accounts"],
        env=environment(tmp_path),
        cwd=TOP,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 128 + signal.SIGPIPE
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


def test_ctrl_c_ends_prepare_without_a_traceback(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "manage.py", "prepare", "--no-static"],
        env=environment(tmp_path, DATABASE_URL=NOWHERE),
        cwd=TOP,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        while "Waiting" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert process.returncode == 130
    assert errors == "Interrupted.\n"
