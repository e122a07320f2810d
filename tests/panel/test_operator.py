"""Whose name a command leaves in the history."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from mpm.cli.local import in_process
from mpm.cli.local.in_process import operator

SOMEBODY = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, 2**32 - 1))


@pytest.fixture(autouse=True)
def became_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As ``su`` and ``setpriv`` leave it: the variables name the panel's account."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "ea4panel")
    login = tmp_path / "loginuid"
    monkeypatch.setattr(in_process, "LOGIN", login)
    return login


def test_it_is_the_account_that_signed_in_whatever_it_became(became_another: Path) -> None:
    became_another.write_text(f"{SOMEBODY.pw_uid}")
    assert operator().name == SOMEBODY.pw_name


def test_it_is_who_used_sudo(became_another: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    became_another.write_text("0")
    monkeypatch.setenv("SUDO_USER", "anna")
    assert operator().name == "anna"


@pytest.mark.parametrize("kept", [None, "4294967295", "", "x", "99999999999999999999"])
def test_where_nobody_signed_in_it_is_the_account_of_the_command(
    became_another: Path, kept: str | None
) -> None:
    if kept is not None:
        became_another.write_text(kept)
    assert operator().name == "ea4panel"
