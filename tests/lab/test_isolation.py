"""Labs are cheap, do not know of each other, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from easyapache.agent.config import load_config
from lab import apache
from lab.process import LabError
from lab.server import Lab
from tests.labs import MakeLab

pytestmark = pytest.mark.lab


def test_a_clone_has_its_own_address_packages_and_processes(
    make_lab: MakeLab, lab_folder: Path
) -> None:
    first = make_lab("minimal")
    second = first.clone(lab_folder / "clone")
    try:
        first.up()
        second.up()
        second.dnf("-y", "install", "ea-apache24-mod_mpm_event", "--allowerasing")
        second.down().up()
        assert first.status().running == "prefork"
        assert second.status().running == "event"
        assert first.address != second.address
        assert "ea-apache24-mod_mpm_event" not in first.packages()
        assert str(first.folder) not in (second.root / "etc/apache2/conf/httpd.conf").read_text()
        assert str(first.folder) not in (second.root / "etc/dnf/dnf.conf").read_text()
        first.down()
        assert second.status().running == "event"
    finally:
        second.destroy()
    assert not second.folder.exists()


def test_making_and_cloning_take_a_fraction_of_a_second(
    make_lab: MakeLab, lab_folder: Path
) -> None:
    """About 0.1 s each; the bound leaves room for a busy machine."""
    first = make_lab("default")  # the pristine one is made here, if never before
    begun = time.monotonic()
    make_lab("default")
    first.clone(lab_folder / "clone")
    assert time.monotonic() - begun < 2


def test_a_running_lab_is_not_cloned(lab: Lab, lab_folder: Path) -> None:
    with pytest.raises(LabError, match="a running lab can't be copied"):
        lab.clone(lab_folder / "clone")


def test_down_leaves_no_process_even_when_httpds_parent_was_killed(lab: Lab) -> None:
    pid = lab.pid
    assert pid is not None
    assert len(apache.processes_of(lab.root)) > 1
    os.kill(pid, signal.SIGKILL)
    lab.down()
    assert apache.processes_of(lab.root) == []
    assert lab.pid is None
    assert lab.up().status().running == "prefork"


def test_no_key_agent_outlives_an_installation(lab: Lab) -> None:
    lab.dnf("-y", "install", "ea-apache24-mod_info")
    lab.down()
    homes = _command_lines()
    assert not [words for words in homes if b"gpg-agent" in words and bytes(lab.root) in words]


def test_up_and_down_can_be_repeated(lab: Lab) -> None:
    pid = lab.pid
    assert lab.up().pid == pid
    lab.down()
    assert lab.down().pid is None


def test_reset_goes_back_to_a_pristine_server_at_the_same_address(lab: Lab) -> None:
    address = lab.address
    lab.dnf("-y", "install", "ea-apache24-mod_mpm_worker", "--allowerasing")
    (lab.root / "etc/apache2/conf.d/broken.conf").write_text("NoSuchDirective\n")
    fresh = lab.reset()
    assert fresh.address == address
    assert fresh.status().running == "prefork"
    assert fresh.rpm("-Va") == ""
    assert fresh.reset("worker").status().running == "worker"
    assert Lab.open(lab.folder).setup.stock == "worker"


def test_nothing_is_written_outside_the_folder(lab: Lab) -> None:
    home = Path.home() / ".rpmdb"
    before = home.stat().st_mtime_ns if home.exists() else None
    lab.dnf("-y", "install", "ea-apache24-mod_info")
    assert (lab.root / "var/lib/rpm").is_dir()
    assert any((lab.root / "var/lib/rpm").iterdir())
    assert (home.stat().st_mtime_ns if home.exists() else None) == before


def test_a_folder_the_web_server_cannot_enter_is_refused(
    make_lab: MakeLab, lab_folder: Path
) -> None:
    lab_folder.chmod(0o700)
    try:
        if apache.may_change_user():
            with pytest.raises(LabError, match=f"may not enter {lab_folder}"):
                make_lab("minimal")
        else:
            assert make_lab("minimal").up().status().running == "prefork"
    finally:
        lab_folder.chmod(0o755)


def test_a_path_too_long_for_a_socket_is_refused(lab_folder: Path) -> None:
    with pytest.raises(LabError, match="too long a path"):
        Lab.create(lab_folder / ("x" * 80), "minimal")


def test_a_folder_in_use_is_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match="is not empty"):
        Lab.create(lab.folder, "minimal")


def test_a_repository_cleared_away_comes_back_when_the_lab_starts(make_lab: MakeLab) -> None:
    lab = make_lab("minimal")
    description = lab.folder / "lab.json"
    lost = description.read_text().replace(lab.setup.repository, "/nonexistent/repository")
    description.write_text(lost)
    lab.place.repo_file.unlink()
    Lab.open(lab.folder).up()
    lab.dnf("-y", "install", "ea-apache24-mod_info")
    assert "ea-apache24-mod_info" in lab.packages()


def test_the_agents_configuration_is_private_and_says_what_the_lab_is(
    lab: Lab, tmp_path: Path
) -> None:
    path = lab.write_agent_config(tmp_path / "spool", "lab-1")
    assert path.stat().st_mode & 0o777 == 0o600
    config = load_config(path)
    assert config == lab.host_config(tmp_path / "spool", "lab-1")
    assert config.pid_file.read_text().strip() == str(lab.pid)
    assert config.status_url.startswith(lab.address)


def _command_lines() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):  # of one that has just ended
            found.append(path.read_bytes())
    return found
