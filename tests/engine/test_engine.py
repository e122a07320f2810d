from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyapache import journal
from easyapache.agent.change.engine import Engine
from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.simulated.state import FAULTS
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import Outcome, Report, Step
from tests.engine.simulation import Simulation, kinds

BEFORE_ANYTHING = {"locked", "disk_full", "repository_gone", "bad_signature", "rehearsal"}
HARMLESS = {"post_scriptlet", "dies_in_window", "undo_packages", "undo_restart"}


def same(one: Profile, other: Profile) -> bool:
    return one.digest == other.digest


def test_a_change_goes_through_its_steps_in_order_and_is_verified(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    request = simulation.request("event")
    folder = simulation.folder(request)
    outcome = simulation.engine(folder).run()
    assert outcome.data["outcome"] == Outcome.SUCCEEDED
    assert [line for line in kinds(folder) if " " in line] == [
        *(f"{step} {status}" for step in list(Step)[:7] for status in ("started", "done")),
        "outcome succeeded",
    ]
    now = simulation.sound()
    assert now.running is not None
    assert now.running.mpm == "event"
    assert Profile.from_json(outcome.data["profile"]).digest == now.digest
    phases = [r.data["phase"] for r in folder.reports() if r.kind == "evidence"]
    assert phases == ["before", "after"]
    assert [r.kind for r in folder.reports()].count("interruption") == 1


@pytest.mark.parametrize(
    ("first", "then"),
    [("event", "worker"), ("worker", "event"), ("event", "prefork"), ("worker", "prefork")],
)
def test_every_mpm_leads_to_every_other(tmp_path: Path, first: str, then: str) -> None:
    simulation = Simulation(tmp_path)
    for mpm in (first, then):
        assert simulation.run(simulation.request(mpm)).data["outcome"] == "succeeded"
        now = simulation.sound()
        assert now.running is not None
        assert now.running.mpm == mpm


def test_itk_comes_and_goes(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    for itk in (True, False):
        outcome = simulation.run(simulation.request("prefork", itk=itk))
        assert outcome.data["outcome"] == "succeeded", outcome.data["sentence"]
        running = simulation.sound().running
        assert running is not None
        assert running.itk is itk


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_each_fault_ends_as_before_or_as_asked(tmp_path: Path, fault: str) -> None:
    simulation = Simulation(tmp_path, {fault: 1})
    folder = simulation.folder(simulation.request())
    outcome = simulation.engine(folder).run().data["outcome"]
    now = simulation.sound()
    if fault in HARMLESS:
        assert outcome == "succeeded"
    elif fault in BEFORE_ANYTHING:
        assert outcome == "not_started"
        assert "Nothing was changed" in folder.reports()[-1].data["sentence"]
        assert "packages started" not in kinds(folder)
    else:
        assert outcome == "restored"
    assert same(now, simulation.start) is (outcome != "succeeded")
    if outcome != "succeeded":
        assert folder.reports()[-1].data["decided_by"]
        assert "finding" in kinds(folder) or fault == "site_differs"


def test_what_decided_is_the_observation_of_the_site(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, {"site_differs": 1})
    outcome = simulation.run(simulation.request())
    assert outcome.data["outcome"] == "restored"
    assert outcome.data["decided_by"] == "php php.example.test: expected 200, got 500"


def test_what_visitors_noticed_is_told_of_the_way_back_too(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, {"site_differs": 1})
    folder = simulation.folder(simulation.request())
    assert simulation.engine(folder).run().data["outcome"] == "restored"
    lines = kinds(folder)
    assert lines.count("interruption") == 2
    assert lines.index("undo_restart started") < len(lines) - lines[::-1].index("interruption")


def test_an_undo_that_fails_at_first_is_tried_again(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, {"restart": 1, "undo_packages": 1, "undo_restart": 1})
    outcome = simulation.run(simulation.request())
    assert outcome.data["outcome"] == "restored"
    assert same(simulation.sound(), simulation.start)


def test_an_undo_that_cannot_succeed_says_so_loudly(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, {"site_differs": 1, "undo_packages": -1})
    folder = simulation.folder(simulation.request())
    outcome = simulation.engine(folder).run()
    assert outcome.data["outcome"] == "failed"
    assert "could not be fully undone" in outcome.data["sentence"]
    assert str(folder.kit / "undo") in outcome.data["sentence"]
    assert simulation.server.inspect().running is not None
    findings = [r.data["code"] for r in folder.reports() if r.kind == "finding"]
    assert "incomplete_change" in findings


def test_a_server_that_moved_is_left_alone(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    request = simulation.request()
    fewer = Transaction(request.transaction.install, request.transaction.remove[1:])
    folder = simulation.folder(replace(request, transaction=fewer))
    outcome = simulation.engine(folder).run()
    assert outcome.data["outcome"] == "not_started"
    assert outcome.data["decided_by"] == "moved"
    moved = next(r for r in folder.reports() if r.kind == "moved")
    assert Transaction.from_json(moved.data["transaction"]).digest == request.transaction.digest
    assert same(simulation.sound(), simulation.start)


def test_where_there_is_nothing_to_do_nothing_is_done(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    folder = simulation.folder(simulation.request("prefork"))
    outcome = simulation.engine(folder).run()
    assert outcome.data["outcome"] == "succeeded"
    assert outcome.data["decided_by"] == "nothing_to_do"
    assert "packages skipped" in kinds(folder)
    assert (
        simulation.server.inspect().facts["httpd_started"]
        == (simulation.start.facts["httpd_started"])
    )


def test_packages_that_are_right_with_an_old_httpd_only_need_the_restart(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    simulation.run(simulation.request("event"))
    with simulation.server.state() as state:
        state["running"] = {"mpms": ["prefork"], "itk": False}
    folder = simulation.folder(simulation.request("event"))
    assert simulation.engine(folder).run().data["outcome"] == "succeeded"
    assert "restart done" in kinds(folder)
    assert "packages skipped" in kinds(folder)
    simulation.sound()


def test_a_stop_in_time_is_honoured(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    folder = simulation.folder(simulation.request())
    folder.request_cancel()
    outcome = simulation.engine(folder).run()
    assert outcome.data["outcome"] == "canceled"
    cancels = [r.data for r in folder.reports() if r.kind == "cancel"]
    assert [item["accepted"] for item in cancels] == [True]
    assert same(simulation.sound(), simulation.start)


def test_a_stop_asked_during_the_download_does_not_wait_for_its_end(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, pace=0.3)
    request = simulation.request()
    assert len(request.transaction.install) > 1
    folder = simulation.folder(request)
    thread = threading.Thread(target=simulation.engine(folder).run)
    thread.start()
    reader = ChangeFolder(folder.path)
    while b"fetched" not in reader.log_from(0):
        time.sleep(0.01)
    reader.request_cancel()
    thread.join()
    lines = kinds(reader)
    assert lines[-1] == "outcome canceled"
    assert lines.index("download skipped") < lines.index("cancel")
    assert reader.log_from(0).count(b"fetched") == 1
    assert same(simulation.sound(), simulation.start)


def test_a_stop_that_comes_too_late_is_answered_with_the_reason(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, pace=0.15)
    folder = simulation.folder(simulation.request())
    thread = threading.Thread(target=simulation.engine(folder).run)
    thread.start()
    reader = ChangeFolder(folder.path)
    while "packages started" not in kinds(reader):
        time.sleep(0.01)
    reader.request_cancel()
    thread.join()
    lines = kinds(reader)
    assert lines[-1] == "outcome succeeded"
    assert lines.count("cancel") == 1
    assert lines.index("cancel") < lines.index("packages done")
    cancel = next(r for r in reader.reports() if r.kind == "cancel")
    assert cancel.data["accepted"] is False
    assert cancel.data["reason"]


def test_an_ended_change_is_never_run_again(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    folder = simulation.folder(simulation.request())
    first = simulation.engine(folder).run()
    with simulation.server.state() as state:
        started = state["started"]
    for _ in range(5):
        assert simulation.run(folder.request()) == first
    assert simulation.server.inspect().facts["httpd_started"] == started


def test_a_change_is_taken_back_to_exactly_what_was(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    request = simulation.request("event")
    simulation.run(request)
    outcome = simulation.run(simulation.inverse(request))
    assert outcome.data["outcome"] == "succeeded", outcome.data["sentence"]
    assert same(simulation.sound(), simulation.start)


def test_a_change_is_taken_back_from_its_kit_when_the_repository_is_gone(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    request = simulation.request("event")
    simulation.run(request)
    with simulation.server.state() as state:
        state["faults"]["repository_gone"] = -1
    folder = simulation.folder(simulation.inverse(request))
    outcome = simulation.engine(folder).run()
    assert outcome.data["outcome"] == "succeeded", outcome.data["sentence"]
    assert same(simulation.sound(), simulation.start)
    assert "restore point" in folder.log_from(0).decode()


def test_a_change_waits_its_turn_while_a_half_done_one_is_there(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    half = simulation.folder(simulation.request("event"))
    cut_off(simulation, half, after="packages started")
    other = simulation.run(simulation.request("worker"))
    assert other.data["outcome"] == "not_started"
    assert "Another change" in other.data["sentence"]
    assert simulation.engine(half).run().data["outcome"] in ("succeeded", "restored")
    simulation.sound()


def test_an_engine_that_keeps_dying_in_one_step_turns_round(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    folder = simulation.folder(simulation.request())
    cut_off(simulation, folder, after="restart started")
    for _ in range(8):
        folder.note_start("restart")
    outcome = simulation.engine(folder).run()
    assert outcome.data["outcome"] == "restored"
    assert "was interrupted" in outcome.data["decided_by"]
    assert same(simulation.sound(), simulation.start)


def test_a_request_that_cannot_be_read_ends_as_not_started(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    bad = {**simulation.request().as_json(), "mpm": "; rm -rf /"}
    folder, _ = simulation.spool.create_raw(bad["change"], bad)
    outcome = simulation.engine(folder).run()
    assert outcome.data["outcome"] == "not_started"
    assert same(simulation.sound(), simulation.start)


# -- killed at any line, any number of times ------------------------------------------------


class Killed(BaseException):
    """What SIGKILL is to an engine: nothing more is done, nothing is tidied."""


class Mortal(ChangeFolder):
    """A folder whose engine dies right before or after its ``life``-th line is written."""

    def __init__(self, path: Path, life: int, *, before: bool) -> None:
        super().__init__(path)
        self.life, self.early = life, before

    def report(self, kind: str, data: Mapping[str, Any]) -> Report:
        self.life -= 1
        if self.life == 0 and self.early:
            raise Killed
        written = super().report(kind, data)
        if self.life == 0:
            raise Killed
        return written


def live(simulation: Simulation, path: Path, life: int, *, before: bool) -> None:
    engine = Engine(
        Mortal(path, life, before=before),
        simulation.server,
        simulation.config,
        pause=lambda _: None,
    )
    try:
        engine.run()
    except Killed:
        return


def cut_off(simulation: Simulation, folder: ChangeFolder, after: str) -> None:
    """Let the engine die right after the line ``after`` of an undisturbed change."""
    order = [f"{step} {status}" for step in list(Step)[:7] for status in ("started", "done")]
    extra = 1 + (order.index(after) > order.index("restart started"))  # evidence, interruption
    live(simulation, folder.path, order.index(after) + 1 + extra, before=False)
    assert kinds(folder)[-1] == after


def ends_true(simulation: Simulation, path: Path) -> str:
    """Let an engine finish; the end must be what the server shows."""
    folder = ChangeFolder(path)
    outcome = simulation.engine(folder).run().data
    now = simulation.sound()
    request = folder.request()
    assert now.running is not None
    if outcome["outcome"] == "succeeded":
        assert (now.running.mpm, now.running.itk) == (request.mpm, request.itk)
    else:
        assert outcome["outcome"] in ("restored", "not_started", "canceled")
        assert "could not be fully undone" not in outcome["sentence"]
        assert same(now, simulation.start)
    assert [r.seq for r in folder.reports()] == list(range(1, len(folder.reports()) + 1))
    assert [r.kind for r in folder.reports()].count("outcome") == 1
    return str(outcome["outcome"])


LINES = 18
"""Lines in the journal of a change in which nothing goes wrong."""


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("life", range(1, LINES + 1))
def test_killed_at_any_line_of_its_journal_a_change_still_ends(
    tmp_path: Path, life: int, before: bool
) -> None:
    simulation = Simulation(tmp_path)
    path = simulation.folder(simulation.request()).path
    live(simulation, path, life, before=before)
    assert ends_true(simulation, path) == "succeeded"
    interruptions = [line for line in kinds(ChangeFolder(path)) if line == "interruption"]
    assert interruptions == ["interruption"]


@settings(max_examples=80, deadline=None)
@given(
    lives=st.lists(st.tuples(st.integers(1, 25), st.booleans()), min_size=1, max_size=5),
    fault=st.sampled_from(sorted(set(FAULTS) - {"undo_packages", "undo_restart"})),
    second=st.sampled_from(["", "undo_packages", "undo_restart"]),
)
def test_killed_again_and_again_with_any_fault_a_change_still_ends(
    tmp_path_factory: pytest.TempPathFactory,
    lives: list[tuple[int, bool]],
    fault: str,
    second: str,
) -> None:
    faults = {fault: 1, second: 1} if second else {fault: 1}
    simulation = Simulation(tmp_path_factory.mktemp("s"), faults)
    path = simulation.folder(simulation.request()).path
    for life, before in lives:
        live(simulation, path, life, before=before)
    ends_true(simulation, path)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_prefix_of_any_journal_ends(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A journal can also be shorter than what was done: then the server tells."""
    fault = data.draw(st.sampled_from(["", "restart", "site_differs", "killed_within"]))
    simulation = Simulation(tmp_path_factory.mktemp("s"), {fault: 1} if fault else None)
    path = simulation.folder(simulation.request()).path
    live(simulation, path, data.draw(st.integers(1, 30)), before=False)
    folder = ChangeFolder(path)
    lines = folder.journal_path.read_bytes().splitlines(keepends=True)
    touched = next((n for n, line in enumerate(kinds(folder), 1) if line == "packages started"), 0)
    keep = data.draw(st.integers(touched, len(lines)))
    torn = data.draw(st.binary(max_size=20)).replace(b"\n", b"")
    folder.journal_path.write_bytes(b"".join(lines[:keep]) + torn)
    ends_true(simulation, path)


def test_systemds_journal_has_each_line_with_the_number_of_the_change_and_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datagrams: list[str] = []
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    monkeypatch.setattr(
        journal.Journal, "_deliver", lambda _, datagram: datagrams.append(datagram.decode())
    )
    simulation = Simulation(tmp_path)
    request = replace(simulation.request(), note={"number": 42})
    simulation.engine(simulation.folder(request)).run()
    assert all(f"EA4_CHANGE=42\nEA4_CHANGE={request.change}\n" in one for one in datagrams)
    assert any("MESSAGE=packages: started\n" in one for one in datagrams)
    assert any("EA4_STEP=verify\n" in one for one in datagrams)
    assert len(datagrams) == len(set(datagrams))
