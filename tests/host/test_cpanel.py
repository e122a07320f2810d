"""Beside cPanel: chkservd is suspended for a restart and always goes on; restarts that wait are
waited for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from easyapache.agent.change.spool import Spool
from easyapache.agent.httpd.cpanel import Cpanel
from easyapache.agent.repair.repairs import finish_restart
from easyapache.agent.server import HostError, Stopped
from tests.host.managed import Managed

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("usr/local/cpanel", "run", "var/cpanel/taskqueue"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def nobody_reads(_line: str) -> None:
    """What is logged on the way."""


# -- chkservd ----------------------------------------------------------------------------------


def test_chkservd_is_suspended_inside_and_goes_on_afterwards(root: Path) -> None:
    lines: list[str] = []
    cpanel = Cpanel(root)
    with cpanel.unchecked(lines.append):
        assert cpanel.suspend.exists()
    assert list((root / "run").iterdir()) == []
    assert lines == ["chkservd is suspended while httpd restarts", "chkservd checks services again"]


def test_chkservd_goes_on_after_a_restart_that_failed(root: Path) -> None:
    cpanel = Cpanel(root)
    with pytest.raises(HostError), cpanel.unchecked(nobody_reads):
        raise HostError("restart", "Apache didn't start.")
    assert not cpanel.suspend.exists()


def test_a_pipe_in_place_of_the_suspend_file_holds_nothing_up(root: Path) -> None:
    cpanel, lines = Cpanel(root), list[str]()
    os.mkfifo(cpanel.suspend)
    with cpanel.unchecked(lines.append):
        assert lines == ["chkservd is suspended by something else already"]
    assert cpanel.suspend.is_fifo()


def test_what_somebody_else_has_suspended_stays_so(root: Path) -> None:
    cpanel, lines = Cpanel(root), list[str]()
    cpanel.suspend.touch()
    with cpanel.unchecked(lines.append):
        assert cpanel.suspend.read_bytes() == b""
    assert cpanel.suspend.exists()
    assert not cpanel.give_back(nobody_reads)
    assert lines == ["chkservd is suspended by something else already"]


def test_whoever_suspends_it_meanwhile_keeps_it_suspended(root: Path) -> None:
    cpanel = Cpanel(root)
    with cpanel.unchecked(nobody_reads):
        cpanel.suspend.touch()  # as cPanel's upgrade of the operating system does
    assert cpanel.suspend.exists()


def test_whoever_ends_the_suspension_meanwhile_has_ended_it(root: Path) -> None:
    cpanel = Cpanel(root)
    with cpanel.unchecked(nobody_reads):
        cpanel.suspend.unlink()
    with cpanel.unchecked(nobody_reads):
        cpanel.suspend.unlink()
        cpanel.suspend.write_text("suspended by somebody else\n")
    assert cpanel.suspend.read_text() == "suspended by somebody else\n"


def test_where_there_is_no_cpanel_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    cpanel = Cpanel(tmp_path)
    with cpanel.unchecked(nobody_reads):
        assert not cpanel.suspend.exists()
    assert cpanel.restarts_due() == []


def test_a_file_that_cannot_be_made_is_no_reason_against_the_restart(root: Path) -> None:
    lines: list[str] = []
    (root / "run").rmdir()
    with Cpanel(root).unchecked(lines.append):
        pass
    assert lines == [
        f"chkservd cannot be suspended: {root}/run/chkservd.suspend: No such file or directory"
    ]


KILLED = """
import sys, time
from pathlib import Path
from easyapache.agent.httpd.cpanel import Cpanel
with Cpanel(Path(sys.argv[1])).unchecked(print):
    Path(sys.argv[1], "inside").touch()
    time.sleep(600)
"""


def killed_inside(root: Path) -> None:
    """Somebody who restarts httpd is killed in between."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root)], cwd=PROJECT, stdout=subprocess.DEVNULL
    ) as process:
        end = time.monotonic() + 60
        while not (root / "inside").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    (root / "inside").unlink()


def test_whoever_is_killed_in_between_leaves_it_to_the_next_to_let_chkservd_go_on(
    root: Path,
) -> None:
    cpanel = Cpanel(root)
    killed_inside(root)
    assert cpanel.suspend.exists()
    assert cpanel.give_back(nobody_reads)
    assert not cpanel.suspend.exists()
    killed_inside(root)
    with cpanel.unchecked(nobody_reads):
        assert cpanel.suspend.exists()
    assert not cpanel.suspend.exists()


def test_a_suspension_half_made_is_swept_away(root: Path) -> None:
    cpanel = Cpanel(root)
    (root / "run/.chkservd.suspend.ea4-mpm").write_text("suspended by")
    assert not cpanel.give_back(nobody_reads)
    assert list((root / "run").iterdir()) == []


@pytest.mark.lab
def test_an_agent_that_starts_lets_chkservd_go_on_and_so_does_a_restart(managed: Managed) -> None:
    """The whole way of a real server: what a killed agent left, and a restart of httpd in which
    chkservd would have looked."""
    root = managed.config.root
    cpanel = managed.real.cpanel
    (root / "usr/local/cpanel").mkdir(parents=True, exist_ok=True)
    (root / "run").mkdir(exist_ok=True)
    killed_inside(root)
    assert cpanel.suspend.exists()
    finish_restart(managed.server, Spool(managed.config.spool), managed.log)
    assert not cpanel.suspend.exists()
    managed.server.restart("auto", managed.log)
    assert managed.text.count("chkservd is suspended while httpd restarts") == 1
    assert managed.text.count("chkservd checks services again") == 2
    assert not cpanel.suspend.exists()


# -- restarts that wait ------------------------------------------------------------------------


def queued(root: Path, **queues: Any) -> None:
    """As cPanel writes it: a marker, a version, the queues."""
    path = root / "var/cpanel/taskqueue/servers_queue.json"
    path.write_text(json.dumps(["TaskQueue", 3, queues]))


def task(command: str) -> dict[str, Any]:
    return {"_command": command, "_args": [], "_uuid": "TQ:TaskQueue:1", "_retries": 1}


def test_tasks_that_restart_httpd_are_seen_in_every_queue(root: Path) -> None:
    cpanel = Cpanel(root)
    assert cpanel.restarts_due() == []
    for name in ("waiting_queue", "deferral_queue", "processing_queue"):
        queued(root, **{name: [task("build_locale_databases"), task("apache_restart")]})
        assert cpanel.restarts_due() == ["apache_restart"]
    queued(root, waiting_queue=[task("build_locale_databases")])
    assert cpanel.restarts_due() == []
    schedule = root / "var/cpanel/taskqueue/servers_sched.json"
    entry = {"time": 1_800_000_000, "task": task("update_users_vhosts")}
    schedule.write_text(json.dumps(["TaskScheduler", 1, {"waiting_queue": [entry]}]))
    assert cpanel.restarts_due() == ["update_users_vhosts"]


@pytest.mark.parametrize("text", ["", "[1, 2", "null", "7", '{"_command": 5}', "[" * 5000, "\xff"])
def test_a_queue_that_cannot_be_read_is_waited_for_by_nobody(root: Path, text: str) -> None:
    path = root / "var/cpanel/taskqueue/servers_queue.json"
    path.write_bytes(text.encode("latin-1"))
    assert Cpanel(root).restarts_due() == []


def test_a_change_waits_until_cpanel_has_restarted_httpd(root: Path) -> None:
    queued(root, waiting_queue=[task("apache_restart")])
    lines: list[str] = []
    waits = iter([None, lambda: queued(root, waiting_queue=[])])

    def pause(_seconds: float) -> None:
        if act := next(waits):
            act()

    assert Cpanel(root).wait_for_restarts(lines.append, pause=pause)
    assert lines == [
        "cPanel is about to restart httpd (apache_restart): waiting, at most 60 s",
        "cPanel has restarted httpd",
    ]


def test_the_wait_is_bounded_and_says_so(root: Path) -> None:
    queued(root, deferral_queue=[task("apache_restart")])
    lines, now = list[str](), [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    cpanel = Cpanel(root, clock=lambda: now[0])
    assert not cpanel.wait_for_restarts(lines.append, pause=pause)
    assert 60.0 <= now[0] < 62.0
    assert lines[-1] == "cPanel has not restarted httpd within 60 s (apache_restart): going on"


def test_whoever_cancels_does_not_wait_for_cpanel(root: Path) -> None:
    queued(root, deferral_queue=[task("apache_restart")])
    with pytest.raises(Stopped):
        Cpanel(root).wait_for_restarts(nobody_reads, lambda: True)
