"""What a power cut leaves of a change, what a shutdown does to it, and who goes on with it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from easyapache.agent.__main__ import main
from easyapache.agent.change.engine import Engine
from easyapache.agent.change.engines import PATIENCE, Engines
from easyapache.agent.change.folder import ChangeFolder, now
from easyapache.agent.change.progress import progress_of
from easyapache.agent.change.reporter import Reporter
from easyapache.agent.change.shutdown import ShuttingDown, is_shutting_down
from easyapache.agent.change.spool import KEEP_REFUSED
from easyapache.agent.config import HostConfig
from easyapache.agent.drivers import remember
from easyapache.agent.packages import kit as kits
from easyapache.agent.repair.engine import carry_out
from easyapache.agent.repair.folder import RepairFolder
from easyapache.agent.repair.repairs import repair
from easyapache.agent.runner import Detached, Runner
from easyapache.agent.server import HostError
from easyapache.ea4.profile import Transaction
from easyapache.ea4.schema import BadMessage
from tests.engine.simulation import Simulation, kinds
from tests.engine.test_by_hand import PowerCut, cut_off


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    simulation = Simulation(tmp_path)
    remember(simulation.config)
    return simulation


# -- what is on the disk before it is needed ---------------------------------------------------


def test_the_whole_kit_is_on_the_disk_and_sealed_before_a_package_moves(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.add(str(Path(f"/proc/self/fd/{handle}").readlink()))
    )
    folder = cut_off(simulation, "start_packages", monkeypatch)
    kept = list(folder.kit.rglob("*.rpm"))
    moving = folder.request().transaction
    assert len(kept) == len(moving.install) + len(moving.remove)
    assert {str(path) for path in kept} <= synced
    assert {str(path.parent) for path in kept} <= synced
    sealed = json.loads((folder.kit / "kit.json").read_bytes())["sealed"]
    assert set(sealed) == {f"{path.parent.name}/{path.name}" for path in kept}
    assert all(kits.whole(path) for path in kept)


def test_a_file_of_a_kit_is_whole_only_as_it_was_sealed(tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    for name in (kits.RPMS, kits.INCOMING, kits.FILES):
        (folder / name).mkdir(parents=True)
    path = folder / kits.RPMS / "a.rpm"
    path.write_bytes(b"package")
    assert kits.whole(path), "a kit from before there were seals"
    laid_out = kits.Manifest("c" * 32, Transaction(), "event", itk=False, files={}, sealed={})
    (folder / "kit.json").write_text(json.dumps(laid_out.as_json()))
    assert not kits.whole(path), "nobody has seen it on the disk yet"
    kits.seal(folder)
    assert kits.whole(path)
    for torn in (b"", b"pack", b"\0" * 7, b"Package"):
        path.write_bytes(torn)
        assert not kits.whole(path)
    path.unlink()
    assert not kits.whole(path)


@pytest.mark.parametrize("torn", [b"", b"\0\0\0", b'{"mpm": ', b"[]", b"\xff\xfe", b"{}"])
@pytest.mark.parametrize("name", ["kit/kit.json", "before.json", "starts", "delivered"])
@pytest.mark.parametrize("command", ["resume", "undo"])
def test_a_torn_file_of_a_change_raises_nothing_when_it_is_taken_up(
    simulation: Simulation,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    torn: bytes,
    command: str,
) -> None:
    folder = cut_off(simulation, "config_test", monkeypatch)
    (folder.path / name).write_bytes(torn)
    main([command, str(folder.path)])
    outcome = ChangeFolder(folder.path).outcome
    assert outcome is not None
    assert "own fault" not in str(outcome.data)
    if name == "before.json":
        assert outcome.data["outcome"] == "failed"
        assert "can't be read" in outcome.data["sentence"]
    else:
        wanted = "succeeded" if command == "resume" else "restored"
        assert outcome.data["outcome"] == wanted
        simulation.sound()


@pytest.mark.parametrize("torn", [b"", b"\0\0", b"[]", b"{}", b'{"pid": "x"}', b'{"status": "x"}'])
def test_what_a_keeper_wrote_may_be_torn(tmp_path: Path, torn: bytes) -> None:
    detached = Detached(tmp_path, "packages")
    for suffix in ("start", "exit"):
        (tmp_path / f"packages.{suffix}").write_bytes(torn)
    assert detached.started
    assert not detached.running
    assert detached.status is None
    assert detached.follow(lambda _: None, pause=lambda _: None) is None


@pytest.mark.parametrize("torn", [b"", b"\0\0", b"[]"])
def test_a_repair_whose_result_is_torn_has_none(tmp_path: Path, torn: bytes) -> None:
    repair = RepairFolder(tmp_path / ("a" * 32))
    repair.create("restart-httpd", "2026-03-03T21:04:11.802Z")
    for name in ("result.json", "before.json"):
        (repair.path / name).write_bytes(torn)
    assert not repair.over
    assert repair.before is None
    assert repair.result is None


def test_a_configuration_in_the_spool_that_is_torn_gives_way_to_the_agents_own(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cut_off(simulation, "config_test", monkeypatch)
    (simulation.spool.root / ".config.json").write_bytes(b"")
    assert main(["resume", str(folder.path)]) == 2
    assert "EA4_AGENT_CONFIG" in capsys.readouterr().err


# -- who goes on after a boot -------------------------------------------------------------------


def test_resume_all_finishes_what_was_cut_off_and_leaves_what_altered_nothing(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = cut_off(simulation, "config_test", monkeypatch)
    untouched = simulation.folder(simulation.request("worker"))
    config = tmp_path / "agent.toml"
    config.touch(mode=0o600)
    config.write_text(
        f'server = "sim"\nspool = "{simulation.spool.root}"\ndriver = "simulated"\n'
        f'simulated_state = "{simulation.server.path}"\n'
    )
    monkeypatch.setenv("EA4_AGENT_CONFIG", str(config))
    assert main(["resume", "--all"]) == 0
    outcome = ChangeFolder(begun.path).outcome
    assert outcome is not None
    assert outcome.data["outcome"] == "succeeded"
    assert ChangeFolder(untouched.path).outcome is None
    assert main(["resume", "--all", str(simulation.spool.root)]) == 0


def test_resume_needs_a_folder_or_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["resume"])
    assert "--all" in capsys.readouterr().err


# -- a shutdown is no verdict -------------------------------------------------------------------


class Machine:
    """Whether it is shut down, and an engine on it."""

    def __init__(self, simulation: Simulation, folder: ChangeFolder) -> None:
        self.simulation, self.path = simulation, folder.path
        self.shutting_down = False

    def engine(self) -> Engine:
        return Engine(
            ChangeFolder(self.path),
            self.simulation.server,
            self.simulation.config,
            pause=lambda _: None,
            shutting_down=lambda: self.shutting_down,
        )

    def refusing(self, *_: object, **__: object) -> None:
        """What systemd says to whoever wants anything of it from here on."""
        self.shutting_down = True
        raise HostError("not_started", "dnf could not be started.")


@pytest.mark.parametrize("step", ["download", "start_packages", "config_test", "restart"])
def test_what_fails_while_the_machine_shuts_down_goes_on_after_the_boot(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    machine = Machine(simulation, simulation.folder(simulation.request()))
    with monkeypatch.context() as patched:
        patched.setattr(simulation.server, step, machine.refusing)
        for _ in range(3):  # the agent starts it again, as long as there is an agent
            with pytest.raises(ShuttingDown):
                machine.engine().run()
    lines = kinds(ChangeFolder(machine.path))
    assert not any("failed" in line or "undo" in line or "outcome" in line for line in lines)
    machine.shutting_down = False
    assert machine.engine().run().data["outcome"] == "succeeded"
    simulation.sound()


def test_no_undo_attempt_is_burnt_while_the_machine_shuts_down(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(simulation, simulation.folder(simulation.request()))

    def fail(*_: object) -> None:
        raise HostError("restart", "Apache didn't start.")

    with monkeypatch.context() as patched:
        patched.setattr(simulation.server, "restart", fail)
        patched.setattr(simulation.server, "undo_packages", machine.refusing)
        with pytest.raises(ShuttingDown):
            machine.engine().run()
    lines = kinds(ChangeFolder(machine.path))
    assert lines.count("undo_packages started") == 1
    assert "undo_packages failed" not in lines
    machine.shutting_down = False
    assert machine.engine().run().data["outcome"] == "restored"
    simulation.sound()


def test_no_package_moves_once_the_machine_shuts_down(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(simulation, simulation.folder(simulation.request()))
    rehearse = simulation.server.rehearse

    def and_down(*arguments: object) -> None:
        rehearse(*arguments)  # type: ignore[arg-type]
        machine.shutting_down = True

    with monkeypatch.context() as patched:
        patched.setattr(simulation.server, "rehearse", and_down)
        with pytest.raises(ShuttingDown):
            machine.engine().run()
    folder = ChangeFolder(machine.path)
    assert not progress_of(folder.reports()).touched
    assert simulation.sound().digest == simulation.start.digest


def test_a_repair_that_fails_while_the_machine_shuts_down_has_no_result(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = simulation.spool.repair("a" * 32)
    folder.create("restart-httpd", "2026-03-03T21:04:11.802Z")

    def fail(*_: object) -> None:
        raise HostError("restart", "Apache didn't start.")

    with monkeypatch.context() as patched:
        patched.setattr(simulation.server, "restart", fail)
        with pytest.raises(ShuttingDown):
            carry_out(folder, simulation.server, simulation.spool, lambda: True)
    assert not folder.over
    assert carry_out(folder, simulation.server, simulation.spool, lambda: False).ok


@pytest.mark.parametrize("torn", [b"", b"[]", b'{"sites": 1}'])
def test_taking_back_says_what_is_lost_when_what_was_before_is_torn(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, torn: bytes
) -> None:
    folder = cut_off(simulation, "config_test", monkeypatch)
    with folder.engine_lock():
        folder.report("outcome", {"outcome": "failed", "sentence": "by hand"})
    (folder.path / "before.json").write_bytes(torn)
    done = repair("take-back", simulation.server, simulation.spool)
    assert not done.ok
    assert "The restore point is missing." in done.message


def test_the_log_is_on_the_disk_before_it_is_told(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = simulation.folder(simulation.request())
    simulation.engine(folder).run()
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
    )
    sent: list[str] = []

    def send(name: str, _: object) -> bool:
        assert str(folder.log_path) in synced
        sent.append(name)
        return True

    reporter = Reporter("sim", simulation.spool, Engines(simulation.config), send)
    reporter.follow(folder)
    reporter._send(folder)
    assert sent[0] == "control.log"


@pytest.mark.parametrize(
    ("said", "status", "down"),
    [("stopping", 1, True), ("running", 0, False), ("degraded", 1, False), ("", 1, False)],
)
def test_systemd_says_whether_the_machine_shuts_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, status: int, down: bool
) -> None:
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\necho {said}\nexit {status}\n")
    (tmp_path / "systemctl").chmod(0o755)
    runner = Runner({"PATH": f"{tmp_path}:/usr/bin:/bin"})
    monkeypatch.setattr("easyapache.agent.change.shutdown.systemd_is_init", lambda: True)
    assert is_shutting_down(runner) is down
    assert is_shutting_down(Runner({"PATH": str(tmp_path / "no")})) is False
    monkeypatch.setattr("easyapache.agent.change.shutdown.systemd_is_init", lambda: False)
    assert is_shutting_down(runner) is False


# -- one engine at a time -----------------------------------------------------------------------


class Started(Engines):
    """Notes which engines it would start."""

    def __init__(self, config: HostConfig, clock: Callable[[], float]) -> None:
        super().__init__(config, clock=clock)
        self.started: list[str] = []

    def _start(self, work: object, _: object) -> bool:
        assert isinstance(work, ChangeFolder)
        self.started.append(work.change)
        return True


def test_however_many_changes_are_asked_for_one_engine_works(simulation: Simulation) -> None:
    moment = 1000.0
    engines = Started(simulation.config, lambda: moment)
    folders = [simulation.folder(simulation.request()) for _ in range(10)]
    engines.ensure(folders[0])
    with folders[0].engine_lock():
        for folder in folders[1:]:
            engines.ensure(folder)
        assert engines.started == [folders[0].change]
        moment += PATIENCE / 2
        folders[3].request_cancel()
        for folder in folders[1:]:
            engines.ensure(folder)
        assert engines.started == [folders[0].change, folders[3].change], "it gets an answer"
    moment += 1.0
    assert simulation.engine(folders[0]).run().data["outcome"] == "succeeded"
    engines.ensure(folders[5])
    assert engines.started[-1] == folders[5].change


def test_a_half_done_change_goes_before_one_that_has_not_begun(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    engines = Started(simulation.config, lambda: moment)
    half = cut_off(simulation, "config_test", monkeypatch)
    other = simulation.folder(simulation.request("worker"))
    assert not engines.ensure(other)
    assert engines.ensure(half)
    moment += PATIENCE + 1
    assert engines.ensure(other), "its engine gives the answer that another change is at work"


def refused(simulation: Simulation) -> ChangeFolder:
    request = replace(simulation.request(), server="sim")
    folder = simulation.folder(request)
    folder.request_cancel()
    assert simulation.engine(folder).run().data["outcome"] == "canceled"
    folder.set_delivered(len(folder.reports()), folder.log_size)
    return folder


def test_what_altered_nothing_leaves_little_and_never_runs_again(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easyapache.agent.change.spool.KEEP_REFUSED", 2)
    assert KEEP_REFUSED > 2
    folders = []
    for number in range(4):
        folder = refused(simulation)
        os.utime(folder.path / "request.json", (number, number))
        folders.append(folder)
    message = folders[0].read_json("request.json")
    assert simulation.spool.prune(now()) == 4
    assert [folder.path.exists() for folder in folders] == [False, False, True, True]
    assert not any((folder.path / "reserve").exists() for folder in folders)
    with pytest.raises(BadMessage, match="long ago"):
        simulation.spool.create_raw(folders[0].change, message)
    assert simulation.spool.create_raw(folders[3].change, message)[1] is False


def test_power_cuts_are_not_caught(simulation: Simulation) -> None:
    assert not issubclass(PowerCut, Exception)
    assert ShuttingDown().code == 76
    assert not issubclass(ShuttingDown, Exception)
