"""The lab works for an ordinary user, as far as rpm and httpd let it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).resolve().parents[2]
NOBODY = 65534
PYTHONS = (f"/usr/bin/python3.{sys.version_info.minor}", "/usr/bin/python3")
"""One that everybody may run: the virtual environment's own may lie in somebody's home. It is of
the same version, because msgspec is compiled for one."""

_PROGRAM = """
import os, sys
from pathlib import Path
from lab.process import LabError
from lab.server import Lab

assert os.geteuid() != 0
try:
    lab = Lab.create(Path(sys.argv[1]), "minimal")
except LabError as error:
    print("refused", error)
    raise SystemExit(0)
try:
    lab.up()
    lab.dnf("-y", "install", "ea-apache24-mod_mpm_event", "--allowerasing")
    lab.down().up()
    print("running", lab.status().running)
    print("answers", *(lab.fetch(site).status for site in lab.sites))
    lab.down()
    lab.dnf("-y", "install", "ea-apache24-mod_mpm_itk", "--allowerasing")
    try:
        lab.up()
    except LabError as error:
        print("itk", error)
finally:
    lab.down()
"""


def test_an_ordinary_user_has_a_whole_lab_except_itk(lab_folder: Path) -> None:
    """Runs a copy of the project's platform, because the checkout may be closed to others."""
    for name in ("easyapache", "lab"):
        unneeded = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, lab_folder / name, ignore=unneeded)
    # The one package beside the standard library that the platform needs.
    shutil.copytree(Path(msgspec.__file__).parent, lab_folder / "msgspec")
    home = lab_folder / "home"
    home.mkdir()
    become: list[str] = []
    if os.geteuid() == 0:
        os.chown(home, NOBODY, NOBODY)
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    done = subprocess.run(
        [
            *become,
            next(path for path in PYTHONS if Path(path).exists()),
            "-c",
            _PROGRAM,
            str(home / "lab"),
        ],
        cwd=lab_folder,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    description = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    if "refused" in description:  # a machine without user namespaces: then it must say just that
        assert "user namespaces are disabled" in description["refused"]
        return
    assert description["running"] == "event"
    assert description["answers"] == "200 200 200 301 200"
    assert "requires root" in description["itk"]
