"""``make smoke``, as a person or a pipeline runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from demo.folder import PROJECT
from demo.smoke import CHANGES


@pytest.mark.lab
def test_the_smoke_test_makes_every_change_and_says_so_in_one_line_each() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo.smoke"],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(line["to"], line["to_itk"]) for line in lines] == [(c.mpm, c.itk) for c in CHANGES]
    assert all(line["ok"] and line["state"] == "succeeded" for line in lines)
    assert all(line["refused"] is not None for line in lines), "it was measured"
