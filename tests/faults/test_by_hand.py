"""The undo script of a kit, run by root when all else is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from easyapache.agent.drivers import remember
from easyapache.agent.real import RealServer
from easyapache.ea4.profile import Profile
from easyapache.ea4.protocol import ChangeRequest
from tests.faults.field import AS_PLANNED, PROJECT, Field
from tests.faults.test_matrix import run, unplug
from tests.labs import MakeLab

pytestmark = pytest.mark.lab


def test_the_undo_script_of_the_kit_brings_the_server_back_alone(make_lab: MakeLab) -> None:
    field = Field(make_lab().up())
    before = field.server.inspect()
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    unplug(field.lab)
    by_hand(field, request, before)
    folder = str(field.spool.root / request.change)
    by_hand(field, request, before, [sys.executable, "-m", "easyapache.agent", "undo", folder])


def test_the_undo_script_mends_a_torn_server(make_lab: MakeLab) -> None:
    """Two MPMs, one of them without its files, and no httpd."""
    field = Field(make_lab().up())
    before = field.server.inspect()
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    kit = field.spool.folder(request.change)
    assert kit is not None
    old = sorted(str(path) for path in (kit.kit / "rpms").glob("*.rpm"))
    field.lab.rpm("-U", "--nodeps", "--force", *old)
    (field.lab.root / "etc/apache2/conf.modules.d/000_mod_mpm_prefork.conf").unlink()
    field.lab.down()
    unplug(field.lab)
    by_hand(field, request, before)


def test_the_undo_script_leaves_out_a_torn_package_and_says_so(make_lab: MakeLab) -> None:
    field = Field(make_lab().up())
    before = field.server.inspect()
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    folder = field.spool.folder(request.change)
    assert folder is not None
    torn = next((folder.kit / "rpms").glob("ea-apache24-mod_cgi-*.rpm"))
    content = torn.read_bytes()
    for left in (b"", content[: len(content) // 2]):
        torn.write_bytes(left)
        done = run_script(field, request)
        assert done.returncode == 1
        assert f"damaged, skipped: {torn}" in done.stdout
        assert "The packages are NOT restored" in done.stdout
    torn.write_bytes(content)
    by_hand(field, request, before)


def test_the_undo_script_ends_children_whose_parent_was_killed(make_lab: MakeLab) -> None:
    """They keep the ports, and those of a threaded MPM end for nothing but SIGKILL. (No script of
    the server's own stands in the way.)"""
    field = scripted(Field(make_lab().up()))
    before = field.server.inspect()
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    os.kill(int(field.config.pid_file.read_text()), signal.SIGKILL)
    assert field.server.httpd.parents() != []
    by_hand(field, request, before)
    assert len(field.server.httpd.parents()) == 1


def run_script(
    field: Field, request: ChangeRequest, command: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    folder = field.spool.folder(request.change)
    assert folder is not None
    return subprocess.run(
        command or ["/bin/sh", str(folder.kit / "undo")],
        env={"HOME": "/root", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def by_hand(
    field: Field, request: ChangeRequest, before: Profile, command: list[str] | None = None
) -> None:
    done = run_script(field, request, command)
    assert done.returncode == 0, done.stdout + done.stderr
    now = field.server.inspect()
    assert now.running == before.running
    assert now.configured == before.configured
    assert now.names == before.names
    assert "The state before change" in done.stdout


def scripted(field: Field, *script: str) -> Field:
    """The same server, whose agent is told to restart by this script, or by none."""
    method = "script" if script else "auto"
    field.config = replace(field.config, restart_method=method, restart_script=script)
    if not script:
        (field.lab.root / "usr/local/cpanel/scripts/restartsrv_httpd").unlink()
    field.server = RealServer(field.config)
    remember(field.config)
    return field


def graceful_by_default(field: Field) -> Path:
    """A restart script as cPanel's, but graceful where nothing else is said."""
    path = field.lab.folder / "restart"
    real = field.lab.root / "usr/local/cpanel/scripts/restartsrv_httpd"
    calls = field.lab.folder / "restart-calls"
    path.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {real} "${{1:---graceful}}"\n')
    path.chmod(0o755)
    return path


def test_a_bare_restart_script_is_told_to_stop_and_to_start(make_lab: MakeLab) -> None:
    field = Field(make_lab().up())
    scripted(field, str(graceful_by_default(field)))
    before = field.server.inspect()
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    by_hand(field, request, before)
    calls = (field.lab.folder / "restart-calls").read_text().split()
    assert calls == ["--stop", "--start"] * 2


def test_where_the_script_reloads_and_httpd_dies_of_it_the_kit_starts_it_itself(
    make_lab: MakeLab,
) -> None:
    field = Field(make_lab().up())
    script = graceful_by_default(field)
    before = field.server.inspect()
    scripted(field, str(script), "--restart")
    request = field.request("event")
    folder = field.folder(request)
    field.finish(folder)
    undo = folder.kit / "undo"
    undo.write_text(undo.read_text().replace(f"{script} --restart", f"{script} --graceful"))
    by_hand(field, request, before)
    assert "--graceful" in (field.lab.folder / "restart-calls").read_text()


def test_the_kit_finds_cpanels_own_script_without_being_told(make_lab: MakeLab) -> None:
    """What it starts is in the service's control group, and not in that of root's session."""
    field = Field(make_lab().up())
    script = field.lab.root / "usr/local/cpanel/scripts/restartsrv_httpd"
    field.config = replace(field.config, restart_script=())
    field.server = RealServer(field.config)
    remember(field.config)
    before = field.server.inspect()
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    calls = field.lab.folder / "restart-calls"
    script.rename(real := script.with_name("real"))
    script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {real} "$@"\n')
    script.chmod(0o755)
    by_hand(field, request, before)
    assert calls.read_text().split() == ["--stop", "--start"]


def test_the_kit_does_not_start_an_httpd_that_is_switched_off(make_lab: MakeLab) -> None:
    field = Field(make_lab().up())
    before = field.server.inspect()
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    field.lab.down()
    (field.lab.root / "etc/httpddisable").touch()
    done = run_script(field, request)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "switched off (/etc/httpddisable exists)" in done.stdout
    now = field.server.inspect()
    assert now.running is None
    assert now.configured == before.configured


def test_an_httpd_that_does_not_come_up_is_not_called_as_it_was(make_lab: MakeLab) -> None:
    """Its configuration passes; only the real start, which opens this file, fails."""
    field = Field(make_lab().up())
    request = field.request("event")
    assert run(field, "first", request).end == AS_PLANNED
    (field.config.server_root / "conf.d/zz-fault.conf").write_text(
        "<IfModule mpm_prefork_module>\n"
        f"PidFile {field.lab.root}/no/such/folder/httpd.pid\n"
        "</IfModule>\n"
    )
    done = run_script(field, request)
    assert done.returncode == 1
    assert "does NOT run as before" in done.stdout
    assert "The state before change" not in done.stdout


@pytest.mark.parametrize(
    ("said", "nameless"),
    [(b"sockets are open", False), (b"serves beside", False), (b"serves beside", True)],
    ids=["one without its pid file", "two", "two without a pid file"],
)
def test_what_a_killed_restart_left_is_cleared_by_the_script_alone(
    make_lab: MakeLab, said: bytes, nameless: bool
) -> None:
    """(The old httpd takes the pid file of the new one along when it goes.)"""
    field = Field(make_lab().up())
    before = field.server.inspect()
    request = field.request("event")
    folder = field.folder(request)
    engine = field.start_engine(folder)
    assert field.until(engine, lambda: said in folder.log_from(0, 1 << 20))
    field.kill(lambda line: "easyapache.agent.change.engine" in line)
    engine.wait()
    if nameless:
        field.config.pid_file.unlink(missing_ok=True)  # the old one may have done it
    by_hand(field, request, before)
    assert len(field.server.httpd.parents()) == 1
