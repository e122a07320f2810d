"""Commands as others use them: in a pipe, in a terminal without colors, interrupted."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpm.cli.commands import display
from mpm.cli.commands.definition import parser_of
from mpm.cli.commands.display import Terminal, table
from mpm.models import Change
from tests.api.conftest import AddServer, AddToken

PROJECT = Path(__file__).resolve().parents[2]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(live_server: Any, add_token: AddToken) -> Start:
    token = add_token("admin", name="boss").text

    def run(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mpm.cli.remote.main", *arguments],
            cwd=PROJECT,
            env={
                **os.environ,
                "EA4MPM_URL": str(live_server.url),
                "EA4MPM_TOKEN": token,
                "XDG_CONFIG_HOME": "/nonexistent",
                "PYTHONUNBUFFERED": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("arguments", [("status",), ("server", "list", "--json")])
def test_a_program_that_reads_no_further_ends_the_command_without_a_word(
    start: Start, add_server: AddServer, arguments: tuple[str, ...]
) -> None:
    add_server("web03")
    process = start(*arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    text = process.stderr.read()
    assert (process.wait(60), text) == (141, "")


@pytest.mark.django_db(transaction=True)
def test_an_interrupt_from_afar_says_that_the_change_continues_and_how_to_follow_it(
    start: Start, add_server: AddServer
) -> None:
    add_server("web03")
    process = start("switch", "event", "--stored", "--yes", "--wait")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("#"):
            break
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    change = Change.objects.get()
    assert (process.returncode, change.finished) == (130, False)
    assert "Traceback" not in text
    assert f"Change #{change.pk} continues on the server." in text
    assert f"ea4mpm log -f {change.pk}" in text


def shell(live_server: Any, token: str, line: str, **more: str) -> subprocess.CompletedProcess[str]:
    """``line`` in a shell, where ``$EA4MPM`` is the command."""
    command = f"{sys.executable} -m mpm.cli.remote.main"
    environment = {"EA4MPM_URL": str(live_server.url), "EA4MPM_TOKEN": token, "EA4MPM": command}
    return subprocess.run(
        ["bash", "-c", line],
        cwd=PROJECT,
        env={**os.environ, "XDG_CONFIG_HOME": "/nonexistent", **environment, **more},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.django_db(transaction=True)
def test_odd_ends_of_a_command_are_one_sentence_or_none(
    live_server: Any, add_server: AddServer, add_token: AddToken
) -> None:
    add_server("web03", note="für → Köln")
    token = add_token("admin").text
    cases = {
        "$EA4MPM status >/dev/full": (1, "The answer can't be written: No space left on device\n"),
        "$EA4MPM status --json >/dev/full": (
            1,
            "The answer can't be written: No space left on device\n",
        ),
        "$EA4MPM status >&-": (0, ""),
        "$EA4MPM status --server $'\\xff'": (2, "An argument isn't UTF-8 text: '\\udcff'\n"),
        "$EA4MPM status --server web/03": (3, "There is no server called 'web/03'.\n"),
        "$EA4MPM show ..": (2, "'..' is no name here.\n"),
        "$EA4MPM switch event --stored <&-": (2, None),
    }
    for line, (status, said) in cases.items():
        done = shell(live_server, token, line)
        assert done.returncode == status, (line, done)
        assert "Traceback" not in done.stderr
        if said is not None:
            assert (line, done.stderr) == (line, said)
    assert not Change.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_terminal_of_another_encoding_gets_codes_for_what_it_lacks(
    live_server: Any, add_server: AddServer, add_token: AddToken
) -> None:
    add_server("web03", note="für → Köln")
    token = add_token("admin").text
    for encoding, shown in (("latin-1", "f\xfcr \\u2192 K"), ("ascii", "f\\xfcr \\u2192 K")):
        line = "$EA4MPM server show web03 | iconv -f latin1 -t utf-8"
        done = shell(live_server, token, line, PYTHONIOENCODING=encoding)
        assert shown in done.stdout, (encoding, done)
        line = "$EA4MPM server show web03 --json"
        done = shell(live_server, token, line, PYTHONIOENCODING=encoding)
        assert json.loads(done.stdout)["note"] == "für → Köln"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--url", "http://x", "status"), "write --url after the command"),
        (("-x", "status"), "write -x after the command"),
        (("status", "--server", "a", "--server", "b"), "argument --server: give it once"),
        (("history", "--limit", "1e3"), "argument --limit: '1e3' isn't a whole number"),
        (("history", "--limit", "٣"), "argument --limit: '٣' isn't a whole number"),
        (("switch", "event", "--timeout", "nan"), "'nan' isn't a number of seconds"),
        (("switch", "event", "--timeout", "-1"), "argument --timeout: "),
        (("token", "rotate", "x", "--overlap-hours", "1.5"), "'1.5' isn't a whole number"),
        (("history", "--", "--server", "web03"), "unrecognized arguments"),
    ],
)
def test_an_argument_that_cannot_be_meant_is_named(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for parser in (parser_of("ea4mpm", remote=True), parser_of("manage.py mpm", remote=False)):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(arguments)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def test_an_option_that_may_be_repeated_still_may() -> None:
    parser = parser_of("ea4mpm", remote=True)
    options = parser.parse_args(["switch", "event", "--add", "a", "--add", "b"])
    assert options.add == ["a", "b"]


def test_nothing_is_wrapped_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = io.StringIO()
    problem = {"detail": f"Other users can read the token: chmod 600 /{'folder/' * 20}config.toml"}
    display.problem(Terminal(out), problem)
    table(Terminal(out), [{"a": "x" * 60, "b": "y" * 60}], ("Name", "a"), ("Reason", "b"))
    assert out.getvalue().splitlines() == [
        problem["detail"],
        f"Name{' ' * 58}Reason",
        f"{'x' * 60}  {'y' * 60}",
    ]


def test_no_color_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    colored, plain = io.StringIO(), io.StringIO()
    Terminal(colored).write_line("Succeeded", "green")
    monkeypatch.setenv("NO_COLOR", "1")
    Terminal(plain).write_line("Succeeded", "green")
    assert "\x1b[32m" in colored.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*3\d", plain.getvalue())


def test_what_a_server_sends_does_not_drive_the_terminal() -> None:
    out = io.StringIO()
    Terminal(out).write_line("\x1b]0;mine\x07 \u202eyes\x9b2J ok")
    assert out.getvalue() == "\\x1b]0;mine\\x07 \\u202eyes\\x9b2J ok\n"


def test_a_column_is_as_wide_as_what_is_in_it() -> None:
    out = io.StringIO()
    items = [{"name": "web", "mpm": "event"}, {"name": "日本語", "mpm": "a\nb"}]
    table(Terminal(out), items, ("Server", "name"), ("MPM", lambda item: (item["mpm"], "green")))
    assert out.getvalue().splitlines() == ["Server  MPM", "web     event", "日本語  a b"]
