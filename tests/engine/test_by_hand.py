"""What root can do on the server itself, with nothing but the folder of a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from easyapache.agent.__main__ import main
from easyapache.agent.change.folder import ChangeFolder
from easyapache.agent.drivers import remember
from tests.engine.simulation import Simulation


class PowerCut(BaseException):
    """Nothing may catch it: the engine is simply gone."""


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    simulation = Simulation(tmp_path)
    remember(simulation.config)
    return simulation


def cut_off(simulation: Simulation, at: str, monkeypatch: pytest.MonkeyPatch) -> ChangeFolder:
    """A change whose engine died when it came to ``at``."""
    folder = simulation.folder(simulation.request())

    def die(*_: object, **__: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(simulation.server, at, die)
        with pytest.raises(PowerCut):
            simulation.engine(folder).run()
    return folder


def test_the_status_tells_how_far_a_change_got(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cut_off(simulation, "config_test", monkeypatch)
    assert main(["status", str(folder.path)]) == 1
    printed = capsys.readouterr().out
    assert "server sim to event" in printed
    assert "packages done" in printed
    assert "Interrupted in step configtest. The server may have been changed." in printed
    assert str(folder.kit) in printed
    assert main(["resume", str(folder.path)]) == 0
    assert main(["status", str(folder.path)]) == 0
    assert "succeeded: The server now runs event" in capsys.readouterr().out
    assert simulation.sound().configured != simulation.start.configured


def test_an_undo_turns_an_unfinished_change_round(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cut_off(simulation, "config_test", monkeypatch)
    assert main(["undo", str(folder.path)]) == 0
    assert "restored" in capsys.readouterr().out
    now = simulation.sound()
    assert (now.names, now.configured) == (simulation.start.names, simulation.start.configured)
    assert main(["undo", str(folder.path)]) == 0
    assert "There is nothing to undo." in capsys.readouterr().out


def test_an_undo_of_what_altered_nothing_ends_it_as_canceled(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cut_off(simulation, "rehearse", monkeypatch)
    assert main(["undo", str(folder.path)]) == 0
    assert "canceled: Canceled before anything was changed." in capsys.readouterr().out
    assert simulation.sound().names == simulation.start.names


def test_while_an_engine_is_at_work_a_second_hand_is_refused(
    simulation: Simulation, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = simulation.folder(simulation.request())
    with ChangeFolder(folder.path).engine_lock():
        assert main(["status", str(folder.path)]) == 1
        assert "Running, in step" in capsys.readouterr().out
        assert main(["resume", str(folder.path)]) == 75
        assert main(["undo", str(folder.path)]) == 75
    assert simulation.sound().names == simulation.start.names


def test_what_is_no_change_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["status", str(tmp_path)])
    assert refused.value.code == 2
    assert "is not the folder of a change" in capsys.readouterr().err
