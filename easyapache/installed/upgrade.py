"""Changing the version: ``activated`` (called by the package) and ``ea4-mpm use VERSION``.

Two versions lie side by side. The link ``current`` names the one that is started next; engines of
changes go on in the version that they began with. A new version has to show that it works, else the
previous one is current again.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from easyapache.installed.layout import (
    AGENT,
    PREPARE,
    WEB,
    WORKER,
    Layout,
    Refused,
    account,
    manage,
    read_env,
    run,
    systemctl,
)
from easyapache.installed.setup import page_problem

UNIT = "ea4-mpm-upgrade"
_HEARTBEAT_LIMIT = 60.0
_PAGES_LIMIT = 60.0

Report = Callable[[str], None]


def activated(layout: Layout, version: str, before: str, report: Report) -> None:
    """A version was unpacked. Before setup, or without systemd, it only becomes current. Otherwise
    a separate unit continues, because the package manager may run inside the agent, which must be
    restarted."""
    running = Path("/run/systemd/system").is_dir()
    if not before or before == version or not running or not _set_up(layout):
        point_to(layout, version)
        prune(layout, {version, before})
        if running:
            systemctl("daemon-reload")
        if _set_up(layout) and running and before == version:
            _restart(layout)
        elif not _set_up(layout):
            report("Next: ea4-mpm setup")
        return
    command = layout.base / version / "bin/ea4-mpm"
    unit = [f"--unit={UNIT}", "--collect", "--quiet", "--property=KillMode=process"]
    run(["systemd-run", *unit, "--", str(command), "use", version])
    report(f"Version {version} is being started: journalctl -u {UNIT}")


def _set_up(layout: Layout) -> bool:
    return layout.panel_is_set_up or layout.agent_is_set_up


def versions(layout: Layout) -> list[str]:
    """The versions that can be used, oldest first."""
    found = [path for path in layout.base.iterdir() if (path / "MANIFEST").is_file()]
    real = [path for path in found if not path.is_symlink() and not path.name.startswith(".")]
    return [path.name for path in sorted(real, key=lambda path: path.stat().st_mtime)]


def use(layout: Layout, version: str, report: Report) -> None:
    """Make a version current and start it. Raises Refused if it does not work; the previous one is
    then current again, with the database as before."""
    if version not in versions(layout):
        known = ", ".join(versions(layout))
        raise Refused(f"Version {version} is not on this machine. There are: {known}.")
    before = layout.current.resolve().name
    kept = _copy_of_database(layout, before)
    if kept is not None:
        report(f"The database is kept as {kept}")
    try:
        if kept is not None:
            _try_on_a_copy(layout, version, kept, report)
        point_to(layout, version)
        systemctl("daemon-reload")
        _restart(layout)
        _confirm(layout)
    except Refused as error:
        report(f"Version {version} does not work: {error}")
        if before == version:
            raise
        _back(layout, before, kept)
        raise Refused(f"Version {before} is current again. {error}") from error
    prune(layout, {version, before})
    report(f"Version {version} is current and works. Back: ea4-mpm use {before}")


def point_to(layout: Layout, version: str) -> None:
    """The link, in one step and on the disk."""
    scratch = layout.base / ".current"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(version)
    scratch.replace(layout.current)
    folder = os.open(layout.base, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def prune(layout: Layout, keep: set[str]) -> None:
    """Remove versions that are neither current nor previous. An engine needs its code, so a version
    from which one still runs is kept."""
    for version in versions(layout):
        if version not in keep and not _in_use(layout.base / version):
            shutil.rmtree(layout.base / version)
    for left in (".old", ".new"):
        if (layout.base / left).is_dir() and not _in_use(layout.base / left):
            shutil.rmtree(layout.base / left)


def _in_use(tree: Path) -> bool:
    """Whether a process has this tree in its PYTHONPATH."""
    mark = f"PYTHONPATH={tree}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                settings = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended meanwhile
            if any(one == mark or one.startswith(mark + b":") for one in settings):
                return True
    return False


# -- the database ------------------------------------------------------------------------------


def _database(layout: Layout) -> Path | None:
    """The file of an SQLite database; None for PostgreSQL, which migrates in one transaction."""
    if not layout.panel_is_set_up or "DATABASE_URL_FILE" in read_env(layout.panel_env):
        return None
    path = layout.panel_state / "panel.sqlite3"
    return path if path.exists() else None


def _copy_of_database(layout: Layout, version: str) -> Path | None:
    path = _database(layout)
    if path is None:
        return None
    return _copy(path, layout.panel_state / f"before-leaving-{version}.sqlite3")


def _copy(source: Path, target: Path) -> Path:
    """A consistent copy while the panel writes; it belongs to the panel's account."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    who = account()
    for path in (target, target.with_name(f"{target.name}-wal"), Path(f"{target}-shm")):
        if path.exists():
            os.chown(path, who.pw_uid, who.pw_gid)
    return target


def _try_on_a_copy(layout: Layout, version: str, kept: Path, report: Report) -> None:
    """Migrate a copy of the database with the new version. Raises Refused."""
    copy = _copy(kept, layout.panel_state / "migration-tried.sqlite3")
    tree = layout.base / version
    who = account()
    try:
        report("Migrating a copy of the database first")
        manage(
            layout,
            "migrate",
            "--no-input",
            environment={
                "DATABASE_URL": f"sqlite:///{copy}",
                "PYTHONPATH": f"{tree}:{tree / 'vendor'}",
            },
            program=tree / "manage.py",
        )
    finally:
        for path in layout.panel_state.glob(f"{copy.name}*"):
            if path.stat().st_uid in (0, who.pw_uid):
                path.unlink()


# -- starting ----------------------------------------------------------------------------------


def _restart(layout: Layout) -> None:
    """Engines are units of their own and are not touched."""
    for unit in (PREPARE, WEB, WORKER, AGENT):
        if unit in layout.units():
            systemctl("restart", unit)


def _confirm(layout: Layout) -> None:
    """The new version works: pages are answered, and the agent's heart beats. Raises Refused."""
    if layout.panel_is_set_up:
        _until(lambda: page_problem(layout), _PAGES_LIMIT, "the panel does not answer")
    if layout.agent_is_set_up:
        _until(_why_no_heartbeat, _HEARTBEAT_LIMIT, "the agent has no heartbeat")


def _why_no_heartbeat() -> str:
    """The agent notifies systemd's watchdog of each heartbeat it sends."""
    state = systemctl("show", AGENT, "--property=ActiveState,WatchdogTimestampMonotonic")
    values = dict(line.split("=", 1) for line in state.splitlines() if "=" in line)
    if values.get("ActiveState") != "active":
        return values.get("ActiveState", "unknown")
    return "" if values.get("WatchdogTimestampMonotonic", "0") != "0" else "none yet"


def _until(why: Callable[[], str], seconds: float, sentence: str) -> None:
    end = time.monotonic() + seconds
    while reason := why():
        if time.monotonic() > end:
            raise Refused(f"After {seconds:.0f} s {sentence} ({reason}).")
        time.sleep(0.5)


def _back(layout: Layout, before: str, kept: Path | None) -> None:
    systemctl("stop", *(unit for unit in (WORKER, WEB, PREPARE) if unit in layout.units()))
    path = _database(layout)
    if kept is not None and path is not None:
        for beside in ("-wal", "-shm"):
            Path(f"{path}{beside}").unlink(missing_ok=True)
        shutil.copyfile(kept, path)
    point_to(layout, before)
    systemctl("daemon-reload")
    _restart(layout)
