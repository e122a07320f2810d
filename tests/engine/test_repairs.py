"""A repair that was asked for is done once, whoever dies meanwhile."""

from __future__ import annotations

import errno
import os
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from easyapache.agent.change.durable import Busy
from easyapache.agent.change.folder import now
from easyapache.agent.repair import engine, repairs
from easyapache.agent.repair.engine import STARTS, carry_out
from easyapache.agent.repair.folder import RepairFolder
from easyapache.agent.server import Interruption, Log
from easyapache.ea4.conditions.diagnosis import diagnose
from easyapache.ea4.profile import Package
from easyapache.ea4.schema import BadMessage
from tests.engine.simulation import Simulation


class PowerCut(BaseException):
    """The process is gone in this instant."""


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    return Simulation(tmp_path)


def package(name: str) -> Package:
    return Package(name, "2.4.67", "2", "x86_64")


def requested_repair(simulation: Simulation, action: str = "restart-httpd") -> RepairFolder:
    folder = simulation.spool.repair(uuid.uuid4().hex)
    folder.create(action, now().isoformat())
    return folder


def httpd(simulation: Simulation) -> str:
    return str(simulation.server.inspect().facts["httpd_started"])


def cut_off(
    simulation: Simulation,
    folder: RepairFolder,
    monkeypatch: pytest.MonkeyPatch,
    *,
    after: bool,
) -> None:
    """The process dies just before httpd is restarted, or just after."""
    restart = simulation.server.restart

    def dying(method: str, log: Log) -> Interruption:
        if after:
            restart(method, log)
        raise PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(simulation.server, "restart", dying)
        with pytest.raises(PowerCut):
            carry_out(folder, simulation.server, simulation.spool)


def test_a_repair_is_done_once_however_often_it_is_begun(simulation: Simulation) -> None:
    folder, before = requested_repair(simulation), httpd(simulation)
    first = carry_out(folder, simulation.server, simulation.spool)
    restarted = httpd(simulation)
    assert first.ok, first
    assert restarted != before
    again = carry_out(folder, simulation.server, simulation.spool)
    assert (again.ok, again.message) == (True, first.message)
    assert httpd(simulation) == restarted


@pytest.mark.parametrize("action", ["restart-httpd", "reinstall-files"])
@pytest.mark.parametrize("after", [False, True], ids=["before the restart", "after the restart"])
def test_a_repair_that_was_cut_off_is_finished_and_restarts_httpd_once(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, action: str, after: bool
) -> None:
    with simulation.server.state() as state:
        state["missing_files"] = {"ea-apache24-mod_ssl": ["/etc/apache2/x.conf"]}
    folder, before = requested_repair(simulation, action), httpd(simulation)
    cut_off(simulation, folder, monkeypatch, after=after)
    at_the_cut = httpd(simulation)
    assert (at_the_cut != before) is after
    done = carry_out(RepairFolder(folder.path), simulation.server, simulation.spool)
    assert done.ok, done
    assert (httpd(simulation) == at_the_cut) is after
    assert httpd(simulation) != before


def test_a_repair_that_always_dies_says_so_in_the_end(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = requested_repair(simulation)
    for _ in range(STARTS):
        cut_off(simulation, folder, monkeypatch, after=False)
    done = carry_out(folder, simulation.server, simulation.spool)
    assert not done.ok
    assert f"interrupted {STARTS} times" in done.message
    assert folder.over


def test_a_mistake_of_our_own_is_an_answer_too(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(simulation.server, "restart", broken)
    done = carry_out(requested_repair(simulation), simulation.server, simulation.spool)
    assert not done.ok
    assert "ZeroDivisionError" in done.log


def test_two_do_not_carry_out_the_same_repair(simulation: Simulation) -> None:
    folder = requested_repair(simulation)
    with folder.engine_lock(), pytest.raises(Busy):
        carry_out(RepairFolder(folder.path), simulation.server, simulation.spool)
    assert folder.result is None


def test_the_result_is_kept_on_a_full_disk(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = requested_repair(simulation, "start-httpd")
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if (folder.path / "reserve").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    assert carry_out(folder, simulation.server, simulation.spool).ok
    assert not (folder.path / "reserve").exists()
    assert folder.over


def test_a_number_cannot_lead_out_of_the_spool(simulation: Simulation) -> None:
    for number in ("../" * 4 + "etc", "r1", "A" * 32):
        with pytest.raises(BadMessage):
            simulation.spool.repair(number)


def test_what_was_told_long_ago_is_forgotten_and_nothing_else(simulation: Simulation) -> None:
    told, untold = requested_repair(simulation), requested_repair(simulation)
    for folder in (told, untold):
        carry_out(folder, simulation.server, simulation.spool)
    told.set_reported()
    simulation.spool.prune(now())
    assert told.known
    simulation.spool.prune(now() + timedelta(days=31))
    assert [folder.request for folder in simulation.spool.repairs()] == [untold.request]


def test_by_hand_it_refuses_what_is_no_repair(tmp_path: Path) -> None:
    assert engine.main([str(tmp_path)]) == 2


# -- what each of them does ---------------------------------------------------------------


def test_a_torn_server_is_settled_on_the_mpm_that_runs(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    torn = package("ea-apache24-mod_mpm_event").as_json()
    with simulation.server.state() as state:
        state["packages"].append(torn)
    found = diagnose("", simulation.server.inspect())
    assert [item.repair for item in found] == ["settle-mpm"]
    done = repairs.repair("settle-mpm", simulation.server, simulation.spool)
    assert done.ok, done.message
    running = simulation.sound().running
    assert running is not None
    assert running.mpm == "prefork"


def test_an_httpd_that_is_down_is_started(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    with simulation.server.state() as state:
        state["running"] = None
    done = repairs.repair("start-httpd", simulation.server, simulation.spool)
    assert done.ok, done.message
    simulation.sound()


def test_files_of_any_package_are_brought_back(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    with simulation.server.state() as state:
        state["missing_files"] = {"ea-apache24-mod_ssl": ["/usr/lib64/apache2/modules/mod_ssl.so"]}
    found = diagnose("", simulation.server.inspect())
    assert [item.repair for item in found] == ["reinstall-files"]
    done = repairs.repair("reinstall-files", simulation.server, simulation.spool)
    assert done.ok, done.message
    assert "ea-apache24-mod_ssl" in done.log
    assert diagnose("", simulation.sound()) == []


def test_a_transaction_that_broke_off_is_accepted_where_nothing_is_left_of_it(
    tmp_path: Path,
) -> None:
    simulation = Simulation(tmp_path)
    text = "dnf's transaction 3 was begun and never ended"
    with simulation.server.state() as state:
        state["facts"]["unfinished_transaction"] = text
        state["packages"].append(package("ea-apache24-mod_mpm_event").as_json())
    refused = repairs.repair("accept-packages", simulation.server, simulation.spool)
    assert not refused.ok
    assert "mpm_event" in refused.message
    assert simulation.spool.settled == ""
    assert repairs.repair("settle-mpm", simulation.server, simulation.spool).ok
    done = repairs.repair("accept-packages", simulation.server, simulation.spool)
    assert done.ok, done.message
    assert simulation.spool.settled == text


def test_nothing_is_repaired_beside_a_change(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    with simulation.spool.server_lock(wait=False):
        done = repairs.repair("restart-httpd", simulation.server, simulation.spool)
    assert not done.ok
    assert "change" in done.message


def test_a_repair_that_fails_says_why(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, {"configtest": 1})
    done = repairs.repair("restart-httpd", simulation.server, simulation.spool)
    assert not done.ok
    assert "AH00526" in done.log


def test_a_change_that_ended_half_way_is_taken_back_from_its_kit(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, {"site_differs": 1, "undo_packages": -1})
    outcome = simulation.run(simulation.request())
    assert outcome.data["outcome"] == "failed"
    reports = simulation.spool.folders()[0].reports()
    offered = {report.data.get("repair") for report in reports if report.kind == "finding"}
    assert "take-back" in offered
    failed = repairs.repair("take-back", simulation.server, simulation.spool)
    assert not failed.ok
    with simulation.server.state() as state:
        state["faults"] = {}
    done = repairs.repair("take-back", simulation.server, simulation.spool)
    assert done.ok, done
    assert simulation.sound().packages == simulation.start.packages
    again = repairs.repair("take-back", simulation.server, simulation.spool)
    assert again.ok, again


def test_what_did_not_end_half_way_is_not_taken_back(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    for _ in range(2):
        done = repairs.repair("take-back", simulation.server, simulation.spool)
        assert "nothing to undo" in done.message
        simulation.run(simulation.request())
    assert simulation.sound().running != simulation.start.running


def test_taking_back_says_which_site_is_not_as_before(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, {"site_differs": 1, "undo_packages": -1})
    simulation.run(simulation.request())
    with simulation.server.state() as state:
        state["faults"], state["differs_under"] = {}, ["prefork"]
    done = repairs.repair("take-back", simulation.server, simulation.spool)
    assert not done.ok
    assert "The packages are restored" in done.message
    assert "500" in done.message
