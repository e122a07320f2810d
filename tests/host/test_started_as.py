"""The words httpd was started with, as far as they decide what its configuration is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from easyapache.agent.httpd.started_as import StartedAs, options_of, started_as


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("-DSSL", "-k", "start"), [("D", "SSL")]),
        (("-D", "SSL", "-DFOREGROUND", "-D", "DUMP_VHOSTS"), [("D", "SSL")]),
        (
            ("-f", "/etc/x.conf", "-d/srv", "-E", "/log", "-e", "debug"),
            [("f", "/etc/x.conf"), ("d", "/srv")],
        ),
        (("-C", "Listen 81", "-c", "ListenCoresBucketsRatio 2"), [("C", "Listen 81")]),
        (("-X", "-k", "-D"), []),
        (("-D",), []),
    ],
)
def test_options_that_make_the_configuration_are_kept(
    words: tuple[str, ...], kept: list[tuple[str, str]]
) -> None:
    assert options_of(["httpd", *words]) == kept


def test_what_a_call_names_itself_holds() -> None:
    running = StartedAs((("d", "/srv"), ("f", "x.conf"), ("D", "SSL"), ("c", "Listen 81")))
    assert running.beside(["httpd"]) == (
        *("-d", "/srv", "-f", "x.conf"),
        *("-D", "SSL", "-c", "Listen 81"),
    )
    assert running.beside(["httpd", "-d", "/lab", "-f", "y", "-D", "SSL"]) == ("-c", "Listen 81")


def test_of_the_environment_what_belongs_to_the_service_manager_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "INVOCATION_ID", "APP_CONF"):
        monkeypatch.setenv(name, "x")
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen = started_as(process.pid)
        process.kill()
    assert seen is not None
    assert seen.environment["APP_CONF"] == "x"
    assert not {"NOTIFY_SOCKET", "LISTEN_FDS", "INVOCATION_ID", "PATH"} & set(seen.environment)


def test_a_process_that_is_gone_tells_nothing() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert started_as(pid) is None
