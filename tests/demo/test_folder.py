"""Where a panel on one machine keeps its data, and who can read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo.account import Account
from demo.adoption import adopt_environment
from demo.folder import OPEN_PLACE, Folder, data_folder, give, write_private
from tests.places import short_folder


@pytest.fixture(autouse=True)
def no_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EA4_DATA", raising=False)


def test_the_data_is_in_the_project_where_everybody_may_enter_it() -> None:
    with short_folder() as project:
        assert data_folder(project) == project / "var"


def test_a_checkout_that_is_roots_alone_keeps_its_data_elsewhere(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    expected = OPEN_PLACE if os.geteuid() == 0 else tmp_path / "var"
    assert data_folder(tmp_path) == expected


def test_what_was_named_counts_before_all_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EA4_DATA", str(tmp_path / "mine"))
    assert data_folder() == tmp_path / "mine"


def test_a_secret_is_made_once_and_read_by_nobody_else(tmp_path: Path) -> None:
    folder = Folder.open(tmp_path)
    first = folder.secret("secret-key").read_text()
    assert len(first) > 50
    assert folder.secret("secret-key").read_text() == first
    assert folder.secret("secret-key").stat().st_mode & 0o077 == 0
    assert folder.panel.stat().st_mode & 0o077 == 0


def test_a_secret_that_a_power_cut_emptied_is_made_anew(tmp_path: Path) -> None:
    folder = Folder.open(tmp_path)
    path = folder.secret("secret-key")
    path.write_text("")
    assert len(folder.secret("secret-key").read_text()) > 50
    assert path.stat().st_mode & 0o077 == 0


def test_giving_a_folder_away_never_follows_a_link_out_of_it(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.write_text("somebody else's")
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "file").write_text("ours")
    me = (os.geteuid(), os.getegid())
    account = Account("somebody", 12345, 12345) if me[0] == 0 else Account("me", *me)
    before = outside.stat()
    give(inside, account)
    assert outside.stat().st_uid == before.st_uid
    assert (inside / "file").stat().st_uid == account.uid


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "private"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o077 == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["private"]


def test_a_shell_means_the_panel_of_the_data_folder_and_never_overrides_a_choice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EA4_DATA", str(tmp_path))
    Folder.open(tmp_path).write_environment({"SECRET_KEY_FILE": "/a", "REDIS_URL": "redis://b"})
    shell: dict[str, str] = {"REDIS_URL": "redis://mine"}
    adopt_environment(shell, make=False)
    assert shell == {"REDIS_URL": "redis://mine", "SECRET_KEY_FILE": "/a"}
    own = {"SECRET_KEY": "mine"}
    adopt_environment(own, make=False)
    assert own == {"SECRET_KEY": "mine"}
