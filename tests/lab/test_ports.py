"""No two labs of one user have a port in common."""

from __future__ import annotations

import json
import random
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

import pytest

from lab import ports
from lab.ports import claim_ports, keep_ports
from lab.process import LabError
from lab.website import Ports
from tests.labs import MakeLab


def claimed(folder: Path, cache: Path) -> set[int]:
    folder.mkdir()
    return set(astuple(claim_ports(folder, cache)))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """So few ports that labs would soon have the same by chance."""
    monkeypatch.setattr(ports, "HIGHEST", ports.LOWEST + 39)
    return 40


def test_labs_that_are_down_keep_their_ports(tmp_path: Path, few: int) -> None:
    taken: set[int] = set()
    for number in range(8):
        mine = claimed(tmp_path / f"lab{number}", tmp_path / "cache")
        assert len(mine) == 2
        assert not mine & taken
        taken |= mine


def test_labs_made_at_the_same_time_have_different_ports(tmp_path: Path, few: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: claimed(tmp_path / f"lab{n}", tmp_path / "cache"), range(8)))
    assert len(set().union(*made)) == 16


def test_the_ports_of_a_lab_that_is_gone_are_given_back(
    tmp_path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_BEING_MADE", 0.0)
    for number in range(few):
        lab = tmp_path / f"lab{number}"
        claimed(lab, tmp_path / "cache")
        lab.rmdir()


def test_when_no_port_is_left_it_is_said(tmp_path: Path, few: int) -> None:
    def one_after_another() -> None:
        for number in range(few):
            claimed(tmp_path / f"lab{number}", tmp_path / "cache")

    with pytest.raises(LabError, match="all ports from 20000 to 20039 are taken"):
        one_after_another()


def test_a_lab_that_is_made_again_in_its_folder_takes_no_more_ports(
    tmp_path: Path, few: int
) -> None:
    for _ in range(few):
        claim_ports(tmp_path, tmp_path / "cache")
    assert len(json.loads((tmp_path / "cache/ports.json").read_text())) == 2


def test_a_lab_that_comes_up_is_entered_again(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    mine = claimed(lab, tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    keep_ports(lab, Ports(*mine), tmp_path / "cache")
    register = json.loads((tmp_path / "cache/ports.json").read_text())
    assert {int(port): folder for port, (folder, _) in register.items()} == dict.fromkeys(
        mine, str(lab)
    )


@pytest.mark.parametrize("text", ['{"20000": ["/som', "[]", "null", '{"20000": 5}', ""])
def test_a_register_that_is_not_what_was_written_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    mine = claimed(tmp_path / "lab", tmp_path)
    assert {int(port) for port in json.loads((tmp_path / "ports.json").read_text())} == mine


def test_a_lab_that_cannot_be_looked_at_keeps_its_ports(
    tmp_path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = claimed(tmp_path / "closed", tmp_path / "cache")
    exists = Path.exists

    def refused(path: Path) -> bool:
        if path.name == "closed":
            raise PermissionError(path)
        return exists(path)

    monkeypatch.setattr(Path, "exists", refused)
    monkeypatch.setattr(ports, "_BEING_MADE", 0.0)
    assert not closed & claimed(tmp_path / "other", tmp_path / "cache")
    assert closed < {int(port) for port in json.loads((tmp_path / "cache/ports.json").read_text())}


def test_a_port_somebody_listens_on_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(ports, "LOWEST", port - 20)
        monkeypatch.setattr(ports, "HIGHEST", port + 20)
        for number in range(10):
            assert port not in claimed(tmp_path / f"lab{number}", tmp_path / "cache")


def test_a_copy_for_which_no_port_is_left_is_not_begun(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab()
    monkeypatch.setattr(ports, "HIGHEST", ports.LOWEST - 1)
    with pytest.raises(LabError, match="are taken"):
        lab.clone(lab.folder.parent / "copy")
    assert not (lab.folder.parent / "copy").exists()


def test_a_common_source_of_chance_that_was_set_makes_no_difference(tmp_path: Path) -> None:
    made = []
    for number in range(2):
        random.seed(0)
        made.append(claimed(tmp_path / f"lab{number}", tmp_path / f"cache{number}"))
    assert made[0] != made[1]
