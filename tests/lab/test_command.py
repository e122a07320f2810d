"""The lab from a shell, and what it asks of the machine."""

from __future__ import annotations

import json
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from lab import system

PROJECT = Path(__file__).resolve().parents[2]


def _lab(*arguments: str, folder: Path) -> dict[str, Any]:
    out = StringIO()
    call_command("lab", *arguments, "--json", "--folder", str(folder), stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


@pytest.mark.lab
def test_up_status_reset_and_down_tell_what_is_installed_and_what_runs(lab_folder: Path) -> None:
    folder = lab_folder / "lab"
    try:
        up = _lab("up", "--stock", "minimal", folder=folder)
        assert (up["installed"], up["running"], up["itk"]) == ("prefork", "prefork", False)
        assert up["address"].startswith("http://127.0.0.1:")
        assert up["root"] == str(folder / "root")
        assert _lab("status", folder=folder) == up
        again = _lab("reset", "--stock", "mpm_itk", folder=folder)
        assert (again["installed"], again["running"], again["itk"]) == ("prefork", "prefork", True)
    finally:
        down = _lab("down", folder=folder)
    assert (down["running"], down["pid"]) == (None, None)
    with pytest.raises(SystemExit):
        _lab("status", folder=folder)


@pytest.mark.lab
def test_up_with_another_stock_changes_nothing_and_names_reset(lab_folder: Path) -> None:
    folder = lab_folder / "lab"
    try:
        _lab("up", "--stock", "minimal", folder=folder)
        with pytest.raises(CommandError, match="lab reset --stock worker"):
            _lab("up", "--stock", "worker", folder=folder)
        assert _lab("status", folder=folder)["installed"] == "prefork"
    finally:
        _lab("down", folder=folder)


def test_where_there_is_no_lab_the_command_says_how_to_make_one(tmp_path: Path) -> None:
    for action in ("status", "down", "reset"):
        with pytest.raises(CommandError, match=r"create one: manage[.]py lab up"):
            _lab(action, folder=tmp_path)


def test_an_unknown_action_or_stock_is_an_argument_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="invalid choice"):
        _lab("explode", folder=tmp_path)
    with pytest.raises(CommandError, match="invalid choice"):
        _lab("up", "--stock", "fast", folder=tmp_path)


def test_the_list_of_system_packages_needs_no_virtual_environment() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-s", "-m", "lab.system", "--list"],
        cwd=PROJECT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == list(system.distribution().packages)
    assert {"dnf", "openssl"} <= set(done.stdout.split())


def test_this_machine_lacks_nothing() -> None:
    assert system.missing() == []
    assert system.main(["--check"]) == 0
    assert system.main(["--nonsense"]) == 2


def test_what_is_missing_is_told_with_the_command_that_brings_it() -> None:
    place = system.Distribution(
        name="Debian GNU/Linux 12 (bookworm)",
        httpd=Path("/nonexistent/apache2"),
        modules=Path("/nonexistent"),
        packages=("apache2-bin",),
        install_command=("apt-get", "install", "-y"),
    )
    lacks = system.missing(place)
    assert "Apache's /nonexistent/apache2" in lacks
    assert "Apache's mod_mpm_event.so" in lacks
    explanation = system.explain(lacks, place)
    assert explanation.endswith("As root: apt-get install -y apache2-bin")
