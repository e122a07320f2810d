from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyapache.agent.change.durable import Busy
from easyapache.agent.change.folder import LONGEST_REPORT, ChangeFolder, cut_to_fit, now
from easyapache.agent.change.spool import Spool
from easyapache.ea4.schema import BadMessage
from tests.engine.simulation import Simulation


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    return Simulation(tmp_path)


@pytest.fixture
def folder(simulation: Simulation) -> ChangeFolder:
    return simulation.folder(simulation.request())


def test_the_same_request_five_times_makes_one_folder(simulation: Simulation) -> None:
    request = simulation.request()
    made: list[bool] = []

    def create() -> None:
        made.append(simulation.spool.create(request)[1])

    threads = [threading.Thread(target=create) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, False, True]
    assert [item.change for item in simulation.spool.folders()] == [request.change]
    assert simulation.spool.folders()[0].request() == request


def test_nobody_else_can_read_the_spool(simulation: Simulation, folder: ChangeFolder) -> None:
    for path in (simulation.spool.root, folder.path, folder.kit, folder.output):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    with folder.engine_lock():
        folder.report("step", {})
        folder.log("preflight", "hello")
    for path in (folder.journal_path, folder.log_path, folder.path / "request.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_spool_of_somebody_else_is_not_used(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(PermissionError, match="belongs to user"):
        simulation.spool.prepare()


def test_reports_count_from_one_without_gaps(folder: ChangeFolder) -> None:
    with folder.engine_lock():
        for number in range(20):
            assert folder.report("step", {"number": number}).seq == number + 1
    again = ChangeFolder(folder.path)
    assert [item.seq for item in again.reports()] == list(range(1, 21))
    assert [item.data["number"] for item in again.reports()] == list(range(20))


def test_a_report_too_long_for_a_message_is_shortened_and_says_by_how_much(
    folder: ChangeFolder,
) -> None:
    with folder.engine_lock():
        written = folder.report("step", {"step": "packages", "detail": "x" * 3_000_000})
        folder.report("step", {"step": "restart", "detail": "short"})
    assert [report.seq for report in folder.reports()] == [1, 2]
    assert folder.reports()[0] == written
    detail = written.data["detail"]
    assert detail.startswith("xxx")
    assert f"({3_000_000 - detail.count('x')} more characters)" in detail
    assert len(json.dumps(written.as_json())) <= LONGEST_REPORT


def test_an_outcome_too_long_for_a_message_leaves_the_profile_out_whole(
    folder: ChangeFolder,
) -> None:
    packages = [{"name": f"ea-{number}", "summary": "x" * 100} for number in range(20_000)]
    with folder.engine_lock():
        written = folder.report("outcome", {"outcome": "failed", "profile": {"packages": packages}})
    assert written.data == {"outcome": "failed", "profile": None}


ANY_DATA = st.fixed_dictionaries(
    {
        "step": st.sampled_from(["packages", "restart"]),
        "detail": st.text(max_size=5000),
        "items": st.lists(st.text(max_size=200) | st.integers(), max_size=300),
        "words": st.fixed_dictionaries({"detail": st.lists(st.text(max_size=2000), max_size=9)}),
    }
)


@given(ANY_DATA, st.integers(1500, 9000))
def test_what_is_cut_keeps_its_names_and_fits(data: dict[str, Any], most: int) -> None:
    cut = cut_to_fit(data, most)
    assert set(cut) == set(data)
    assert cut["step"] == data["step"]
    assert len(json.dumps(cut)) <= most
    if len(json.dumps(data)) <= most:
        assert cut == data


def test_whoever_reads_while_another_thread_writes_never_breaks_the_numbering(
    folder: ChangeFolder,
) -> None:
    """The thread that answers a cancel does so for as long as the change goes on."""
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            folder.reports()

    readers = [threading.Thread(target=read) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for reader in readers:
            reader.start()
        with folder.engine_lock():
            for _ in range(200):
                folder.report("step", {})
    finally:
        over.set()
        for reader in readers:
            reader.join()
        sys.setswitchinterval(interval)
    written = [json.loads(line)["seq"] for line in folder.journal_path.read_text().splitlines()]
    assert written == list(range(1, 201))


def test_nothing_follows_an_outcome(folder: ChangeFolder) -> None:
    with folder.engine_lock():
        folder.report("outcome", {"outcome": "failed"})
        with pytest.raises(RuntimeError):
            folder.report("step", {})
    assert len(folder.reports()) == 1


@settings(max_examples=60, deadline=None)
@given(lines=st.integers(0, 4), torn=st.binary(min_size=1, max_size=40))
def test_whatever_a_crash_leaves_behind_the_last_line_is_cut(
    tmp_path_factory: pytest.TempPathFactory, lines: int, torn: bytes
) -> None:
    path = tmp_path_factory.mktemp("spool") / ("a" * 32)
    path.mkdir()
    folder = ChangeFolder(path)
    with folder.engine_lock():
        for number in range(lines):
            folder.report("step", {"number": number})
    with folder.journal_path.open("ab") as handle:
        handle.write(torn)
    reader = ChangeFolder(path)
    assert len(reader.reports()) == lines
    with reader.engine_lock():
        assert reader.report("step", {"number": lines}).seq == lines + 1
    assert [r.data["number"] for r in ChangeFolder(path).reports()] == list(range(lines + 1))
    assert [r.seq for r in folder.reports()][:lines] == list(range(1, lines + 1))


def test_a_reader_sees_a_line_only_when_it_is_whole(folder: ChangeFolder) -> None:
    with folder.engine_lock():
        folder.report("step", {"number": 1})
        line = json.dumps({"seq": 2, "at": "x", "kind": "step", "data": {}}).encode() + b"\n"
        reader = ChangeFolder(folder.path)
        for cut in range(len(line)):
            with folder.journal_path.open("ab") as handle:
                handle.write(line[cut : cut + 1])
            assert len(reader.reports()) == (2 if cut == len(line) - 1 else 1)


def test_only_one_engine_holds_a_change(folder: ChangeFolder) -> None:
    assert not folder.engine_at_work
    with folder.engine_lock():
        other = ChangeFolder(folder.path)
        assert other.engine_at_work
        with pytest.raises(Busy), other.engine_lock(patience=0):
            pass
    assert not folder.engine_at_work


def test_a_killed_holder_holds_nothing(folder: ChangeFolder) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from easyapache.agent.change.folder import ChangeFolder\n"
        "with ChangeFolder(Path(sys.argv[1])).engine_lock():\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert folder.engine_at_work
        process.kill()
    assert not folder.engine_at_work


def test_the_last_lines_are_written_on_a_full_disk(
    folder: ChangeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full until the reserve is given back, as a real one would be."""
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if (folder.path / "reserve").exists():
            real(descriptor, bytes(data)[:3])
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with folder.engine_lock():
        folder.report("outcome", {"outcome": "failed"})
    assert not (folder.path / "reserve").exists()
    assert folder.outcome is not None
    assert folder.journal_path.read_bytes().count(b"\n") == 1


def test_the_reserve_of_the_journal_is_not_spent_on_what_was_delivered(
    folder: ChangeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    folder.set_delivered(3, 100)
    assert (folder.path / "reserve").exists()
    assert folder.delivered() == (0, 0)


def test_a_log_that_finds_no_room_stops_nothing(
    folder: ChangeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    folder.log("packages", "a line")
    assert folder.log_size == 0


def test_every_line_of_the_log_says_when_and_in_which_step(folder: ChangeFolder) -> None:
    folder.log("packages", "first\nsecond")
    text = folder.log_from(0).decode()
    assert [line[24:] for line in text.splitlines()] == [" packages  first", " packages  second"]
    assert text[4] == "-"
    assert text[23] == "Z"
    assert folder.log_from(len(text)) == b""


def test_a_change_id_cannot_lead_out_of_the_spool(simulation: Simulation) -> None:
    for bad in ("../../etc", "A" * 32, "a" * 31, "a" * 32 + "\n", ""):
        assert simulation.spool.folder(bad) is None
        with pytest.raises(BadMessage):
            simulation.spool.create_raw(bad, {})


def test_pruning_keeps_what_makes_a_doubled_message_harmless(simulation: Simulation) -> None:
    changes: list[ChangeFolder] = []
    for mpm in ("event", "worker", "event", "worker"):
        folder = simulation.folder(simulation.request(mpm))
        simulation.engine(folder).run()
        folder.set_delivered(len(folder.reports()), folder.log_size)
        os.utime(folder.path / "request.json", (len(changes), len(changes)))
        changes.append(folder)
    later = now() + timedelta(days=31)
    assert simulation.spool.prune(later, keep_days=30, keep_kits=2) == 2
    assert [folder.kit.exists() for folder in changes] == [False, False, True, True]
    assert simulation.spool.prune(later, keep_days=30, keep_kits=2) == 0
    for folder in changes:
        same, fresh = simulation.spool.create(folder.request())
        assert not fresh
        assert ChangeFolder(same.path).outcome is not None
    assert Spool(simulation.spool.root).unfinished() == []


def test_what_the_panel_was_not_told_is_never_pruned(simulation: Simulation) -> None:
    folder = simulation.folder(simulation.request())
    simulation.engine(folder).run()
    later = now() + timedelta(days=400)
    assert simulation.spool.prune(later, keep_kits=0) == 0
    folder.set_delivered(len(folder.reports()), folder.log_size)
    assert simulation.spool.prune(later, keep_kits=0) == 1
