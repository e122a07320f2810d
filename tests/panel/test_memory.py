"""What a process of the panel has loaded is not looked through again, and the rest is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SAY = "import gc; print(gc.isenabled(), gc.get_freeze_count() > 50_000)"


@pytest.mark.parametrize(
    "argv",
    [
        ("-c", f"import easyapache.wsgi; {SAY}"),
        ("-c", f"import django; django.setup(); {SAY}"),
        ("manage.py", "shell", "--no-imports", "-v", "0", "-c", SAY),
    ],
    ids=["the web part", "a worker", "a command"],
)
def test_a_process_that_has_started_looks_through_what_comes_after_and_no_more(
    argv: tuple[str, ...], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=PROJECT,
        env={
            **os.environ,
            "SECRET_KEY": "only for this test",
            "VAR_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "easyapache.settings",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["True", "True"], done.stderr
