"""What comes in the wrong order, or when it should not: a cancel before its change, a repair in
the middle of one, a request that is no longer there, a change after its window."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from easyapache.agent.change.folder import now
from easyapache.agent.repair.repairs import repair
from easyapache.ea4.protocol import Step
from tests.engine.simulation import Simulation, kinds


def test_a_change_that_comes_after_its_cancel_touches_nothing(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    request = simulation.request()
    assert simulation.spool.forestall(request.change) is None
    assert simulation.spool.forestall(request.change) is None
    outcome = simulation.run(request)
    assert outcome.data["outcome"] == "canceled"
    assert simulation.sound().digest == simulation.start.digest


def test_a_cancel_that_meets_its_change_on_the_way_finds_it(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    request = simulation.request()
    folder = simulation.folder(request)
    found = simulation.spool.forestall(request.change)
    assert found is not None
    assert found.path == folder.path


def test_what_forestalls_is_forgotten_when_no_message_can_come_any_more(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    request = simulation.request()
    simulation.spool.forestall(request.change)
    mark = simulation.spool.root / ".canceled" / request.change
    simulation.spool.prune(now())
    assert mark.exists()
    long_ago = (now() - timedelta(days=2)).timestamp()
    os.utime(mark, (long_ago, long_ago))
    simulation.spool.prune(now())
    assert not mark.exists()


def test_nothing_is_repaired_while_a_half_done_change_waits_for_its_engine(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    folder = simulation.folder(simulation.request())
    with folder.engine_lock():
        folder.report("step", {"step": Step.PACKAGES, "status": "started"})
    for action in ("restart-httpd", "settle-mpm"):
        done = repair(action, simulation.server, simulation.spool)
        assert not done.ok
        assert "A change is running" in done.message


def test_a_request_lost_in_the_middle_does_not_pass_for_an_untouched_server(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    folder = simulation.folder(simulation.request())
    with folder.engine_lock():
        folder.report("step", {"step": Step.PACKAGES, "status": "started"})
    (folder.path / "request.json").write_text("{")
    outcome = simulation.engine(folder).run()
    assert outcome.data["outcome"] == "failed"
    assert "Nothing was changed" not in outcome.data["sentence"]
    assert str(folder.kit / "undo") in outcome.data["sentence"]
    assert kinds(folder)[-1] == "outcome failed"


def test_a_change_whose_window_has_passed_is_not_begun(tmp_path: Path) -> None:
    """The panel sent it in time, and the agent or its queue was away until the window closed."""
    simulation = Simulation(tmp_path)
    late = replace(simulation.request(), not_after=now() - timedelta(seconds=1))
    outcome = simulation.run(late)
    assert (outcome.data["outcome"], outcome.data["decided_by"]) == ("canceled", "window")
    assert "window passed" in outcome.data["sentence"]
    assert simulation.sound().digest == simulation.start.digest
    in_time = replace(simulation.request(), not_after=now() + timedelta(hours=1))
    assert simulation.run(in_time).data["outcome"] == "succeeded"
