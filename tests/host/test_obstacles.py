"""Every reason not to begin, made on a real lab, and what it says."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from easyapache.agent.change.spool import Spool
from easyapache.agent.httpd.processes import identify
from easyapache.agent.packages import manager_locks
from easyapache.agent.repair import repairs
from easyapache.agent.server import Obstacle
from easyapache.ea4.conditions.diagnosis import diagnose
from easyapache.ea4.mpm import MPM, Choice
from easyapache.ea4.plan import make_plan
from easyapache.ea4.profile import Transaction
from easyapache.ea4.protocol import Goal
from easyapache.ea4.relations import load_catalogue
from lab.repository import Variant
from tests.host.conftest import Manage
from tests.host.managed import PREFIX, Managed

SAID_BEFORE = frozenset(
    {
        "unfinished_transaction",
        "duplicate_packages",
        "several_mpms",
        "no_mpm",
        "files_missing",
        "excluded",
        "version_locked",
        "configuration_broken",
        "foreign_mpm_file",
        "prefork_only_directives",
        "threaded_only_directives",
    }
)
"""Obstacles that a look at the server shows already, so that they must block the plan: what can
only be refused is not to be confirmed. The others (a lock, the disk, a repository) are of the
moment."""


def obstacles(
    managed: Managed, mpm: str = "event", planned: tuple[Goal, Transaction] | None = None
) -> dict[str, Obstacle]:
    """What stands in the way of a change, ``planned`` before it did. What a plan could have said
    is in the plan."""
    found = {item.code: item for item in managed.server.obstacles(*(planned or managed.plan(mpm)))}
    plan = make_plan(managed.server.inspect(), Choice(MPM(mpm)), load_catalogue())
    blocks = {finding.code for finding in plan.blocks}
    assert found.keys() & SAID_BEFORE <= blocks
    return found


@contextmanager
def holding(path: Path, name: str = "dnf") -> Iterator[int]:
    """A process called dnf that holds rpm's lock, as a transaction does."""
    code = (
        "import fcntl, sys\n"
        f"handle = open({str(path)!r}, 'a+b')\n"
        "fcntl.lockf(handle, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [name, "-c", code, "upgrade"],
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"held\n"
    yield process.pid
    process.stdin.close()
    process.wait()


def test_another_package_manager_is_named_with_its_command_and_age(managed: Managed) -> None:
    planned = managed.plan("event")
    path = managed.config.root / "var/lib/rpm/.rpm.lock"
    with holding(path) as pid:
        found = obstacles(managed, planned=planned)
    message = found["package_manager_busy"].message
    assert f"rocess {pid} (dnf -c" in message
    assert re.search(r"running for \d+ s", message)
    assert "/var/lib/rpm/.rpm.lock" in message
    assert "package_manager_busy" not in obstacles(managed)


def test_a_preview_that_is_being_asked_for_is_in_nobodys_way(managed: Managed) -> None:
    root = managed.config.root
    goal, _ = managed.plan("event")
    over = threading.Event()

    def look_again_and_again() -> None:
        while not over.is_set():
            managed.server.resolve(goal, protect=False)

    previews = threading.Thread(target=look_again_and_again)
    previews.start()
    asking = 0
    try:
        end = time.monotonic() + 5
        while time.monotonic() < end and asking < 20:
            named = map(manager_locks.named_in, manager_locks.dnf_locks(root))
            asking += any(pid and manager_locks.only_resolves(pid) for pid in named)
            assert manager_locks.manager_at_work(root) is None
        assert asking, "the solver was never seen with dnf's lock"
    finally:
        over.set()
        previews.join()


def test_asking_for_the_holder_does_not_take_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    assert manager_locks.lock_holder(path) is None
    with path.open("r+b") as handle:
        query = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
        fcntl.fcntl(handle, fcntl.F_SETLK, query)


def test_a_lock_file_whose_number_was_given_away_is_stale(managed: Managed) -> None:
    planned = managed.plan("event")
    path = managed.config.root / "var/lib/dnf/rpmdb_lock.pid"
    sleeper = subprocess.Popen(["/bin/sleep", "60"])
    path.write_text(str(sleeper.pid))
    found = obstacles(managed, planned=planned)
    sleeper.kill()
    sleeper.wait()
    assert f"process {sleeper.pid} (/bin/sleep 60)" in found["stale_lock"].message
    assert "/var/lib/dnf/rpmdb_lock.pid" in found["stale_lock"].message
    assert found["stale_lock"].remedy == "Remove the lock file."


def test_a_lock_file_of_a_process_that_is_gone_is_no_obstacle(managed: Managed) -> None:
    planned = managed.plan("event")
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    assert identify(gone.pid) is None
    (managed.config.root / "var/lib/dnf/rpmdb_lock.pid").write_text(str(gone.pid))
    assert obstacles(managed, planned=planned) == {}


def break_off(managed: Managed) -> None:
    """The last transaction was begun and never ended, as when the machine went down."""
    with sqlite3.connect(managed.config.root / "var/lib/dnf/history.sqlite") as history:
        history.execute("update trans set dt_end = null where id = (select max(id) from trans)")


def accepted(managed: Managed) -> repairs.Repaired:
    return repairs.repair("accept-packages", managed.server, Spool(managed.config.spool))


def test_a_transaction_that_was_never_ended(managed: Managed) -> None:
    planned = managed.plan("event")
    break_off(managed)
    found = obstacles(managed, planned=planned)
    assert "never ended" in found["unfinished_transaction"].message
    assert "never ended" in str(managed.server.inspect().facts["unfinished_transaction"])


def test_a_transaction_that_yum_left(managed: Managed) -> None:
    left = managed.config.root / "var/lib/yum/transaction-all.2026-01-01"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    assert "yum left /var/lib/yum" in obstacles(managed)["unfinished_transaction"].message
    assert accepted(managed).ok
    assert obstacles(managed) == {}


def test_the_doctor_accepts_sound_packages_after_somebody_elses_broken_transaction(
    managed: Managed,
) -> None:
    before, planned = managed.server.inspect(), managed.plan("event")
    assert accepted(managed).message == "There is no interrupted transaction."
    break_off(managed)
    seen = diagnose("", managed.server.inspect())
    assert "accept-packages" in [item.repair for item in seen]
    done = accepted(managed)
    assert done.ok, done
    assert obstacles(managed, planned=planned) == {}
    now = managed.server.inspect()
    assert (now.packages, now.facts["httpd_started"]) == (
        before.packages,
        before.facts["httpd_started"],
    )
    # The next one that breaks off is another one.
    managed.switch("worker")
    break_off(managed)
    assert "unfinished_transaction" in obstacles(managed)


@pytest.mark.parametrize("state", ["two MPMs", "a file is missing", "httpd refuses"])
def test_the_doctor_accepts_nothing_that_is_not_sound(managed: Managed, state: str) -> None:
    if state == "two MPMs":
        force(managed, f"{PREFIX}mpm_event")
    elif state == "a file is missing":
        (managed.config.root / "usr/lib64/apache2/modules/mod_headers.so").unlink()
    else:
        (managed.config.server_root / "conf.d/zz-broken.conf").write_text("NoSuchDirective\n")
    break_off(managed)
    done = accepted(managed)
    assert not done.ok
    assert "unfinished_transaction" in managed.server.inspect().facts


def force(managed: Managed, name: str) -> None:
    """Install a package against all relations, as a broken transaction leaves it."""
    assert managed.lab is not None
    repository = Path(managed.lab.setup.repository) / "repo"
    (file,) = repository.rglob(f"{name}-[0-9]*.rpm")
    managed.lab.rpm("-i", "--nodeps", "--force", str(file))


def test_two_mpms(managed: Managed) -> None:
    planned = managed.plan("event")
    force(managed, f"{PREFIX}mpm_worker")
    found = obstacles(managed, planned=planned)
    assert "mod_mpm_prefork, ea-apache24-mod_mpm_worker" in found["several_mpms"].message
    assert "More than one MPM" in found["configuration_broken"].message


def test_no_mpm(managed: Managed) -> None:
    assert managed.lab is not None
    planned = managed.plan("event")
    managed.lab.rpm("-e", "--nodeps", f"{PREFIX}mpm_prefork")
    found = obstacles(managed, planned=planned)
    assert "No MPM package is installed." in found["no_mpm"].message


def test_missing_files(managed: Managed) -> None:
    (managed.config.root / "usr/lib64/apache2/modules/mod_mpm_prefork.so").unlink()
    found = obstacles(managed)["files_missing"]
    assert "mod_mpm_prefork.so" in found.message
    assert found.condition.repair == "reinstall-files"


@pytest.mark.parametrize("pattern", [f"{PREFIX}mpm_event", "ea-apache24*", f"{PREFIX}mpm_prefork"])
def test_an_exclude_that_pins_what_must_move(managed: Managed, pattern: str) -> None:
    planned = managed.plan("event")
    conf = managed.config.root / "etc/dnf/dnf.conf"
    conf.write_text(conf.read_text() + f"exclude={pattern}\n")
    found = obstacles(managed, planned=planned)
    assert pattern in found["excluded"].message
    assert pattern in str(managed.server.inspect().facts["excludes"])


@pytest.mark.parametrize(
    "lines",
    ["exclude=kernel* php\n", "disable_excludes=all\nexclude=ea-apache24*\n", "includepkgs=ea-*\n"],
)
def test_an_exclude_that_hides_nothing_of_the_change_is_no_obstacle(
    managed: Managed, lines: str
) -> None:
    conf = managed.config.root / "etc/dnf/dnf.conf"
    conf.write_text(conf.read_text() + lines)
    assert obstacles(managed) == {}


def test_a_version_lock(managed: Managed) -> None:
    planned = managed.plan("event")
    locks = managed.config.root / "etc/dnf/plugins/versionlock.list"
    locks.parent.mkdir(parents=True, exist_ok=True)
    locks.write_text(f"# kept\n{PREFIX}mpm_prefork-0:2.4.67-2.*\n")
    assert obstacles(managed, planned=planned) == {}  # no lock keeps what leaves
    locks.write_text(f"# kept\n{PREFIX}mpm_event-0:2.4.66-1.*\n")
    found = obstacles(managed, planned=planned)
    assert f"{PREFIX}mpm_event" in found["version_locked"].message
    assert "dnf versionlock list" in found["version_locked"].remedy


@dataclass
class Space:
    """What os.statvfs says of a file system, as far as it is looked at."""

    f_bavail: int
    f_frsize: int
    f_favail: int
    f_files: int


def test_a_disk_without_room(managed: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Space(f_bavail=100, f_frsize=4096, f_favail=9999, f_files=10000)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    message = obstacles(managed)["disk_full"].message
    assert "rpm database" in message
    assert "0 MB free" in message


def test_a_repository_that_is_gone(managed: Managed) -> None:
    planned = managed.plan("event")
    repo = managed.config.root / "etc/yum.repos.d/EA4.repo"
    lines = [
        "baseurl=file:///nowhere" if line.startswith("baseurl") else line
        for line in repo.read_text().splitlines()
    ]
    repo.write_text("\n".join(lines) + "\n")
    assert managed.lab is not None
    managed.lab.place.forget_metadata()
    found = obstacles(managed, planned=planned)
    assert "EA4" in found["repository_unreachable"].message


DEAD = """[{name}]
name={name}
baseurl={url}
enabled=1
gpgcheck=1
retries=1
timeout=2
"""


def dead(managed: Managed, name: str, url: str = "http://127.0.0.1:9/el9") -> None:
    text = DEAD.format(name=name, url=url)
    (managed.config.root / f"etc/yum.repos.d/{name}.repo").write_text(text)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/el9", "file:///nowhere"])
def test_a_dead_repository_of_something_else_does_not_stop_a_change(
    managed: Managed, url: str
) -> None:
    """MariaDB's, as soon as a release is dropped. The transaction itself runs from the cache,
    where there is nothing of it either."""
    for name in ("mariadb", "monitoring"):
        dead(managed, name, url)
    assert "repository_unreachable" not in obstacles(managed)
    managed.switch("event")
    assert "left out: the repository mariadb can't be reached and isn't needed" in managed.text
    assert managed.server.inspect().running.mpm == "event"  # type: ignore[union-attr]


def test_a_dead_repository_of_easyapache_beside_another_one_is_an_obstacle(
    managed: Managed,
) -> None:
    """Without it another build would be chosen."""
    planned = managed.plan("event")
    dead(managed, "cl-ea4")
    assert "cl-ea4" in obstacles(managed, planned=planned)["repository_unreachable"].message


def test_a_repository_whose_signatures_nobody_checks(managed: Managed) -> None:
    for name in ("etc/yum.repos.d/EA4.repo", "etc/dnf/dnf.conf"):
        path = managed.config.root / name
        path.write_text(path.read_text().replace("gpgcheck=1", "gpgcheck=0"))
    assert "EA4" in obstacles(managed)["unsigned_repository"].message


def test_repository_metadata_that_was_changed_after_it_was_signed(make_managed: Manage) -> None:
    managed = make_managed("minimal")
    planned = managed.plan("event")
    assert managed.lab is not None
    managed.lab.use_repository(Variant(bad_metadata=True))
    found = obstacles(managed, planned=planned).keys()
    assert found & {"bad_signature", "repository_unreachable"}


def test_a_configuration_that_does_not_pass_already(managed: Managed) -> None:
    (managed.config.server_root / "conf.d/broken.conf").write_text("NoSuchDirective on\n")
    assert "NoSuchDirective" in obstacles(managed)["configuration_broken"].message


def test_an_mpm_loaded_outside_the_packages(managed: Managed) -> None:
    text = (
        "<IfModule !mpm_prefork_module>\n"
        "LoadModule mpm_prefork_module modules/mod_mpm_prefork.so\n"
        "</IfModule>\n"
    )
    (managed.config.server_root / "conf.d/own.conf").write_text(text)
    assert "/etc/apache2/conf.d/own.conf" in obstacles(managed)["foreign_mpm_file"].message


def test_a_directive_that_only_prefork_knows(managed: Managed) -> None:
    (managed.config.server_root / "conf.d/tuning.conf").write_text(
        "# tuned\n<IfModule mpm_prefork_module>\nMinSpareServers 7\n</IfModule>\n"
        "MaxSpareServers 20\n"
    )
    found = obstacles(managed)["prefork_only_directives"]
    assert "maxspareservers 20 in /etc/apache2/conf.d/tuning.conf line 5." in found.message
    assert "prefork_only_directives" not in obstacles(managed, "prefork")


@pytest.mark.parametrize(
    "line", ["ThreadsPerChild 25", "ThreadLimit 64", "MinSpareThreads 25", "MaxSpareThreads 75"]
)
def test_a_directive_that_prefork_does_not_know_is_in_the_way_back(
    make_managed: Manage, line: str
) -> None:
    managed = make_managed("event")
    (managed.config.server_root / "conf.d/tuning.conf").write_text(f"{line}\n")
    found = obstacles(managed, "prefork")["threaded_only_directives"]
    assert f"{line.lower()} in /etc/apache2/conf.d/tuning.conf line 1." in found.message.lower()
    assert "threaded_only_directives" not in obstacles(managed, "worker")


def test_a_factor_of_event_is_unknown_to_worker_as_well(make_managed: Manage) -> None:
    managed = make_managed("event")
    text = "AsyncRequestWorkerFactor 2\n"
    (managed.config.server_root / "conf.d/tuning.conf").write_text(text)
    for mpm in ("worker", "prefork"):
        assert "threaded_only_directives" in obstacles(managed, mpm)


def test_a_guard_that_holds_for_the_new_mpm_is_none(managed: Managed) -> None:
    """And one that names something else guards nothing, while one that cannot hold does."""
    file = managed.config.server_root / "conf.d/tuning.conf"
    for guard in ("IfVersion >= 2.4", "IfModule core.c", "IfModule !prefork.c", "IfModule event.c"):
        end = guard.partition(" ")[0]
        file.write_text(f"<{guard}>\nMinSpareServers 5\n</{end}>\n")
        assert "prefork_only_directives" in obstacles(managed), guard
    for guard in ("IfDirective MinSpareServers", "IfDefine NEVER", "IfModule prefork.c"):
        end = guard.partition(" ")[0]
        file.write_text(f"<{guard}>\nMinSpareServers 5\n</{end}>\n")
        assert obstacles(managed) == {}, guard


def test_a_line_that_loads_an_mpm_only_where_none_is_does_not_stand_in_the_way(
    managed: Managed,
) -> None:
    text = "LoadModule mpm_prefork_module modules/mod_mpm_prefork.so\n"
    for mpm in ("prefork", "worker", "event"):
        text = f"<IfModule !mpm_{mpm}_module>\n{text}</IfModule>\n"
    (managed.config.server_root / "conf.d/zz-app.conf").write_text(text)
    assert obstacles(managed) == {}
    plan = make_plan(managed.server.inspect(), Choice(MPM.EVENT), load_catalogue())
    assert "guarded_mpm_lines" in {finding.code for finding in plan.findings}


def test_a_copy_of_a_packages_file_loads_an_mpm_outside_the_packages(managed: Managed) -> None:
    folder = managed.config.server_root / "conf.modules.d"
    original = folder / "000_mod_mpm_prefork.conf"
    (folder / "000_mod_mpm_prefork.bak.conf").write_text(original.read_text())
    assert "prefork.bak.conf" in obstacles(managed)["foreign_mpm_file"].message


def test_a_panel_behind_the_httpd_it_would_restart(managed: Managed) -> None:
    code = (
        "import socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "print(listener.getsockname()[1], flush=True)\n"
        "sys.stdin.read()\n"
    )
    panel = subprocess.Popen(
        [sys.executable, "-c", code, "easyapache.wsgi:application"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert panel.stdout is not None
    assert panel.stdin is not None
    port = int(panel.stdout.readline())
    conf = managed.config.server_root / "conf.d/panel.conf"
    conf.write_text(f"ProxyPass /panel http://127.0.0.1:{port}/\n")
    found = obstacles(managed)
    panel.stdin.close()
    panel.wait()
    assert "/etc/apache2/conf.d/panel.conf line 1" in found["panel_proxied"].message
    assert f"process {panel.pid}" in found["panel_proxied"].message
