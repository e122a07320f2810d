"""Starting programs, and staying with them when everything else dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from easyapache.agent.change import process_wrapper
from easyapache.agent.httpd.processes import Identity, identify
from easyapache.agent.runner import Detached, Runner
from easyapache.agent.server import HostError, Stopped


@pytest.fixture
def runner() -> Runner:
    return Runner({"WORD": "given"})


def sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def wait_until(true: object, seconds: float = 10.0) -> None:
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def test_a_program_gets_a_clean_environment_and_no_input(runner: Runner) -> None:
    said = runner.capture(sh("env; cat"))
    names = {line.partition("=")[0] for line in said.stdout.splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "HOME", "LC_ALL", "LANG", "WORD"}


def test_both_streams_and_the_status_are_kept_apart(runner: Runner) -> None:
    said = runner.capture(sh("echo out; echo err >&2; exit 3"))
    assert (said.status, said.stdout, said.stderr) == (3, "out\n", "err\n")


def test_a_program_that_does_not_exist_is_named(runner: Runner) -> None:
    with pytest.raises(HostError) as refused:
        runner.capture(["/no/such/program"])
    assert refused.value.code == "no_such_program"
    assert "/no/such/program" in refused.value.message


def test_what_may_be_stopped_is_given_up_at_once_with_all_it_started(
    runner: Runner, tmp_path: Path
) -> None:
    heard: list[str] = []
    begun = time.monotonic()
    with pytest.raises(Stopped):
        runner.perform(
            sh(f"sleep 30 & echo $! > {tmp_path}/child; echo begun; sleep 30"),
            heard.append,
            lambda: bool(heard),
        )
    assert time.monotonic() - begun < 10
    assert heard == ["begun"]
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: identify(child) is None)


def test_a_question_that_takes_too_long_is_given_up_with_all_it_started(runner: Runner) -> None:
    with pytest.raises(HostError) as refused:
        runner.capture(sh("sleep 30 & sleep 30"), limit=0.2)
    assert refused.value.code == "no_answer"


@pytest.mark.parametrize("most", [0, 1000])
def test_what_a_program_left_behind_in_another_session_is_not_waited_for(
    runner: Runner, most: int, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    begun = time.monotonic()
    try:
        with pytest.raises(HostError) as refused:
            runner.capture(
                sh(f"setsid sh -c 'echo $$ >{pid}; exec sleep 60' & sleep 60"), limit=0.5, most=most
            )
        assert refused.value.code == "no_answer"
        assert time.monotonic() - begun < 20
    finally:
        wait_until(lambda: pid.exists() and pid.read_text().strip())
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_lines_come_as_they_are_written(runner: Runner) -> None:
    at: list[float] = []
    runner.perform(sh("echo one; sleep 0.3; echo two"), lambda _: at.append(time.monotonic()))
    assert at[1] - at[0] > 0.2


def test_a_daemon_that_keeps_the_streams_open_does_not_hold_us_up(runner: Runner) -> None:
    begun = time.monotonic()
    done = runner.perform(sh("echo here; sleep 8 & echo $!"), lambda _: None)
    os.kill(int(done.stdout.split()[-1]), signal.SIGKILL)
    assert time.monotonic() - begun < 6


def test_a_detached_program_is_followed_to_its_status(runner: Runner, tmp_path: Path) -> None:
    runner.start_detached(sh("echo one; sleep 0.2; echo two; exit 7"), tmp_path, "job", "unit")
    lines: list[str] = []
    assert Detached(tmp_path, "job").follow(lines.append) == 7
    assert lines == ["one", "two"]


def test_it_is_started_at_most_once(runner: Runner, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for _ in range(3):
        runner.start_detached(sh(f"echo run >> {mark}"), tmp_path, "job", "unit")
    Detached(tmp_path, "job").follow(lambda _: None)
    assert mark.read_text() == "run\n"


def test_whoever_follows_next_hears_only_what_is_new(runner: Runner, tmp_path: Path) -> None:
    runner.start_detached(sh("echo one; sleep 0.5; echo two"), tmp_path, "job", "unit")
    first: list[str] = []

    class Killed(Exception):
        pass

    def hear(line: str) -> None:
        first.append(line)

    def die(_: float) -> None:
        if first:
            raise Killed

    with pytest.raises(Killed):
        Detached(tmp_path, "job").follow(hear, pause=die)
    second: list[str] = []
    assert Detached(tmp_path, "job").follow(second.append) == 0
    assert (first, second) == (["one"], ["two"])


def test_a_program_is_followed_to_its_end_on_a_full_disk(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> int:
        raise OSError(28, "No space left on device")

    runner.start_detached(sh("echo one; sleep 0.2; echo two"), tmp_path, "job", "unit")
    monkeypatch.setattr(Path, "write_text", full)
    lines: list[str] = []
    assert Detached(tmp_path, "job").follow(lines.append) == 0
    assert lines == ["one", "two"]


def test_a_keeper_that_comes_after_it_was_given_up_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easyapache.agent.runner._START_LIMIT", 0.05)
    with pytest.raises(HostError, match="did not start"):
        Detached(tmp_path, "job").wait_for_start()
    mark = tmp_path / "mark"
    assert process_wrapper.keep(str(tmp_path), "job", ["touch", str(mark)]) == 0
    assert not mark.exists()
    assert not Detached(tmp_path, "job").running


def test_killing_the_starter_does_not_touch_the_program(tmp_path: Path) -> None:
    code = (
        "from easyapache.agent.runner import Runner\n"
        "from pathlib import Path\n"
        "import os, signal\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "work = ['/bin/sh', '-c', 'sleep 0.5; echo done']\n"
        "Runner({}).start_detached(work, folder, 'job', 'u')\n"
        "os.killpg(0, signal.SIGKILL)\n"
    )
    starter = subprocess.run([sys.executable, "-c", code], start_new_session=True, check=False)
    assert starter.returncode == -signal.SIGKILL
    lines: list[str] = []
    assert Detached(tmp_path, "job").follow(lines.append) == 0
    assert lines == ["done"]


def test_a_keeper_that_is_to_end_waits_for_its_program_which_has_its_own_ways_with_that(
    runner: Runner, tmp_path: Path
) -> None:
    script = "trap 'echo ended; exit 7' TERM; echo begun; while :; do sleep 0.05; done"
    runner.start_detached(sh(script), tmp_path, "job", "unit")
    detached = Detached(tmp_path, "job")
    wait_until(lambda: "begun" in detached.output())
    said = json.loads((tmp_path / "job.start").read_text())
    os.kill(said["keeper"], signal.SIGTERM)
    time.sleep(0.3)
    assert detached.running
    assert detached.status is None
    os.kill(said["pid"], signal.SIGTERM)
    wait_until(lambda: detached.status == 7)
    assert detached.output() == "begun\nended\n"


def test_when_the_keeper_dies_the_program_goes_on_and_only_its_status_is_lost(
    runner: Runner, tmp_path: Path
) -> None:
    runner.start_detached(sh("sleep 0.6; echo done"), tmp_path, "job", "unit")
    keeper = int(json.loads((tmp_path / "job.start").read_text())["keeper"])
    os.kill(keeper, signal.SIGKILL)
    job = Detached(tmp_path, "job")
    assert job.running
    lines: list[str] = []
    assert job.follow(lines.append) is None
    assert lines == ["done"]


def test_a_killed_program_leaves_the_signal_as_its_status(runner: Runner, tmp_path: Path) -> None:
    runner.start_detached(sh("sleep 30"), tmp_path, "job", "unit")
    job = Detached(tmp_path, "job")
    assert job.identity is not None
    os.kill(job.identity.pid, signal.SIGKILL)
    assert job.follow(lambda _: None) == -signal.SIGKILL


def test_a_pid_given_to_another_process_is_not_the_same_process() -> None:
    mine = identify(os.getpid())
    assert mine is not None
    assert mine.alive
    assert not Identity(mine.pid, mine.started - 1, mine.boot).alive
    assert not Identity(mine.pid, mine.started, "another boot").alive


def test_a_zombie_counts_as_gone() -> None:
    child = subprocess.Popen(["/bin/true"])
    wait_until(lambda: identify(child.pid) is None)
    assert Path(f"/proc/{child.pid}").exists()
    child.wait()


def test_with_systemd_it_becomes_a_transient_unit_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with a real systemd: a program of that name that notes its arguments and runs them."""
    tools = tmp_path / "bin"
    tools.mkdir()
    script = tools / "systemd-run"
    script.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n'
        'while [ "$1" != -- ]; do shift; done; shift\n"$@" &\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr("easyapache.agent.runner.systemd_is_init", lambda: True)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    runner = Runner({"PATH": f"{tools}:/usr/bin:/bin", "WORD": "given"})
    runner.start_detached(sh("echo $WORD"), tmp_path / "job", "packages", "ea4-change-1")
    lines: list[str] = []
    assert Detached(tmp_path / "job", "packages").follow(lines.append) == 0
    assert lines == ["given"]
    arguments = (tmp_path / "arguments").read_text()
    assert "--unit=ea4-change-1 --collect" in arguments
    assert "--property=KillMode=process" in arguments
    assert "--setenv=WORD=given" in arguments
