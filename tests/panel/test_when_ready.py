"""A part of the panel starts once there is a panel for it, whatever was started first."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.panel_fixtures import PROJECT


def environment(var: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": "s",
        "VAR_DIR": str(var),
        "REDIS_URL": "memory://",
    }


def manage(*words: str, var: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=PROJECT,
        env=environment(var),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_part_waits_for_the_tables_and_then_is_the_command(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    waiting = subprocess.Popen(
        [
            *(sys.executable, "manage.py", "when_ready", "--within", "110", "--"),
            *("sh", "-c", 'echo "$$ $1" > "$2"', "sh", "--option", str(begun)),
        ],
        cwd=PROJECT,
        env=environment(tmp_path / "var"),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    assert "Waiting for manage.py prepare" in waiting.stderr.readline()
    time.sleep(0.5)
    assert not begun.exists()
    assert manage("prepare", "--no-static", var=tmp_path / "var").returncode == 0
    assert waiting.wait(110) == 0
    # The command has taken the place of the process that waited: signals reach it.
    assert begun.read_text() == f"{waiting.pid} --option\n"


def test_a_wait_has_an_end(tmp_path: Path) -> None:
    done = manage("when_ready", "--within", "1", "--", "true", var=tmp_path)
    assert done.returncode == 4
    assert "manage.py prepare" in done.stderr


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    manage("prepare", "--no-static", var=tmp_path)
    done = manage("when_ready", "--", "no-such-command", var=tmp_path)
    assert (done.returncode, "no-such-command" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr
    assert manage("when_ready", var=tmp_path).returncode == 2
