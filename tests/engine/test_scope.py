"""Whoever asks: an agent changes the MPM and what goes with it, and nothing else."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.change.known_states import MOST, Remembered
from easyapache.ea4.profile import Package, Profile
from easyapache.ea4.protocol import ChangeRequest, Goal
from easyapache.ea4.schema import BadMessage
from tests.engine.simulation import PREFIX, Simulation

PREFORK = (f"{PREFIX}mod_cgi", f"{PREFIX}mod_mpm_prefork")


def ended(simulation: Simulation, request: ChangeRequest) -> ChangeFolder:
    folder = simulation.folder(request)
    simulation.engine(folder).run()
    return folder


def outcome(folder: ChangeFolder) -> str:
    last = folder.reports()[-1]
    assert last.kind == "outcome"
    return f"{last.data['outcome']}: {last.data['sentence']}"


def forged(simulation: Simulation, goal: Goal, **other: object) -> ChangeRequest:
    """What somebody with the broker's password sends: consistent in itself."""
    answer = simulation.server.resolve(goal, protect=False)
    gone = tuple(sorted(item.name for item in answer.remove))
    request = ChangeRequest(
        change=uuid.uuid4().hex,
        server="sim",
        goal=Goal(goal.install, goal.remove, gone),
        transaction=answer,
        mpm="prefork",
        itk=False,
    )
    return replace(request, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "goal",
    [
        pytest.param(Goal(PREFORK, (f"{PREFIX}mod_security2",)), id="the firewall is removed"),
        pytest.param(Goal(PREFORK, ("ea-php82-php-fpm",)), id="a PHP is removed"),
        pytest.param(Goal((*PREFORK, f"{PREFIX}mod_dav")), id="mod_dav is installed"),
        pytest.param(Goal(PREFORK, (f"{PREFIX}mod_ruid2",)), id="a companion is removed"),
        pytest.param(
            Goal((f"{PREFIX}mod_cgid", f"{PREFIX}mod_mpm_event"), (f"{PREFIX}mod_security2",)),
            id="the firewall is removed beside a change",
        ),
    ],
)
def test_a_request_for_more_than_the_mpm_is_refused_and_changes_nothing(
    tmp_path: Path, goal: Goal
) -> None:
    simulation = Simulation(tmp_path)
    start = simulation.server.inspect()
    mpm = "event" if f"{PREFIX}mod_mpm_event" in goal.install else "prefork"
    for undo_of in (None, uuid.uuid4().hex):
        folder = ended(simulation, forged(simulation, goal, mpm=mpm, undo_of=undo_of))
        assert outcome(folder).startswith("not_started"), outcome(folder)
        assert "Nothing was changed" in outcome(folder) or "MPM and ITK" in outcome(folder)
    assert simulation.server.inspect().names == start.names


def test_a_companion_may_be_installed_where_the_mpm_stays(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    name = f"{PREFIX}mod_fcgid"
    folder = ended(simulation, forged(simulation, Goal((*PREFORK, name))))
    assert outcome(folder).startswith("succeeded"), outcome(folder)
    assert name in simulation.server.inspect().names


def test_what_this_project_knows_may_be_installed_along_with_another_mpm(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    goal = Goal((f"{PREFIX}mod_cgid", f"{PREFIX}mod_dav", f"{PREFIX}mod_mpm_event"))
    folder = ended(simulation, forged(simulation, goal, mpm="event"))
    assert outcome(folder).startswith("succeeded"), outcome(folder)


@pytest.mark.parametrize(
    "install",
    [
        (),
        (f"{PREFIX}mod_cgi",),
        (f"{PREFIX}mod_mpm_event",),
        (f"{PREFIX}mod_mpm_event", f"{PREFIX}mod_mpm_prefork"),
        (*PREFORK, f"{PREFIX}mod_mpm_itk"),
    ],
)
def test_a_request_names_exactly_the_mpm_it_is_about(
    tmp_path: Path, install: tuple[str, ...]
) -> None:
    simulation = Simulation(tmp_path)
    request = replace(simulation.request("prefork"), goal=Goal(install))
    with pytest.raises(BadMessage):
        ChangeRequest.from_json(request.as_json())


def test_a_change_is_taken_back_with_everything_that_left(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    dav = f"{PREFIX}mod_dav"
    there = forged(
        simulation, Goal((f"{PREFIX}mod_cgid", dav, f"{PREFIX}mod_mpm_event")), mpm="event"
    )
    assert outcome(ended(simulation, there)).startswith("succeeded")
    back = there.transaction.inverse
    names = tuple(sorted(item.name for item in back.install))
    gone = tuple(sorted(item.name for item in back.remove))
    request = replace(
        there,
        change=uuid.uuid4().hex,
        goal=Goal(names, gone, gone),
        transaction=back,
        mpm="prefork",
        undo_of=there.change,
    )
    folder = ended(simulation, request)
    assert outcome(folder).startswith("succeeded"), outcome(folder)
    assert simulation.server.inspect().names == simulation.start.names


def test_a_change_from_outside_is_taken_back_to_what_the_agent_has_seen(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    seen = Remembered(simulation.spool)
    seen.note(simulation.server.inspect())
    lost = f"{PREFIX}mod_deflate"
    assert lost in simulation.start.names
    with simulation.server.state() as state:
        state["packages"] = [p for p in state["packages"] if p["name"] != lost]
    goal = Goal((*PREFORK, lost))
    folder = ended(simulation, forged(simulation, goal, undo_of=uuid.uuid4().hex))
    assert outcome(folder).startswith("succeeded"), outcome(folder)
    assert simulation.server.inspect().names == simulation.start.names


def test_so_many_states_are_remembered_and_the_latest_last(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    seen = Remembered(simulation.spool)

    def profile(number: int) -> Profile:
        return Profile((Package(f"ea-x{number}", "1", "1", "noarch"),))

    for number in range(MOST + 5):
        seen.note(profile(number))
        seen.note(profile(number))
    states = seen.states_before(uuid.uuid4().hex, profile(0))
    assert len(states) == MOST
    assert set(states[-1]) == {f"ea-x{MOST + 4}"}
    (simulation.spool.root / ".seen.json").write_text("{")
    assert seen.states_before(uuid.uuid4().hex, profile(0)) == []
