"""A shutdown is held back while an engine alters the server. With programs in place of
systemd-inhibit; ``python -m tests.machine`` tries it with systemd-logind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from easyapache.agent.change import inhibitor
from easyapache.agent.change.inhibitor import Inhibitor
from easyapache.agent.runner import Runner

GIVES = """\
#!/bin/sh
echo "$@" >>{notes}
while [ "${{1#--}}" != "$1" ]; do shift; done
exec "$@"
"""
REFUSES = (
    "#!/bin/sh\necho 'Failed to inhibit: Unit dbus-org.freedesktop.login1.service is masked.'\n"
)
HANGS = "#!/bin/sh\nexec sleep 60\n"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(inhibitor, "systemd_is_init", lambda: True)
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def program(tools: Path, text: str) -> Runner:
    script = tools / "systemd-inhibit"
    script.write_text(text.format(notes=tools / "notes") if text is GIVES else text)
    script.chmod(0o755)
    return Runner({"PATH": f"{tools}:/usr/bin:/bin"})


def holders(tools: Path) -> list[str]:
    said = subprocess.run(["pgrep", "-f", "timeout 900 cat"], capture_output=True, text=True)
    return [pid for pid in said.stdout.split() if f"{tools}:" in environment(pid)]


def environment(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_both_locks_are_held_until_they_are_released(tools: Path) -> None:
    said: list[str] = []
    held = Inhibitor(program(tools, GIVES), said.append)
    assert held.take("Change 42")
    assert not held.take("Change 43"), "the first call counts"
    notes = (tools / "notes").read_text()
    assert "--what=shutdown --mode=block --who=EA4 MPM panel --why=Change 42" in notes
    assert "--what=shutdown --mode=delay" in notes
    assert len(holders(tools)) == 1
    held.release()
    assert holders(tools) == []
    assert said == []


def test_the_locks_end_with_an_engine_that_is_killed(tools: Path) -> None:
    program(tools, GIVES)
    script = (
        "import os, signal\n"
        "from easyapache.agent.change import inhibitor\n"
        "from easyapache.agent.runner import Runner\n"
        "inhibitor.systemd_is_init = lambda: True\n"
        f"held = inhibitor.Inhibitor(Runner({{'PATH': '{tools}:/usr/bin:/bin'}}), print)\n"
        "assert held.take('Change 42')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], env=os.environ)
    assert ended.returncode == -9
    end = time.monotonic() + 10
    while holders(tools):
        assert time.monotonic() < end, "the locks outlast the engine"
        time.sleep(0.05)


def test_without_logind_the_work_goes_on_and_the_log_says_so_once(tools: Path) -> None:
    said: list[str] = []
    held = Inhibitor(program(tools, REFUSES), said.append)
    assert not held.take("Change 42")
    assert not held.take("Change 42")
    assert len(said) == 1
    assert "isn't held back by it (Failed to inhibit: Unit dbus-org" in said[0]


def test_without_the_program_the_work_goes_on_too(tools: Path) -> None:
    said: list[str] = []
    assert not Inhibitor(Runner({"PATH": str(tools)}), said.append).take("Change 42")
    assert "systemd-inhibit can't be run" in said[0]


def test_a_logind_that_does_not_answer_is_not_waited_for(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inhibitor, "PATIENCE", 0.2)
    said: list[str] = []
    begin = time.monotonic()
    assert not Inhibitor(program(tools, HANGS), said.append).take("Change 42")
    assert time.monotonic() - begin < 8
    assert len(said) == 1


def test_where_systemd_is_not_process_1_nothing_is_asked(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inhibitor, "systemd_is_init", lambda: False)
    said: list[str] = []
    assert not Inhibitor(program(tools, GIVES), said.append).take("Change 42")
    assert said == []
    assert not (tools / "notes").exists()
