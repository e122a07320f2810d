"""What bash, zsh and fish complete after ``ea4mpm``, asked of the shells themselves."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpm.cli.commands.completion import SHELLS, script
from mpm.cli.commands.definition import parser_of
from mpm.cli.remote.main import main

PATIENCE = 30.0
EXPECTED = (
    ("ea4mpm sw", "switch"),
    ("ea4mpm status --server w", "web03"),
    ("ea4mpm switch pre", "prefork"),
    ("ea4mpm switch event --server web03 --tic", "--ticket"),
    ("ea4mpm token rot", "rotate"),
    ("ea4mpm token create x --scope ro", "rollback"),
)
PANEL = """ea4mpm() { echo '    "name": "web03",'; }\n"""
DONE = "echo do''ne"
"""What is typed does not look like what it shows."""


def test_completion_offers_exactly_what_the_arguments_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = (
        *("server", "status", "plan", "switch", "log", "show", "history", "events", "doctor"),
        *("rollback", "cancel", "token", "webhook", "completion"),
    )
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        text = capsys.readouterr().out
        assert text == script(shell, parser_of("ea4mpm", remote=True))
        for word in (*commands, "prefork", "not-before", "overlap-hours", "rotate"):
            assert word in text, (shell, word)


def completed(*words: str) -> list[str]:
    """What bash offers after ``words``, the last of which is unfinished."""
    text = (
        script("bash", parser_of("ea4mpm", remote=True))
        + PANEL
        + f"COMP_WORDS=({' '.join(words) or repr('')})\n"
        + f"COMP_CWORD={len(words) - 1}\n_ea4mpm\n"
        + 'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    return run([program("bash"), "--noprofile", "--norc"], text).split()


def test_bash_completes_commands_servers_and_options() -> None:
    assert completed("ea4mpm", "s") == ["status", "switch", "show", "server"]
    assert completed("ea4mpm", "status", "--server", "w") == ["web03"]
    assert completed("ea4mpm", "switch", "pre") == ["prefork"]
    assert "--ticket" in completed("ea4mpm", "switch", "event", "--server", "web03", "--t")
    assert completed("ea4mpm", "token", "rot") == ["rotate"]
    assert completed("ea4mpm", "token", "rotate", "x", "--o") == ["--overlap-hours"]
    assert completed("ea4mpm", "token", "list", "--o") == []


def program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed (Debian: apt-get install {name})"
    return found


def run(shell: list[str], text: str) -> str:
    done = subprocess.run(shell, input=text, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(("line", "word"), EXPECTED)
def test_fish_completes(line: str, word: str) -> None:
    panel = """function ea4mpm; echo '    "name": "web03",'; end\n"""
    text = script("fish", parser_of("ea4mpm", remote=True)) + panel + f"complete -C {line!r}\n"
    assert run([program("fish"), "--no-config"], text).split() == [word]


class Zsh:
    """One at a terminal, as a person has it: zsh completes nowhere else."""

    def __init__(self, folder: Path) -> None:
        self.terminal, inside = pty.openpty()
        self.process = subprocess.Popen(
            [program("zsh"), "-f", "-i"],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env={"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(folder), "PS1": "> "},
            start_new_session=True,
        )
        os.close(inside)

    def type(self, keys: str, until: str) -> str:
        """What it shows, up to and with ``until``."""
        os.write(self.terminal, keys.encode())
        shown, end = "", time.monotonic() + PATIENCE
        while until not in shown:
            ready, _, _ = select.select([self.terminal], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{keys!r} did not lead to {until!r}: {shown!r}"
            shown += os.read(self.terminal, 4096).decode(errors="replace")
        return shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


@pytest.fixture(scope="module")
def zsh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zsh]:
    """One that has read the completion, without any setting of its own before."""
    folder = tmp_path_factory.mktemp("zsh")
    (folder / "completion").write_text(script("zsh", parser_of("ea4mpm", remote=True)) + PANEL)
    shell = Zsh(folder)
    try:
        output = shell.type(f"source {folder}/completion; {DONE}\n", "done\r\n")
        assert "not found" not in output
        yield shell
    finally:
        shell.close()


@pytest.mark.parametrize(("line", "word"), EXPECTED)
def test_zsh_completes(zsh: Zsh, line: str, word: str) -> None:
    whole = f"{line.rpartition(' ')[0]} {word} "
    zsh.type(f"{line}\t", whole)
    zsh.type(f"\x15{DONE}\n", "done\r\n")
