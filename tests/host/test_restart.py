"""Each way to restart, and what it does when it cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from easyapache.agent.httpd.kernel_setting import Migration
from easyapache.agent.httpd.processes import identify
from easyapache.agent.server import HostError
from lab.apache import processes_of
from tests.host.hammer import hammering
from tests.host.managed import Managed
from tests.host.test_runner import wait_until
from tests.host.visitors import assert_put_back, port_of


def test_the_last_one_puts_the_kernels_setting_back(tmp_path: Path) -> None:
    setting = tmp_path / "setting"
    setting.write_text("0\n")
    shared = Migration(tmp_path / "register", setting)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from easyapache.agent.httpd.kernel_setting import Migration\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "print(Migration(folder / 'register', folder / 'setting').begin(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"True\n"
    assert shared.begin()
    shared.end()
    assert setting.read_text() == "1\n"
    other.kill()
    other.wait()
    shared.end()
    assert setting.read_text() == "0\n"


def test_the_register_of_the_kernels_setting_is_whole_at_every_moment(tmp_path: Path) -> None:
    """Whoever is killed while writing it leaves one that says what the setting was."""
    setting, register = tmp_path / "setting", tmp_path / "register"
    setting.write_text("0\n")
    shared = Migration(register, setting)
    assert shared.begin()

    def write() -> None:
        for _ in range(400):
            shared.begin()
            shared.end()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while writer.is_alive():
        assert "users" in json.loads(register.read_bytes())
        reads += 1
    writer.join()
    assert reads > 10
    assert setting.read_text() == "0\n"


def test_the_servers_own_script_is_used_when_told_to(managed: Managed) -> None:
    before = managed.server.inspect().facts["httpd_started"]
    interruption = managed.server.restart("script", managed.log)
    assert interruption.method == "script"
    assert "restartsrv_httpd --stop" in managed.text
    assert managed.server.inspect().facts["httpd_started"] != before


def test_what_does_not_run_is_simply_started(managed: Managed) -> None:
    assert managed.lab is not None
    managed.lab.down()
    managed.server.restart("auto", managed.log)
    assert managed.server.inspect().running is not None


def test_a_stale_pid_file_that_names_somebody_else_does_not_stop_a_start(managed: Managed) -> None:
    assert managed.lab is not None
    managed.lab.down()
    managed.config.pid_file.write_text(f"{os.getpid()}\n")
    managed.server.restart("auto", managed.log)
    assert managed.server.inspect().running is not None
    assert identify(os.getpid()) is not None


def test_when_the_new_httpd_fails_the_old_one_never_noticed(managed: Managed) -> None:
    old = managed.real.httpd.parent()
    broken = managed.config.server_root / "conf.d/broken.conf"
    broken.write_text("NoSuchDirective on\n")
    with hammering(port_of(managed)) as hammer, pytest.raises(HostError) as failed:
        managed.server.restart("overlap", managed.log)
    assert failed.value.code == "restart"
    assert "NoSuchDirective" in failed.value.output
    assert hammer.failed == 0, hammer.counts
    assert managed.real.httpd.pid_file_parent() == old
    broken.unlink()
    managed.server.restart("overlap", managed.log)
    assert managed.real.httpd.pid_file_parent() != old


def test_a_failed_second_server_leaves_nothing_behind(managed: Managed) -> None:
    """ITK under a threaded MPM passes the test of the configuration and fails at the start."""
    old = managed.real.httpd.parent()
    modules = managed.config.server_root / "conf.modules.d"
    modules.joinpath("000_mod_mpm_prefork.conf").write_text(
        "LoadModule mpm_event_module modules/mod_mpm_event.so\n"
    )
    source = Path("/usr/lib/apache2/modules")
    for name in ("mod_mpm_event.so", "mpm_itk.so"):
        target = managed.config.server_root / "modules" / name
        if not target.exists():
            target.symlink_to(source / name)
    modules.joinpath("900-mpm_itk.conf").write_text(
        "LoadModule mpm_itk_module modules/mpm_itk.so\n"
    )
    managed.server.config_test(managed.log)
    with hammering(port_of(managed)) as hammer, pytest.raises(HostError) as failed:
        managed.server.restart("overlap", managed.log)
    assert "threaded MPMs" in failed.value.output
    assert hammer.failed == 0, hammer.counts
    assert managed.real.httpd.parents() == [old]
    assert_put_back()


def test_an_httpd_that_dies_in_the_window_is_started_at_once(managed: Managed) -> None:
    goal, transaction = managed.plan("event")
    managed.kit(transaction)
    with managed.server.watch(managed.config.spool / "window", managed.log):
        managed.packages(goal, transaction)
        old = managed.real.httpd.parent()
        assert old is not None
        # What log rotation does, and what it does to a server whose MPM has changed on disk.
        os.kill(old.pid, signal.SIGUSR1)
        wait_until(lambda: not old.alive)
        wait_until(lambda: managed.server.inspect().running is not None)
        assert "started again" in managed.text
        interruption = managed.server.restart("auto", managed.log)
    assert interruption.window_ms > 0
    assert interruption.refused > 0
    running = managed.server.inspect().running
    assert running is not None
    assert running.mpm == "event"


def test_nothing_of_the_old_server_is_left_once_it_has_drained(managed: Managed) -> None:
    assert managed.lab is not None
    root = managed.lab.root
    old = set(processes_of(root))
    managed.server.restart("overlap", managed.log)
    wait_until(lambda: not old & set(processes_of(root)), 15)


def test_the_choice_says_why_it_is_not_an_overlap(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "pidfd_getfd is not permitted (CAP_SYS_PTRACE is missing)"
    refuse: Callable[[int], str] = lambda _: reason  # noqa: E731
    monkeypatch.setattr("easyapache.agent.httpd.restart.can_reach", refuse)
    chosen = managed.real.restarter.choose()
    assert chosen.name == "graceful-stop"
    assert "CAP_SYS_PTRACE" in chosen.reason


def test_an_unknown_method_is_refused_with_those_there_are(managed: Managed) -> None:
    with pytest.raises(HostError) as refused:
        managed.server.restart("teleport", managed.log)
    assert "graceful-stop" in refused.value.remedy
