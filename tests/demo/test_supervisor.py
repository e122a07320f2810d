"""The supervisor, on small programs of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

from easyapache.agent.httpd.processes import identify

SUPERVISE = """
    import os, signal, sys, threading
    from pathlib import Path
    from demo.supervisor import NotReady, Part, Supervisor

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    say = lambda text: print(text, flush=True)
    supervisor = Supervisor(Path(sys.argv[1]), say)

    def part(name, code, **more):
        return Part(name, (sys.executable, "-c", code), {"PATH": os.environ["PATH"]}, **more)

    def run(*parts):
        try:
            for one in parts:
                supervisor.start(one)
                supervisor.wait(one.name, 10, stopped)
            say("up " + " ".join(str(pid) for pid in supervisor.pids().values()))
            supervisor.watch(stopped, lambda: say("changed"))
        except NotReady as error:
            say(f"not ready: {error}")
        finally:
            supervisor.stop()
            supervisor.sweep(patience=2)
            say("over")
"""
"""Runs in a process of its own, because a supervisor adopts whatever is orphaned below it."""

FOREVER = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
DETACHING = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], "
    "start_new_session=True); print('child', child.pid, flush=True); time.sleep(600)"
)


class Supervised:
    def __init__(self, folder: Path, call: str) -> None:
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SUPERVISE) + call, str(self.logs)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parent.parent.parent,
        )

    def line(self, start: str, limit: float = 20.0) -> str:
        """The next line that begins so."""
        assert self.process.stdout is not None
        killer = threading.Timer(limit, self.process.kill)
        killer.start()
        try:
            for line in self.process.stdout:
                if line.startswith(start):
                    return line.strip()
        finally:
            killer.cancel()
        raise AssertionError(f"it never said {start!r}")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.line("over")
        assert self.process.wait(10) == 0


def gone(pid: int) -> bool:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if identify(pid) is None:
            return True
        time.sleep(0.02)
    return False


def test_what_ends_is_started_again_and_said(tmp_path: Path) -> None:
    supervised = Supervised(tmp_path, f"run(part('one', {FOREVER!r}))")
    pid = int(supervised.line("up ").split()[1])
    os.kill(pid, signal.SIGKILL)
    assert supervised.line("one: ended") == "one: ended with SIGKILL; starting it again in 1 s"
    again = supervised.line("one: started again")
    assert f"(process {pid})" not in again
    assert supervised.line("changed")
    supervised.end()


def test_what_ends_again_and_again_is_given_longer_pauses(tmp_path: Path) -> None:
    supervised = Supervised(
        tmp_path, "run(part('one', 'raise SystemExit(3)', ready=lambda _: True))"
    )
    pauses = [supervised.line("one: ended").rsplit(" ", 2)[1] for _ in range(3)]
    assert pauses == ["1", "2", "4"]
    supervised.end()


def test_what_never_becomes_ready_is_reported_with_its_last_words(tmp_path: Path) -> None:
    code = "print('the disk is full'); raise SystemExit(7)"
    supervised = Supervised(tmp_path, f"run(part('one', {code!r}, ready=lambda _: False))")
    assert "one ended with 7" in supervised.line("not ready")
    assert "the disk is full" in supervised.line("    ")
    supervised.line("over")
    assert supervised.process.wait(10) == 0


def test_what_will_not_end_is_killed(tmp_path: Path) -> None:
    supervised = Supervised(tmp_path, f"run(part('deaf', {DEAF!r}, patience=0.5))")
    pid = int(supervised.line("up ").split()[1])
    time.sleep(0.3)
    supervised.end()
    assert gone(pid)


def test_a_process_that_detached_itself_does_not_outlive_the_supervisor(tmp_path: Path) -> None:
    ready = "ready=lambda written: 'child' in written"
    supervised = Supervised(tmp_path, f"run(part('one', {DETACHING!r}, {ready}))")
    parent = int(supervised.line("up ").split()[1])
    child = int((supervised.logs / "one.log").read_text().split()[1])
    os.kill(parent, signal.SIGKILL)
    supervised.line("one: started again")
    assert identify(child) is not None
    supervised.end()
    assert gone(child)


def test_parts_do_not_outlive_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    begun = f"print('begun', flush=True); {FOREVER}"
    ready = "ready=lambda written: 'begun' in written"
    supervised = Supervised(tmp_path, f"run(part('one', {begun!r}, {ready}))")
    pid = int(supervised.line("up ").split()[1])
    supervised.process.kill()
    supervised.process.wait()
    assert gone(pid)
