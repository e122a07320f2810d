"""On a server with hundreds of accounts nobody but the panel's own reads its files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import override_settings

from easyapache.private_files import make_private, readable_by_others, wrong_account
from mpm.web.exposure_checks import files_are_private
from tests.places import short_folder

TOP = Path(__file__).resolve().parents[2]
OTHER = 12345


def run(*argv: str, var: Path, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv],
        env={"PATH": os.environ["PATH"], "SECRET_KEY": "s", "VAR_DIR": str(var)},
        cwd=TOP,
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )


def modes(*paths: Path) -> list[int]:
    return [path.stat().st_mode & 0o777 for path in paths]


def test_prepare_leaves_a_database_that_only_its_owner_reads(tmp_path: Path) -> None:
    var = tmp_path / "var"
    database = var / "panel.sqlite3"
    assert run("manage.py", "prepare", "--no-static", var=var).returncode == 0
    assert modes(var, database) == [0o700, 0o600]
    var.chmod(0o755)
    beside = [database, var / "panel.sqlite3-wal", var / "panel.sqlite3-shm"]
    for path in beside:
        path.touch()
        path.chmod(0o644)
    assert run("manage.py", "prepare", "--no-static", var=var).returncode == 0
    assert modes(var, database) == [0o700, 0o600]
    assert all(path.stat().st_mode & 0o077 == 0 for path in beside if path.exists())


@pytest.mark.parametrize(
    "started",
    [
        ("-c", "import easyapache.wsgi, os; print(os.umask(0))"),
        ("-c", "import easyapache.asgi, os; print(os.umask(0))"),
        ("manage.py", "shell", "-v", "0", "-c", "import os; print(os.umask(0))"),
    ],
)
def test_every_process_of_the_panel_creates_files_for_itself_alone(
    started: tuple[str, ...], tmp_path: Path
) -> None:
    done = run(*started, var=tmp_path / "var")
    assert done.stdout.strip() == str(0o077), done.stderr


def test_prepare_as_root_leaves_nothing_in_the_folder_of_an_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    var = tmp_path / "var"
    var.mkdir()
    if os.geteuid() != 0:  # then it is the folder of an account that pretends to be root
        monkeypatch.setattr("easyapache.private_files.os.geteuid", lambda: 0)
        assert "not as root" in wrong_account(var)
        return
    os.chown(var, OTHER, OTHER)
    done = run("manage.py", "prepare", var=var)
    assert done.returncode == 2
    assert f"belongs to uid {OTHER}: run this command as" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(var.iterdir()) == []


def test_prepare_by_an_account_that_may_not_write_says_whose_the_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wrong_account(tmp_path) == ""
    assert wrong_account(tmp_path / "not there yet") == ""
    monkeypatch.setattr("easyapache.private_files.os.geteuid", lambda: OTHER)
    monkeypatch.setattr("easyapache.private_files.os.access", lambda *_: False)
    assert f"and uid {OTHER} cannot write" in wrong_account(tmp_path)


def test_a_folder_on_the_way_that_others_cannot_enter_protects_its_files() -> None:
    with short_folder() as place:
        inner = place / "inner"
        inner.mkdir(mode=0o700)
        files = [place / "open", inner / "closed", place / "private"]
        for path in files:
            path.touch()
            path.chmod(0o600 if path.name == "private" else 0o644)
        assert readable_by_others([*files, place / "missing"]) == [place / "open"]


def test_a_folder_that_everybody_shares_is_left_as_it_is(tmp_path: Path) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    for path, mode in ((shared, 0o1777), (own, 0o755)):
        path.mkdir()
        path.chmod(mode)
    make_private([shared, own, tmp_path / "missing"])
    assert shared.stat().st_mode & 0o7777 == 0o1777
    assert own.stat().st_mode & 0o7777 == 0o700


@pytest.mark.django_db
def test_secrets_and_databases_that_others_can_read_are_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with short_folder() as place:
        secret = place / "secret-key"
        secret.write_text("s")
        monkeypatch.setattr(
            "mpm.web.exposure_checks.exposed_database", lambda: [place / "panel.sqlite3"]
        )
        with override_settings(SECRET_FILES={"SECRET_KEY_FILE": secret}):
            secret.chmod(0o644)
            first, second = files_are_private()
            assert (first.id, second.id) == ("easyapache.W001", "easyapache.W002")
            assert "SECRET_KEY_FILE" in second.msg
            secret.chmod(0o640)
            assert [one.id for one in files_are_private()] == ["easyapache.W001"]
    monkeypatch.undo()
    assert files_are_private() == []


def test_a_database_that_the_panel_cannot_write_stops_the_start(tmp_path: Path) -> None:
    """With no rights to write it, signing in would end with an error page."""
    lines = (
        "import os; os.access = lambda *_: False",
        "import easyapache.settings",
    )
    done = run("-c", "; ".join(lines), var=tmp_path)
    assert done.returncode != 0
    assert "cannot be written by" in done.stderr
    assert "chown -R" in done.stderr
