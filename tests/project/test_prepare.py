"""From a bare machine to a ready one: which Python the panel is built on."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from bootstrap import prepare


def test_a_virtual_environment_counts_as_the_python_it_was_made_with() -> None:
    assert prepare.same_python(sys.executable)


def test_what_is_no_python_can_be_nobodys(tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    assert prepare.which_python(str(broken)) == ""
    assert prepare.which_python(str(tmp_path / "none")) == ""
    assert not prepare.same_python(str(broken))


def test_a_python_in_a_place_that_is_roots_alone_is_not_everybodys(tmp_path: Path) -> None:
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    program = closed / "python3"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    assert prepare.which_python(str(program))
    assert prepare.everybody_may_run(str(program)) == (os.geteuid() != 0)


def test_the_python_that_runs_here_is_everybodys() -> None:
    """The tests that look at the rights of the panel's parts mean nothing otherwise."""
    assert shutil.which("setpriv")
    assert prepare.everybody_may_run(sys.executable)
