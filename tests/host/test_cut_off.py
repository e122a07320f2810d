"""What a restart leaves whose process was killed, and who sets it right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from easyapache.agent.change.spool import Spool
from easyapache.agent.httpd.kernel_setting import REGISTER
from easyapache.agent.httpd.processes import Identity, children_of
from easyapache.agent.repair.repairs import finish_restart
from tests.host.conftest import Manage
from tests.host.hammer import hammering
from tests.host.managed import Managed
from tests.host.test_runner import wait_until
from tests.host.visitors import InFlight, assert_put_back, port_of

_RESTART = """
import sys
from pathlib import Path
from easyapache.agent.config import load_config
from easyapache.agent.real import RealServer
RealServer(load_config(Path(sys.argv[1]))).restart(sys.argv[2], print)
"""


class Restarting:
    """A restart in a process of its own."""

    def __init__(self, managed: Managed, output: Path, method: str) -> None:
        assert managed.lab is not None
        agent = managed.lab.write_agent_config(managed.config.spool)
        self.output = output
        with output.open("w") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-c", _RESTART, str(agent), method],
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.until(f"restart method {method}")

    def until(self, words: str) -> None:
        wait_until(
            lambda: words in self.output.read_text() or self.process.poll() is not None, seconds=30
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def assert_one(managed: Managed) -> Identity:
    """One httpd takes connections, its pid is in its file, and nothing is left to settle."""
    (parent,) = managed.real.httpd.parents()
    assert managed.real.httpd.pid_file_parent() == parent
    assert not (managed.config.spool / "restart.json").exists()
    assert_put_back()
    return parent


@pytest.mark.parametrize("after_ms", [0, 60, 120, 180, 240, 300, 400])
def test_a_restart_killed_at_any_moment_is_settled_by_the_next(
    managed: Managed, tmp_path: Path, after_ms: int
) -> None:
    began = managed.server.httpd_start()
    restarting = Restarting(managed, tmp_path / "out", "overlap")
    time.sleep(after_ms / 1000)
    restarting.kill()
    with hammering(port_of(managed)) as hammer:
        managed.server.restart("overlap", managed.log)
    assert hammer.failed == 0, hammer.counts
    assert managed.server.httpd_start() != began
    assert_one(managed)


@pytest.mark.parametrize("stock", ["minimal", "event"])
def test_of_two_servers_the_new_one_stays_and_nobody_is_refused(
    make_managed: Manage, tmp_path: Path, stock: str
) -> None:
    managed = make_managed(stock)
    began = managed.server.httpd_start()
    restarting = Restarting(managed, tmp_path / "out", "overlap")
    restarting.until("serves beside")
    restarting.kill()
    with hammering(port_of(managed)) as hammer:
        assert managed.server.settle_restart(managed.log)
    assert hammer.failed == 0, hammer.counts
    assert_one(managed)
    assert managed.server.httpd_start() != began
    assert restarting.process.pid not in [
        user["pid"] for user in json.loads(REGISTER.read_text())["users"]
    ]
    assert not managed.server.settle_restart(managed.log)


def test_two_servers_are_seen_even_where_nobody_remembers_a_restart(
    managed: Managed, tmp_path: Path
) -> None:
    restarting = Restarting(managed, tmp_path / "out", "overlap")
    restarting.until("serves beside")
    restarting.kill()
    if len(managed.real.httpd.parents()) == 2:
        (managed.config.spool / "restart.json").unlink()
        assert managed.server.settle_restart(managed.log)
    assert len(managed.real.httpd.parents()) == 1


def remember(managed: Managed, old: Identity) -> None:
    (managed.config.spool / "restart.json").write_text(json.dumps({"old": old.as_json()}))


def test_a_restart_that_somebody_else_left_behind_is_not_taken_for_this_one(
    managed: Managed,
) -> None:
    """Its new httpd is outdated by now, although it has the MPM that is wanted."""
    old = managed.real.httpd.parent()
    assert old is not None
    managed.server.restart("overlap", managed.log)
    remember(managed, old)
    between = managed.server.httpd_start()
    managed.server.restart("overlap", managed.log)
    assert managed.server.httpd_start() != between
    assert_one(managed)


def stopped_for_a_restart(managed: Managed) -> Identity:
    """As a process leaves it that was killed between graceful stop and start."""
    old = managed.real.httpd.parent()
    assert old is not None
    remember(managed, old)
    os.kill(old.pid, signal.SIGWINCH)
    wait_until(lambda: not managed.real.httpd.parents())
    return old


def test_an_agent_that_begins_completes_the_restart_its_predecessor_was_killed_in(
    managed: Managed,
) -> None:
    spool = Spool(managed.config.spool)
    assert finish_restart(managed.server, spool, managed.log) == ""
    stopped_for_a_restart(managed)
    with spool.server_lock(wait=False):
        assert finish_restart(managed.server, spool, managed.log) == ""
    assert managed.real.httpd.parents() == []
    assert "Apache runs prefork." in finish_restart(managed.server, spool, managed.log)
    assert_one(managed)


@pytest.mark.usefixtures("systemd")
def test_systemd_that_knows_only_the_draining_httpd_does_not_keep_it_down(
    managed: Managed,
) -> None:
    slow = InFlight(managed)
    old = stopped_for_a_restart(managed)
    assert old.alive
    managed.server.restart("auto", managed.log)
    assert_one(managed)
    slow.join()
    assert "finished" in slow.body


@contextmanager
def httpd_at(managed: Managed, address: str) -> Iterator[int]:
    """Another httpd with the same port at another address of this machine; its pid."""
    conf = managed.config.server_root / "conf"
    pid_file = managed.config.pid_file.with_name("other.pid")
    text = (conf / "httpd.conf").read_text().replace("127.0.0.1", address)
    text = text.replace(str(managed.config.pid_file), str(pid_file))
    (conf / "other.conf").write_text(text)
    argv = [*managed.real.httpd.argv, "-f", "conf/other.conf", "-k"]
    subprocess.run([*argv, "start"], check=True)
    wait_until(pid_file.exists)
    pid = int(pid_file.read_text())
    try:
        yield pid
    finally:
        subprocess.run([*argv, "stop"], check=False)
        wait_until(lambda: not Path(f"/proc/{pid}/exe").exists())


def test_another_httpd_with_the_same_port_elsewhere_is_left_alone(managed: Managed) -> None:
    with httpd_at(managed, "127.0.0.2") as other:
        wait_until(lambda: children_of(other))
        children = children_of(other)
        assert not managed.server.settle_restart(managed.log)
        managed.server.restart("overlap", managed.log)
        assert_one(managed)
        assert set(children) <= set(children_of(other))


@pytest.mark.parametrize("method", ["overlap", "graceful-stop"])
@pytest.mark.parametrize("stock", ["minimal", "event"])
def test_children_whose_parent_was_killed_do_not_outlive_a_restart(
    make_managed: Manage, stock: str, method: str
) -> None:
    """They listen and answer as if nothing had happened, and with the old modules."""
    managed = make_managed(stock)
    parent = managed.real.httpd.parent()
    assert parent is not None
    os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not parent.alive)
    orphans = managed.real.httpd.parents()
    assert len(orphans) > 1
    managed.server.restart(method, managed.log)
    assert_one(managed)
    assert not [orphan for orphan in orphans if orphan.alive]
    assert managed.server.inspect().running is not None
